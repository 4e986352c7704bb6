"""The promises of `TargetDrivers`, kept by both adapters against the stand-ins for their vendors, and by the twins."""

from dataclasses import replace

import pytest

from adapters.motive.access import ExternalIdsField
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key, Target
from domain.ports import Answer, Done, Exists, Missing, TargetDrivers
from domain.profile import Profile
from domain.roster import TargetDriver
from domain.wish import to_change
from tests.integration.stands import (
    BOB,
    JANE,
    MOTIVE_JANE,
    SEEDED,
    Stand,
    company,
    driveri_drivers,
    driveri_twin,
    motive_drivers,
    motive_twin,
    tenant,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[tenant, company, driveri_twin, motive_twin])
def stand(request: pytest.FixtureRequest) -> Stand:
    """Each of them in turn."""
    made: Stand = request.param()
    return made


def seen_in(answered: Answer) -> TargetDriver:
    """Who was seen, in an answer that says that all is as wished."""
    assert isinstance(answered, Done), answered
    return answered.seen


def is_shown(stand: Stand, wished: Profile, seen: TargetDriver) -> bool:
    """Whether the target shows all of the profile that can be read back."""
    return not to_change(stand.target, wished, seen.profile)


async def test_a_walk_shows_everybody_once(stand: Stand) -> None:
    pages = [page async for page in stand.drivers.walk()]
    seen = [driver for page in pages for driver in page]
    assert len(pages) > 1
    assert len(seen) == len({driver.key for driver in seen}) == SEEDED + 2
    assert {driver.key for driver in seen if not driver.active} == {stand.departed}


async def test_a_walk_and_a_find_show_the_same(stand: Stand) -> None:
    seen = [driver async for page in stand.drivers.walk() for driver in page][:3]
    assert seen == [await stand.find(driver.key) for driver in seen]


async def test_a_created_driver_is_there_as_wished(stand: Stand) -> None:
    created = seen_in(await stand.drivers.create(stand.wished_key, stand.jane))
    found = await stand.find(created.key)
    assert found == created
    assert found.active
    assert is_shown(stand, stand.jane, found)


async def test_a_create_said_twice_makes_one_driver(stand: Stand) -> None:
    created = seen_in(await stand.drivers.create(stand.wished_key, stand.jane))
    assert await stand.drivers.create(stand.wished_key, stand.jane) == Exists(seen=created)
    assert await stand.drivers.find(stand.wished_key, stand.jane) == created


async def test_an_update_brings_the_named_fields_and_no_others(stand: Stand) -> None:
    before = await stand.find(stand.bob)
    wished = {**before.profile, "first_name": "Robert", "last_name": "Other"}
    answered = await stand.drivers.update(stand.bob, wished, ["first_name"])
    assert seen_in(answered).key == stand.bob
    found = await stand.find(stand.bob)
    assert found == replace(before, profile={**before.profile, "first_name": "Robert"})


async def test_an_update_said_twice_is_done_twice(stand: Stand) -> None:
    fields = tuple(stand.jane)
    once = await stand.drivers.update(stand.bob, stand.jane, fields)
    assert is_shown(stand, stand.jane, seen_in(once))
    assert await stand.drivers.update(stand.bob, stand.jane, fields) == once
    assert await stand.find(stand.bob) == seen_in(once)


async def test_an_update_without_fields_only_looks(stand: Stand) -> None:
    found = await stand.find(stand.bob)
    assert await stand.drivers.update(stand.bob, stand.jane, []) == Done(seen=found)
    assert await stand.writes() == []


async def test_calls_about_nobody_are_missing(stand: Stand) -> None:
    missing = Missing(key=stand.unknown)
    assert await stand.drivers.update(stand.unknown, stand.jane, []) == missing
    assert await stand.drivers.update(stand.unknown, stand.jane, tuple(stand.jane)) == missing
    assert await stand.drivers.rename(stand.unknown, Key("B-9"), stand.jane) == missing
    assert await stand.drivers.delete(stand.unknown) == missing
    assert await stand.drivers.find(stand.unknown, {}) is None


async def test_a_deleted_driver_stays_to_be_seen(stand: Stand) -> None:
    assert not seen_in(await stand.drivers.delete(stand.bob)).active
    found = await stand.find(stand.bob)
    assert not found.active
    assert found.profile["first_name"] == "Bob"


