"""The contract of `TargetDrivers`: what every target promises, by whatever adapter, and its twin too."""

from dataclasses import replace

import pytest

from domain.failures import Reason, Rejected
from domain.identity import Key
from domain.matching import ObservedDriver
from domain.ports import Answer, Done, Exists, Missing
from domain.profile import SPECS, chosen
from tests.contract.targets.stands import SEEDED, TargetStand


def seen_in(answered: Answer) -> ObservedDriver:
    """Who was seen, in an answer that says that all is as desired."""
    assert isinstance(answered, Done), answered
    return answered.seen


@pytest.mark.anyio
class TargetDriversContract:
    """Inherit it, and give a fixture `stand` that is a `TargetStand`."""

    async def test_a_scan_shows_everybody_once(self, stand: TargetStand) -> None:
        pages = [page async for page in stand.drivers.scan()]
        seen = [driver for page in pages for driver in page]
        assert len(pages) > 1
        assert len(seen) == len({driver.key for driver in seen}) == SEEDED + 2
        assert {driver.key for driver in seen if not driver.active} == {stand.people.departed}

    async def test_a_scan_shows_everybody_who_stays_while_others_come_and_go(self, stand: TargetStand) -> None:
        staying = {driver.key for driver in await stand.roster()} - {stand.people.bob}
        seen: list[Key] = []
        async for page in stand.drivers.scan():
            seen += [driver.key for driver in page]
            await stand.drivers.create(stand.people.desired_key, stand.people.jane)
            await stand.drivers.delete(stand.people.bob)
        assert len(seen) == len(set(seen))
        assert staying <= set(seen)

    async def test_a_scan_and_a_find_show_the_same(self, stand: TargetStand) -> None:
        seen = (await stand.roster())[:3]
        assert seen == [await stand.find(driver.key) for driver in seen]

    async def test_find_is_none_for_a_key_that_no_driver_has(self, stand: TargetStand) -> None:
        assert await stand.drivers.find(stand.people.unknown, {}) is None

    async def test_find_without_a_key_is_none_before_a_create(self, stand: TargetStand) -> None:
        assert await stand.drivers.find(None, stand.people.jane) is None

    async def test_reading_changes_nothing(self, stand: TargetStand) -> None:
        await stand.drivers.probe()
        await stand.roster()
        await stand.find(stand.people.bob)
        assert await stand.effects() == 0

    async def test_a_created_driver_is_there_as_desired(self, stand: TargetStand) -> None:
        created = seen_in(await stand.drivers.create(stand.people.desired_key, stand.people.jane))
        found = await stand.find(created.key)
        assert found == created
        assert found.active
        assert stand.is_shown(stand.people.jane, found)
        assert await stand.drivers.find(stand.people.desired_key, stand.people.jane) == created

    async def test_a_create_touches_no_other_driver(self, stand: TargetStand) -> None:
        before = await stand.roster()
        created = seen_in(await stand.drivers.create(stand.people.desired_key, stand.people.jane))
        assert [driver for driver in await stand.roster() if driver.key != created.key] == before

    async def test_a_create_said_twice_makes_one_driver(self, stand: TargetStand) -> None:
        created = seen_in(await stand.drivers.create(stand.people.desired_key, stand.people.jane))
        assert await stand.drivers.create(stand.people.desired_key, stand.people.jane) == Exists(seen=created)
        assert await stand.effects() == 1

    async def test_a_deleted_driver_who_is_created_again_exists(self, stand: TargetStand) -> None:
        created = seen_in(await stand.drivers.create(stand.people.desired_key, stand.people.jane))
        await stand.drivers.delete(created.key)
        again = await stand.drivers.create(stand.people.desired_key, stand.people.jane)
        unique = SPECS[stand.people.target].unique
        given_up = unique.fields if unique else ()
        kept = {field: text for field, text in created.profile.items() if field not in given_up}
        assert again == Exists(seen=replace(created, active=False, profile=kept))

    async def test_a_refused_create_gives_nothing_personal_away(self, stand: TargetStand) -> None:
        profile = {"email": "jane@fleet.test", "portal_driver_id": "p-9"}
        answered = await stand.drivers.create(Key("X-1"), profile)
        assert isinstance(answered, Rejected)
        assert answered.reason is Reason.INVALID
        assert "jane" not in answered.detail
        assert await stand.effects() == 0

    async def test_an_update_brings_the_named_fields_and_no_others(self, stand: TargetStand) -> None:
        before = await stand.find(stand.people.bob)
        desired = {**before.profile, "first_name": "Robert", "last_name": "Other"}
        answered = await stand.drivers.update(stand.people.bob, desired, ["first_name"])
        assert seen_in(answered).key == stand.people.bob
        found = await stand.find(stand.people.bob)
        assert found == replace(before, profile={**before.profile, "first_name": "Robert"})

    async def test_an_update_said_twice_is_done_twice(self, stand: TargetStand) -> None:
        fields = tuple(stand.people.jane)
        once = await stand.drivers.update(stand.people.bob, stand.people.jane, fields)
        assert stand.is_shown(stand.people.jane, seen_in(once))
        assert await stand.drivers.update(stand.people.bob, stand.people.jane, fields) == once
        assert await stand.find(stand.people.bob) == seen_in(once)
        assert await stand.effects() == 1

    async def test_an_update_without_fields_only_looks(self, stand: TargetStand) -> None:
        found = await stand.find(stand.people.bob)
        assert await stand.drivers.update(stand.people.bob, stand.people.jane, []) == Done(seen=found)
        assert await stand.effects() == 0

    async def test_calls_about_an_unknown_driver_are_missing_and_make_none(self, stand: TargetStand) -> None:
        unknown, jane = stand.people.unknown, stand.people.jane
        missing = Missing(key=unknown)
        assert await stand.drivers.update(unknown, jane, []) == missing
        assert await stand.drivers.update(unknown, jane, tuple(jane)) == missing
        assert await stand.drivers.rename(unknown, Key("B-9"), jane) == missing
        assert await stand.drivers.delete(unknown) == missing
        assert await stand.effects() == 0

    async def test_a_key_that_no_driver_has_is_gone(self, stand: TargetStand) -> None:
        assert await stand.drivers.gone([]) == []
        assert await stand.drivers.gone([stand.people.unknown]) == [stand.people.unknown]
        assert await stand.effects() == 0

    async def test_a_deleted_driver_stays_to_be_seen(self, stand: TargetStand) -> None:
        assert not seen_in(await stand.drivers.delete(stand.people.bob)).active
        found = await stand.find(stand.people.bob)
        assert not found.active
        assert found.profile["first_name"] == "Bob"
        assert found in await stand.roster()

    async def test_a_delete_said_twice_is_done_twice(self, stand: TargetStand) -> None:
        await stand.drivers.delete(stand.people.bob)
        assert not seen_in(await stand.drivers.delete(stand.people.bob)).active
        assert not seen_in(await stand.drivers.delete(stand.people.departed)).active
        assert await stand.effects() == 1

    async def test_a_reinstated_driver_is_there_as_desired(self, stand: TargetStand) -> None:
        reinstated = seen_in(await stand.drivers.reinstate(stand.people.departed, stand.people.jane))
        found = await stand.find(stand.people.departed)
        assert found == reinstated
        assert found.active
        assert stand.is_shown(stand.people.jane, found)

    async def test_a_reinstate_said_twice_is_done_twice(self, stand: TargetStand) -> None:
        once = await stand.drivers.reinstate(stand.people.departed, stand.people.jane)
        assert seen_in(once).active
        assert await stand.drivers.reinstate(stand.people.departed, stand.people.jane) == once

    async def test_a_probe_is_answered_while_all_is_well(self, stand: TargetStand) -> None:
        await stand.drivers.probe()

    async def test_there_is_room_while_all_is_well(self, stand: TargetStand) -> None:
        await stand.drivers.probe()
        assert stand.drivers.slots() > 0


