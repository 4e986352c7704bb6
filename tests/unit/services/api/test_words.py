"""Every event that can be stored has words."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from domain.account import AccountEvent
from domain.driver_link import Confirmed, DriverLink, LinkEvent
from domain.identity import AccountId, PortalDriverId, Target
from domain.portal import PortalDriver
from domain.store import Event
from services.api import explanation_text
from services.api.account_history import to_entry
from services.api.explanation_text import Past, command, field_names, listed, moment
from tests.golden.samples import SAMPLES

ACME, JANE = AccountId("acme"), PortalDriverId("1")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LINK_EVENTS = [event for event in Event.BY_TOPIC.values() if issubclass(event, LinkEvent)]


@pytest.mark.parametrize("event", LINK_EVENTS)
def test_every_fact_of_a_link_has_words(event: type[LinkEvent]) -> None:
    assert explanation_text.describe_link.dispatch(event) is not explanation_text.describe_link.dispatch(LinkEvent)
    assert Confirmed in LINK_EVENTS


@pytest.mark.parametrize(
    "fact", [each for each in SAMPLES.values() if isinstance(each, AccountEvent)], ids=lambda fact: type(fact).__name__
)
def test_every_fact_of_an_account_has_words_in_its_history(fact: AccountEvent) -> None:
    entry = to_entry(fact)
    assert entry.fact.endswith((".", ").")), entry
    assert entry.kind in ("setting", "sync", "verdict", "request")


def test_a_fact_without_words_is_a_mistake() -> None:
    fact = LinkEvent(
        originator_id=UUID(int=1), originator_version=1, at=NOON, account="acme", target="motive", driver="1"
    )
    with pytest.raises(TypeError, match="no words for LinkEvent"):
        explanation_text.describe_link(fact, Past(link=DriverLink(account=ACME, target=Target.MOTIVE, driver=JANE)))
    with pytest.raises(TypeError, match="no words for LinkEvent"):
        explanation_text.describe_portal(fact, PortalDriver(account=ACME, driver=JANE))
    assert explanation_text.describe_account(fact) == ""


@pytest.mark.parametrize(
    ("phrases", "phrase"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_phrases_are_joined_as_people_write_them(phrases: list[str], phrase: str) -> None:
    assert listed(phrases) == phrase


def test_fields_are_named_in_words() -> None:
    assert field_names(["licence_number", "ref_id", "email"]) == "licence number, RefID and e-mail"


def test_moments_are_in_utc() -> None:
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert moment(at) == "2026-02-28 23:30:00 UTC"


def test_commands_are_written_as_they_are_typed() -> None:
    assert command("approvals list", "acme") == "`driverlink approvals list acme`"