async def test_a_delete_said_twice_is_done_twice(stand: Stand) -> None:
    await stand.drivers.delete(stand.bob)
    assert not seen_in(await stand.drivers.delete(stand.bob)).active
    assert not seen_in(await stand.drivers.delete(stand.departed)).active


async def test_a_reinstated_driver_is_there_as_wished(stand: Stand) -> None:
    reinstated = seen_in(await stand.drivers.reinstate(stand.departed, stand.jane))
    found = await stand.find(stand.departed)
    assert found == reinstated
    assert found.active
    assert is_shown(stand, stand.jane, found)


async def test_a_reinstate_said_twice_is_done_twice(stand: Stand) -> None:
    once = await stand.drivers.reinstate(stand.departed, stand.jane)
    assert seen_in(once).active
    assert await stand.drivers.reinstate(stand.departed, stand.jane) == once


async def test_a_deleted_driver_who_is_created_again_exists(stand: Stand) -> None:
    created = seen_in(await stand.drivers.create(stand.wished_key, stand.jane))
    await stand.drivers.delete(created.key)
    assert await stand.drivers.create(stand.wished_key, stand.jane) == Exists(seen=replace(created, active=False))


async def test_a_refused_create_gives_nothing_personal_away(stand: Stand) -> None:
    answered = await stand.drivers.create(Key("X-1"), {"email": "jane@fleet.test", "portal_driver_id": "p-9"})
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.INVALID
    assert "jane" not in answered.detail


async def test_a_rename_brings_the_driver_below_the_new_id(stand: Stand) -> None:
    profile = {**(await stand.find(stand.bob)).profile, "portal_driver_id": "p-bob", "driveri_driver_id": "B/9"}
    wished = {field: text for field, text in profile.items() if stand.target is Target.MOTIVE or "_id" not in field}
    renamed = seen_in(await stand.drivers.rename(stand.bob, Key("B/9"), wished))
    assert renamed.key == (stand.bob if stand.target is Target.MOTIVE else "B/9")
    assert is_shown(stand, wished, await stand.find(renamed.key))
    assert seen_in(await stand.drivers.rename(stand.bob, Key("B/9"), wished)) == renamed


async def test_a_driveri_driver_is_renamed_once_and_nowhere_else() -> None:
    stand = tenant()
    await stand.drivers.rename(stand.bob, Key("B/9"), BOB)
    assert await stand.drivers.find(stand.bob, {}) is None
    assert (await stand.find(Key("B/9"))).profile["last_name"] == "Ray"


async def test_a_driveri_id_can_change_in_letter_case_alone() -> None:
    stand = tenant()
    assert seen_in(await stand.drivers.rename(stand.bob, Key("b 2"), BOB)).key == "b 2"
    assert (await stand.find(stand.bob)).key == "b 2"


@pytest.mark.parametrize(("taken", "active"), [("s-7", True), ("d/3", False)])
async def test_a_driveri_rename_never_takes_the_id_of_another(taken: str, *, active: bool) -> None:
    stand = tenant()
    before = await stand.find(stand.bob)
    answered = await stand.drivers.rename(stand.bob, Key(taken), BOB)
    assert isinstance(answered, Exists)
    assert (answered.seen.key, answered.seen.active) == (taken.upper(), active)
    assert await stand.find(stand.bob) == before


async def test_no_driveri_driver_is_ever_invited() -> None:
    stand = tenant()
    await stand.drivers.create(stand.wished_key, stand.jane)
    await stand.drivers.update(stand.bob, stand.jane, tuple(stand.jane))
    await stand.drivers.reinstate(stand.departed, stand.jane)
    drivers = (await stand.state())["tenants"][0]["drivers"]
    assert {driver["invitations"] for driver in drivers} == {0}
    assert [driver["phone"] for driver in drivers if driver["email"] == JANE["email"]] == [JANE["phone"]] * 3


async def test_adapters_of_one_driveri_key_get_along_with_two_tokens() -> None:
    stand = tenant()
    several = [driveri_drivers(stand.transport) for _ in range(4)]
    for drivers in several:
        assert await drivers.find(stand.bob, {}) is not None
    await several[0].close()
    for drivers in several[1:]:
        assert await drivers.find(stand.bob, {}) is not None


