"""A masked capsule has nothing by which a person or a customer could be known, and is decided the same."""

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.portal.csv_export import ExportRow, read_export
from domain.cleaning import folded
from domain.identity import AccountId, PortalDriverId, Target, portal_driver_stream, temporary_id
from domain.portal import DriverCreated
from domain.profile import EMAIL, LICENCE, REF_ID, Profile, differing, is_own_form
from domain.store import Event
from services.capsules.capsule import Capsule, encoded
from services.capsules.gathering import gather
from services.capsules.masking import masked
from services.runtime.context import CHANGES
from tests.golden.made_capsules import told
from tests.golden.samples import SAMPLES
from tests.support.stepped_services import ACME
from tests.unit.sample_cases import FOLDER

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
LONG = 10
"""Characters of a value that is nowhere by chance."""

SHARED = {"time_zone", "country", "licence_state", "licence_country"}


def capsule_of(profiles: Mapping[str, Profile], facts: Iterable[Event] = ()) -> Capsule:
    account = AccountId("Acme Haulage")
    created: list[Event] = [
        DriverCreated(
            originator_id=portal_driver_stream(account, PortalDriverId(driver)),
            originator_version=1,
            at=NOW,
            account=account,
            driver=driver,
            source="api",
            profile=dict(profile),
        )
        for driver, profile in profiles.items()
    ]
    return Capsule(
        made_by="test",
        made_at=NOW.isoformat(),
        account=account,
        driver=PortalDriverId(next(iter(profiles))),
        facts={CHANGES: [*enumerate((*created, *facts), 1)]},
        batches=[],
    )


def profiles_of(capsule: Capsule) -> list[Profile]:
    return [each.profile for _, each in capsule.facts[CHANGES] if isinstance(each, DriverCreated)]


def masked_pair(one: Profile, other: Profile) -> list[Profile]:
    return profiles_of(masked(capsule_of({"p1": one, "p2": other}), random.Random(1)))  # noqa: S311 - the same each time


def leaves(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)


def bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def shown_in(capsule: Capsule, personal: Iterable[str]) -> set[str]:
    """Which of these values a capsule has: as a value, a word in a detail, or anywhere if they are long."""
    text = b"".join(encoded(capsule)).decode()
    facts = json.loads(text)["facts"]
    details = [str(fact.get("detail", "")) for log in facts.values() for fact in log]
    values = {bare(each) for each in leaves(facts)} | {bare(word) for each in details for word in each.split()}
    found = {each for each in personal if bare(each) in values}
    folded_text = text.casefold()
    long = sorted(each for each in personal if len(each) >= LONG)[::40]
    return found | {each for each in long if each.casefold() in folded_text}


def personal_values(profiles: Iterable[Profile]) -> set[str]:
    short = 3
    return {
        text for each in profiles for field, text in each.items() if field not in SHARED and len(bare(text)) >= short
    }


def test_nothing_of_the_sample_fleet_is_in_a_capsule() -> None:
    rows = [row for row in read_export(FOLDER / "portal-drivers.csv") if isinstance(row, ExportRow)]
    profiles = {f"{number:06}": row.profile.fields for number, row in enumerate(rows)}
    personal = personal_values(profiles.values())
    assert len(personal) > 5000
    capsule = capsule_of(profiles)
    assert shown_in(capsule, personal) == personal
    assert shown_in(masked(capsule), {*personal, *profiles, "Acme Haulage"}) == set()


@pytest.mark.parametrize("story", ["conflict", "timeout", "mass-delete"])
def test_nothing_of_a_real_history_is_in_its_capsule(story: str) -> None:
    with told(story) as fleet:
        raw = gather(fleet.logs, ACME, PortalDriverId("p1"), made_by="test", now=NOW)
    profiles = [each.profile for facts in raw.facts.values() for _, each in facts if hasattr(each, "profile")]
    personal = {*personal_values(profiles), "acme", "jane", "bob", "p1", "p2"}
    assert {"North yard", "First 1", "acme"} <= shown_in(raw, personal)
    assert shown_in(masked(raw), personal) == set()


def test_two_capsules_have_other_pseudonyms() -> None:
    capsule = capsule_of({"p1": {"first_name": "Jane"}})
    assert len({masked(capsule).driver + profiles_of(masked(capsule))[0]["first_name"] for _ in range(5)}) > 1