class DriveriContract(TargetDriversContract):
    """Where the key is the DriverID."""

    async def test_a_renamed_driver_is_below_the_new_id_and_nowhere_else(self, stand: TargetStand) -> None:
        desired = dict((await stand.find(stand.people.bob)).profile)
        renamed = seen_in(await stand.drivers.rename(stand.people.bob, Key("B/9"), desired))
        assert renamed.key == "B/9"
        assert (await stand.find(Key("B/9"))).profile == desired
        assert await stand.drivers.find(stand.people.bob, {}) is None

    async def test_a_driver_that_a_scan_does_not_show_is_gone_without_a_call(self, stand: TargetStand) -> None:
        assert await stand.drivers.gone([stand.people.bob]) == [stand.people.bob]

    async def test_a_rename_said_twice_is_done_twice(self, stand: TargetStand) -> None:
        desired = dict((await stand.find(stand.people.bob)).profile)
        once = await stand.drivers.rename(stand.people.bob, Key("B/9"), desired)
        assert await stand.drivers.rename(stand.people.bob, Key("B/9"), desired) == once
        assert await stand.effects() == 1

    async def test_an_id_can_change_in_letter_case_alone(self, stand: TargetStand) -> None:
        desired = (await stand.find(stand.people.bob)).profile
        assert seen_in(await stand.drivers.rename(stand.people.bob, Key("b 2"), desired)).key == "b 2"
        assert (await stand.find(stand.people.bob)).key == "b 2"

    @pytest.mark.parametrize(("taken", "active"), [("s-7", True), ("d/3", False)])
    async def test_a_rename_never_takes_the_id_of_another(
        self, stand: TargetStand, taken: str, *, active: bool
    ) -> None:
        before = await stand.find(stand.people.bob)
        answered = await stand.drivers.rename(stand.people.bob, Key(taken), before.profile)
        assert isinstance(answered, Exists)
        assert (answered.seen.key, answered.seen.active) == (taken.upper(), active)
        assert await stand.find(stand.people.bob) == before
        assert await stand.effects() == 0

    async def test_a_create_never_takes_the_id_of_another(self, stand: TargetStand) -> None:
        bob = await stand.find(stand.people.bob)
        assert await stand.drivers.create(Key("b 2"), stand.people.jane) == Exists(seen=bob)
        assert await stand.find(stand.people.bob) == bob