async def test_a_wrong_secret_is_a_matter_of_credentials() -> None:
    stand = tenant()
    await failing(driveri_drivers(stand.transport, client_secret="wrong"), Reason.CREDENTIALS)
    await failing(driveri_drivers(stand.transport, tenant="other"), Reason.CREDENTIALS)
    await failing(motive_drivers(company().transport, api_key="wrong"), Reason.CREDENTIALS)


async def test_a_status_word_that_the_tenant_lacks_is_a_matter_of_configuration() -> None:
    await failing(driveri_drivers(tenant().transport, deleted_status="Removed"), Reason.NOT_CONFIGURED)


async def failing(drivers: TargetDrivers, reason: Reason) -> None:
    answered = await drivers.delete(Key("2"))
    assert isinstance(answered, Rejected)
    assert answered.reason is reason
    with pytest.raises(TargetFailed) as raised:
        [page async for page in drivers.walk()]
    assert raised.value.failure == answered


@pytest.mark.parametrize("spelling", ["external_ids_attributes", "external_ids"])
async def test_external_ids_of_others_are_kept_in_motive(spelling: ExternalIdsField) -> None:
    stand = company()
    drivers = motive_drivers(stand.transport, external_ids_field=spelling)
    both = {"portal_driver_id": "p-bob", "driveri_driver_id": "B-2"}
    assert is_shown(stand, both, seen_in(await drivers.update(stand.bob, both, tuple(both))))
    other = {"portal_driver_id": "p-bob", "driveri_driver_id": "B-3"}
    assert is_shown(stand, other, seen_in(await drivers.update(stand.bob, other, ["driveri_driver_id"])))
    one = {"portal_driver_id": "p-bob"}
    assert "driveri_driver_id" not in seen_in(await drivers.update(stand.bob, one, ["driveri_driver_id"])).profile
    user = next(user for user in (await stand.state())["companies"][0]["users"] if user["id"] == 2)
    pairs = {(entry["integration_name"], entry["external_id"]) for entry in user["external_ids"]}
    assert pairs == {("payroll", "payroll-9"), ("gps_portal", "p-bob")}


async def test_motive_users_of_another_role_are_never_touched() -> None:
    stand = company()
    office = Key("4")
    assert await stand.drivers.find(office, {}) is None
    calls = [
        stand.drivers.update(office, MOTIVE_JANE, []),
        stand.drivers.update(office, MOTIVE_JANE, ["email", "portal_driver_id"]),
        stand.drivers.delete(office),
        stand.drivers.reinstate(office, MOTIVE_JANE),
        stand.drivers.create(None, {**MOTIVE_JANE, "email": "olga@fleet.test"}),
    ]
    reasons = [answered.reason for call in calls if isinstance(answered := await call, Rejected)]
    assert reasons == [Reason.FOREIGN_ROLE] * len(calls)
    assert [write for write in await stand.writes() if write["changed"]] == []


async def test_an_email_address_taken_in_another_company_is_a_result_of_its_own() -> None:
    answered = await company().drivers.create(None, {**MOTIVE_JANE, "email": "taken@other.test"})
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.TAKEN_ELSEWHERE


async def test_a_motive_driver_needs_no_email_address() -> None:
    stand = company()
    wished = {field: text for field, text in MOTIVE_JANE.items() if field != "email"}
    created = seen_in(await stand.drivers.create(None, wished))
    assert await stand.drivers.create(None, wished) == Exists(seen=created)


async def test_a_motive_driver_is_found_by_our_external_id() -> None:
    stand = company()
    created = seen_in(await stand.drivers.create(None, MOTIVE_JANE))
    assert await stand.drivers.find(None, MOTIVE_JANE) == created
    assert await stand.drivers.find(None, {"portal_driver_id": "nobody"}) is None


async def test_a_motive_key_in_test_mode_has_no_effect() -> None:
    answered = await motive_drivers(company().transport, api_key="test-key").create(None, MOTIVE_JANE)
    assert isinstance(answered, Rejected)
    assert answered.reason is Reason.NOT_EFFECTIVE
