"""The adapter for Motive under every reading of what Motive's texts leave open.

Whatever holds: no driver is lost or doubled, no other external id is lost, and what cannot be done says why.
"""

from collections.abc import Mapping
from itertools import product
from typing import get_args

import pytest

from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Target
from domain.matching import identifiers
from domain.ports import Answer, Done, Exists
from domain.profile import Profile, to_change
from services.sandbox.motive.company import Assumptions
from tests.contract.targets.faults import answer_or_failure, keys
from tests.contract.targets.sandboxes import Company, company, in_process
from tests.contract.targets.stands import MOTIVE_JANE

pytestmark = pytest.mark.anyio

ROBERT: Profile = {
    "first_name": "Robert",
    "last_name": "Ray",
    "email": "bob@fleet.test",
    "portal_driver_id": "p-bob",
    "driveri_driver_id": "B 9",
}
ONE_BY_ONE = [
    (name, value)
    for name, field in Assumptions.model_fields.items()
    if name != "shown_after"
    for value in get_args(field.annotation) or (1, 50)
    if value != field.default
]
"""Every switch in each of its other positions; what is shown late is in `test_late_vendors`."""

IMPOSSIBLE: Mapping[tuple[str, object], Mapping[str, str]] = {
    ("names_in_updates", "neither"): {"update": "neither as", "reinstate": "neither as"},
    ("status_in_updates", "ignored"): {"delete": "status is as it was"},
    ("status_in_updates", "refused"): {"delete": "status is not permitted", "reinstate": "status is not permitted"},
    ("password", "required"): {"create": "password can't be blank"},
    ("created_users", "not_there"): {"create": "the user is not there"},
}
"""What cannot be done under a switch, and what is said then."""


def combined(*switches: str) -> list[dict[str, str]]:
    """Every combination of these switches by which something is taken."""
    values = [get_args(Assumptions.model_fields[switch].annotation) for switch in switches]
    return [dict(zip(switches, chosen, strict=True)) for chosen in product(*values) if "neither" not in chosen]


def judged(step: str, answered: Answer, impossible: Mapping[str, str]) -> bool:
    """Whether the step is done; where it cannot be, it says what for."""
    if step in impossible:
        assert isinstance(answered, Rejected), step
        assert impossible[step] in answered.detail
        return False
    assert isinstance(answered, Done), (step, answered)
    return True


async def live(stand: Company, impossible: Mapping[str, str]) -> None:
    """A driver is created, another one changed, deleted and brought back."""
    before, bob = await stand.users(), stand.people.bob
    is_there = judged("create", await stand.drivers.create(None, MOTIVE_JANE), impossible)
    again = await stand.drivers.create(None, MOTIVE_JANE)
    assert isinstance(again, Exists if is_there else Rejected)
    assert len(await stand.users()) == len(before) + is_there
    if judged("update", await stand.drivers.update(bob, ROBERT, tuple(ROBERT)), impossible):
        assert stand.is_shown(ROBERT, await stand.find(bob))
    is_deleted = judged("delete", await stand.drivers.delete(bob), impossible)
    assert (await stand.find(bob)).active is not is_deleted
    if judged("reinstate", await stand.drivers.reinstate(bob, ROBERT), impossible):
        assert stand.is_shown(ROBERT, await stand.find(bob))
        assert (await stand.find(bob)).active
    after = await stand.users()
    assert len(after) == len(before) + is_there
    assert ("payroll", "payroll-9") in pairs(after[bob])
    others = before.keys() - {bob}
    assert {key: after[key] for key in others} == {key: before[key] for key in others}


def pairs(user: Mapping[str, object]) -> set[tuple[str, str]]:
    entries = user["external_ids"]
    assert isinstance(entries, list)
    return {(entry["integration_name"], entry["external_id"]) for entry in entries}


@pytest.mark.parametrize(("switch", "value"), ONE_BY_ONE)
async def test_under_every_switch_nothing_is_lost_or_doubled_and_what_cannot_be_done_is_said(
    switch: str, value: object
) -> None:
    async with company(in_process, seeded=3, assumptions={switch: value}) as stand:
        await live(stand, IMPOSSIBLE.get((switch, value), {}))


@pytest.mark.parametrize(
    "assumptions",
    combined("names_in_updates", "names_in_creates", "other_name", "external_ids", "external_ids_attributes"),
    ids=lambda chosen: "-".join(chosen.values()),
)
async def test_external_ids_arrive_by_whatever_name_and_in_whatever_way_they_are_taken(
    assumptions: Mapping[str, str],
) -> None:
    async with company(in_process, seeded=3, assumptions=assumptions) as stand:
        await live(stand, {})
        jane = await stand.drivers.find(None, MOTIVE_JANE)
        assert jane is not None
        assert stand.is_shown(MOTIVE_JANE, jane)


@pytest.mark.parametrize("other", ["ignored", "refused"])
@pytest.mark.parametrize(
    "names", [("external_ids", "external_ids_attributes"), ("external_ids_attributes", "external_ids")]
)
async def test_a_name_that_stops_working_later_is_followed_by_the_other_one(other: str, names: tuple[str, str]) -> None:
    first, second = names
    async with company(in_process, seeded=3, assumptions={"names_in_updates": first, "other_name": other}) as stand:
        for name, driveri in ((first, "B 1"), (second, "B 2"), (first, "B 3")):
            await stand.switch(names_in_updates=name, names_in_creates=name)
            desired = {**ROBERT, "driveri_driver_id": driveri}
            assert isinstance(await stand.drivers.update(stand.people.bob, desired, tuple(desired)), Done)
            assert pairs((await stand.users())[stand.people.bob]) == {
                ("payroll", "payroll-9"),
                ("gps_portal", "p-bob"),
                ("driveri", driveri),
            }