class AssignedKeysContract(TargetDriversContract):
    """Where the target gives the key, and our external id names the driver."""

    async def test_a_renamed_driver_keeps_the_key_and_carries_the_new_id(self, stand: TargetStand) -> None:
        profile = (await stand.find(stand.people.bob)).profile
        stated = {**profile, "portal_driver_id": "p-bob", "driveri_driver_id": "B/9"}
        desired = chosen(stated, SPECS[stand.people.target].owned)
        renamed = seen_in(await stand.drivers.rename(stand.people.bob, Key("B/9"), desired))
        assert renamed.key == stand.people.bob
        assert stand.is_shown(desired, await stand.find(stand.people.bob))
        assert seen_in(await stand.drivers.rename(stand.people.bob, Key("B/9"), desired)) == renamed

    async def test_a_driver_is_found_by_our_external_id(self, stand: TargetStand) -> None:
        created = seen_in(await stand.drivers.create(None, stand.people.jane))
        assert await stand.drivers.find(None, stand.people.jane) == created
        assert await stand.drivers.find(None, {"portal_driver_id": "nobody"}) is None

    async def test_a_driver_who_is_there_is_not_gone_though_a_list_did_not_show_it(self, stand: TargetStand) -> None:
        asked = [stand.people.bob, stand.people.unknown, stand.people.departed]
        assert await stand.drivers.gone(asked) == [stand.people.unknown]


class MotiveContract(AssignedKeysContract):
    """Where an e-mail address names a driver too."""

    async def test_an_email_address_of_another_driver_is_that_driver(self, stand: TargetStand) -> None:
        bob = await stand.find(stand.people.bob)
        desired = {**stand.people.jane, "email": bob.profile["email"].upper()}
        assert await stand.drivers.create(None, desired) == Exists(seen=bob)

    async def test_a_driver_needs_no_email_address(self, stand: TargetStand) -> None:
        desired = {field: text for field, text in stand.people.jane.items() if field != "email"}
        created = seen_in(await stand.drivers.create(None, desired))
        assert await stand.drivers.create(None, desired) == Exists(seen=created)