def test_a_value_keeps_its_shape() -> None:
    (shown,) = profiles_of(
        masked(
            capsule_of(
                {"p1": {"first_name": " Ann-Marie  o'Neil", "email": "Jane.Doe@fleet.test", "ref_id": "R-00417"}}
            )
        )
    )
    assert re.fullmatch(r" [A-Z][a-z]{2}-[A-Z][a-z]{4}  [a-z]'[A-Z][a-z]{3}", shown["first_name"])
    assert re.fullmatch(r"[A-Z][a-z]{3}\.[A-Z][a-z]{2}@[a-z]{5}\.[a-z]{4}", shown["email"])
    assert re.fullmatch(r"[A-Z]-\d{5}", shown["ref_id"])


def test_a_driver_known_by_its_ref_id_alone_stays_so() -> None:
    capsule = masked(capsule_of({"ref:R-00417": {"ref_id": "R-00417"}}))
    assert capsule.driver == f"ref:{profiles_of(capsule)[0]['ref_id']}" != "ref:R-00417"


def test_a_phone_number_is_the_same_with_and_without_its_country_code() -> None:
    one, other = masked_pair({"phone": "+1 303 555 0142"}, {"phone": "(303) 555-0142"})
    assert differing(one, other) == ()
    assert differing(*masked_pair({"phone": "+1 303 555 0142"}, {"phone": "+1 303 555 0143"})) == ("phone",)
    assert "5550142" not in bare(one["phone"])


def test_a_temporary_id_is_that_of_the_masked_driver() -> None:
    account, driver = AccountId("Acme Haulage"), PortalDriverId("p1")
    temporary = temporary_id(account, Target.MOTIVE, driver)
    capsule = masked(capsule_of({"p1": {"ref_id": temporary, "email": f"{temporary}@driverlink.invalid"}}))
    after = temporary_id(capsule.account, Target.MOTIVE, capsule.driver)
    assert profiles_of(capsule) == [{"ref_id": after, "email": f"{after}@driverlink.invalid"}]


TEXTS = st.text(st.sampled_from("aAbBß1 2-.@é"), min_size=1, max_size=6)


@given(TEXTS, TEXTS)
def test_what_is_compared_compares_as_before(one: str, other: str) -> None:
    fields = ("ref_id", "email", "licence_number")
    before = [{**dict.fromkeys(fields, text), "licence_state": "CO"} for text in (one, other)]
    after = masked_pair(*before)
    for kind in (REF_ID, EMAIL, LICENCE):
        assert (kind.identifier(before[0]) == kind.identifier(before[1])) == (
            kind.identifier(after[0]) == kind.identifier(after[1])
        )
    shown = [each["ref_id"] for each in after]
    assert (one == other) == (shown[0] == shown[1])
    assert (folded(one) == folded(other)) == (folded(shown[0]) == folded(shown[1]))
    assert is_own_form(one, other) == is_own_form(*shown)


NEVER = {
    "Account.AccountErased",
    "Account.ErasureBegan",
    "Reconciliation.ReconciliationCompleted",
    "Reconciliation.ReconciliationRefused",
}
"""Facts that no capsule has, beside those about logs."""

OF_CAPSULES = sorted(topic for topic in SAMPLES.keys() - NEVER if not topic.startswith("Log."))


@pytest.mark.parametrize("topic", OF_CAPSULES)
def test_every_field_of_every_fact_is_masked_or_known_to_be_harmless(topic: str) -> None:
    sample = SAMPLES[topic]
    capsule = replace(capsule_of({"200417": {"first_name": "Jane"}}), facts={CHANGES: [(1, sample)]})
    ((_, shown),) = masked(replace(capsule, account=AccountId(sample.account))).facts[CHANGES]
    assert (type(shown), shown.originator_version, shown.at) == (
        type(sample),
        sample.originator_version,
        sample.at,
    )
    personal = personal_values([getattr(sample, "profile", {})])
    names = ("account", "driver", "key", "desired_key", "left", "by", "master_user", "note")
    personal |= {text for name in names if (text := getattr(sample, name, "")) and text != "operator"}
    kept = {bare(each) for each in leaves(json.loads(json.dumps(vars(shown), default=str)))}
    assert {bare(each) for each in personal} & kept == set()