@pytest.mark.parametrize("other", ["ignored", "refused"])
async def test_external_ids_that_no_name_brings_are_an_issue_and_cost_no_driver_anything(other: str) -> None:
    assumptions = {"names_in_updates": "neither", "names_in_creates": "neither", "other_name": other}
    async with company(in_process, seeded=3, assumptions=assumptions) as stand:
        before = await stand.users()
        answered = await stand.drivers.update(stand.people.bob, ROBERT, ["portal_driver_id", "driveri_driver_id"])
        assert isinstance(answered, Rejected)
        assert "external_ids_attributes" in answered.detail
        assert await stand.users() == before


@pytest.mark.parametrize(
    "assumptions",
    combined("total", "list_order", "no_external_ids"),
    ids=lambda chosen: "-".join(chosen.values()),
)
@pytest.mark.parametrize("longest_page", [100, 30])
async def test_a_scan_shows_everybody_whatever_the_pages_say_or_says_why_it_cannot(
    assumptions: Mapping[str, str], longest_page: int
) -> None:
    async with company(in_process, assumptions={**assumptions, "longest_page": longest_page}) as stand:
        everybody = sorted(key for key, user in (await stand.users()).items() if user["role"] == "driver")
        read = await answer_or_failure(keys(stand.drivers))
        if isinstance(read, Unavailable):
            assert assumptions["list_order"] == "shuffled"
            assert "did not hold still" in read.detail
        else:
            assert read == everybody


@pytest.mark.parametrize("username", ["kept", "dropped"])
async def test_a_driver_without_an_email_address_is_made_once(username: str) -> None:
    desired = {field: text for field, text in MOTIVE_JANE.items() if field != "email"}
    async with company(in_process, seeded=3, assumptions={"username": username}) as stand:
        before = await stand.users()
        assert isinstance(await stand.drivers.create(None, desired), Done)
        assert isinstance(await stand.drivers.create(None, desired), Exists)
        assert len(await stand.users()) == len(before) + 1


async def test_an_external_id_that_another_company_holds_is_refused_in_words_and_makes_no_driver() -> None:
    async with company(in_process, seeded=3, assumptions={"unique_external_ids": "everywhere"}) as stand:
        state = await stand.state()
        entry = {"external_id": MOTIVE_JANE["portal_driver_id"], "integration_name": "gps_portal"}
        una = {"id": 9000, "first_name": "Una", "last_name": "Unit", "external_ids": [entry]}
        state["companies"][1]["users"] = [una]
        await stand.seed(state)
        before = await stand.users()
        answered = await stand.drivers.create(None, MOTIVE_JANE)
        assert isinstance(answered, Rejected)
        assert "taken" in answered.detail
        assert await stand.users() == before


@pytest.mark.parametrize("status", [200, 201])
async def test_a_key_in_test_mode_has_no_effect_whatever_it_answers(status: int) -> None:
    async with company(in_process, seeded=3) as stand:
        await stand.switch(test_mode_create=status)
        answered = await stand.another(api_key="test-key").create(None, MOTIVE_JANE)
        assert isinstance(answered, Rejected)
        assert answered.reason is Reason.NOT_EFFECTIVE


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_a_matter_of_credentials_whatever_the_status(status: int) -> None:
    async with company(in_process, seeded=3, assumptions={"wrong_key": status}) as stand:
        before, stranger = await stand.users(), stand.another(api_key="no-key")
        with pytest.raises(TargetFailed) as failed:
            await keys(stranger)
        created = await stranger.create(None, MOTIVE_JANE)
        deleted = await stranger.delete(stand.people.bob)
        for failure in (failed.value.failure, created, deleted):
            assert failure == Rejected(reason=Reason.CREDENTIALS, detail=f"answered {status}")
        assert await stand.users() == before


@pytest.mark.parametrize("form", get_args(Assumptions.model_fields["license_states"].annotation))
@pytest.mark.parametrize("state", ["CO", "co", "US-CO", "us_co", "Colorado"])
async def test_a_state_of_a_licence_arrives_in_whatever_form_motive_takes_and_shows_it(form: str, state: str) -> None:
    licence = {"licence_number": "L-9971", "licence_state": state}
    async with company(in_process, seeded=3, assumptions={"license_states": form}) as stand:
        for answered in (
            await stand.drivers.create(None, {**MOTIVE_JANE, **licence}),
            await stand.drivers.update(stand.people.bob, {**ROBERT, **licence}, (*ROBERT, *licence)),
        ):
            assert isinstance(answered, Done)
            assert to_change(Target.MOTIVE, licence, answered.seen.profile) == ("driveri_driver_id",)
            desired = identifiers(Target.MOTIVE, None, licence)
            assert set(desired) <= set(identifiers(Target.MOTIVE, answered.seen.key, answered.seen.profile))


@pytest.mark.parametrize("attributes", ["merge", "replace"])
@pytest.mark.parametrize("listed", ["replace", "merge"])
async def test_without_calls_about_single_external_ids_a_driver_is_deleted_all_the_same(
    attributes: str, listed: str
) -> None:
    switches = {"external_ids_calls": "absent", "external_ids_attributes": attributes, "external_ids": listed}
    async with company(in_process, seeded=3, assumptions=switches) as stand:
        bob = stand.people.bob
        assert isinstance(await stand.drivers.update(bob, ROBERT, tuple(ROBERT)), Done)
        assert isinstance(await stand.drivers.delete(bob), Done)
        assert not (await stand.find(bob)).active
        assert isinstance(await stand.drivers.reinstate(bob, ROBERT), Done)
        assert stand.is_shown(ROBERT, await stand.find(bob))
        assert ("payroll", "payroll-9") in pairs((await stand.users())[bob])
