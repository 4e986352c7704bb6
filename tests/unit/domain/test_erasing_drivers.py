"""What it takes to erase a driver, and what its histories come to then."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.driver_link import Confirmed, CreateDecided, LinkErased, UpdateDecided, apply, erase, keys_of, unlinked
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.portal import DriverErased, NotErasable, PortalDriver, Statement, check_erasable, erased, replay
from domain.portal import apply as apply_to_driver
from domain.profile import StatedProfile
from tests.golden.samples import SAMPLES

AT = datetime(2026, 3, 12, 9, tzinfo=UTC)
JANE = {"first_name": "Jane", "last_name": "Doe"}
UNSTATED = PortalDriver(account=AccountId("acme"), driver=PortalDriverId("417"))
SAID = Statement(at=AT, source="api")


def there() -> PortalDriver:
    return replay(UNSTATED, SAID.present(UNSTATED, StatedProfile(fields=JANE)))


def gone() -> PortalDriver:
    return replay(there(), SAID.deleted(there()))


def test_a_deleted_driver_is_erased_once() -> None:
    (fact,) = erased(gone(), AT, by="jane", role="master_user", authenticated="operator", note="asked for")
    assert fact == DriverErased(
        originator_id=UNSTATED.id,
        originator_version=3,
        at=AT,
        account="acme",
        driver="417",
        source="erasure",
        by="jane",
        role="master_user",
        authenticated="operator",
        note="asked for",
    )
    after = apply_to_driver(gone(), fact)
    assert (after.is_there, after.erased_at, after.version) == (False, AT, 3)
    assert erased(after, AT, by="jane", role="master_user") == ()


def test_a_driver_that_is_stated_after_its_erasure_is_not_erased() -> None:
    (fact,) = erased(gone(), AT, by="jane", role="master_user")
    after = apply_to_driver(gone(), fact)
    (back,) = SAID.present(after, StatedProfile(fields=JANE))
    assert type(back).__name__ == "DriverCreated"
    again = apply_to_driver(after, back)
    assert (again.profile, again.erased_at) == (JANE, None)


@pytest.mark.parametrize(
    ("known", "words"), [(there(), "the Portal still has driver 417"), (UNSTATED, "there is no driver 417")]
)
def test_a_driver_that_is_there_or_never_was_cannot_be_erased(known: PortalDriver, words: str) -> None:
    with pytest.raises(NotErasable, match=words):
        check_erasable(known)


def test_the_keys_of_a_link_are_all_that_it_ever_had_or_was_to_have() -> None:
    facts = [SAMPLES[f"DriverLink.{kind}"] for kind in ("CreateDecided", "RenameDecided", "Confirmed", "Released")]
    assert keys_of(facts) == {"D-417", "D-418"}


def test_an_erased_link_is_as_it_was_at_first_but_for_what_was_counted() -> None:
    start = unlinked(AccountId("acme"), Target.DRIVERI, PortalDriverId("417"))
    assert erase(start, AT, keys=[], elsewhere=[]) == ()
    link = start
    for kind in (CreateDecided, Confirmed, UpdateDecided):
        link = apply(link, replace(SAMPLES[kind.TOPIC], originator_version=link.version + 1))
    (fact,) = erase(link, AT, keys=[Key("D-418"), Key("D-417")], elsewhere=[Key("D-418")])
    assert isinstance(fact, LinkErased)
    assert (fact.originator_version, fact.keys, fact.elsewhere) == (4, ["D-417", "D-418"], ["D-418"])
    after = apply(link, fact)
    assert after == apply(replace(start, version=3, answers=link.answers), fact)
    assert (after.key, after.confirmed, after.pending, after.unanswered, after.former) == (None, None, None, (), {})
    assert (after.answers, after.erased_at) == (link.answers, AT)
    decided = apply(after, replace(SAMPLES[CreateDecided.TOPIC], originator_version=5))
    assert decided.erased_at is None
