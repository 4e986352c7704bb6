"""DriverIDs that change hands: chains and swaps end right without a person, and no other driver is touched."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.deciding import decide, look_again
from domain.driver_link import (
    Confirmed,
    Decision,
    LinkDecided,
    Parked,
    Refused,
    ReinstateDecided,
    Released,
    RenameDecided,
    in_sequence,
    replay,
)
from domain.identity import Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.profile import Profile
from tests.support.scenario import BOB, DRIVERI, JANE, why
from tests.support.simulation import Simulation
from tests.support.standing import Standing, standing

ANN, BEN, CAT = (PortalDriverId(name) for name in ("ann", "ben", "cat"))


def _profile(driver: str, key: str) -> Profile:
    return {"first_name": driver, "last_name": "Doe", "ref_id": f"R-{driver}", "driveri_driver_id": key}


def _fleet(target: Target, keys: Mapping[PortalDriverId, str]) -> Simulation:
    """A fleet in sync, in which these drivers have these DriverIDs."""
    simulation = Simulation(target)
    simulation.scan()
    for driver, key in keys.items():
        simulation.state(driver, _profile(driver, key))
    simulation.run()
    return simulation


def _assign(simulation: Simulation, keys: Mapping[PortalDriverId, str]) -> None:
    """The Portal gives these drivers these DriverIDs, one change after the other, before anything is answered."""
    for driver, key in keys.items():
        simulation.restate(driver, {"driveri_driver_id": key})
    simulation.run()


def _names(simulation: Simulation) -> dict[str, str]:
    """Whose first name the target shows at which DriverID."""
    shown = (driver for driver in simulation.target.scan() if driver.active)
    return {driver.profile.get("driveri_driver_id", driver.key): driver.profile["first_name"] for driver in shown}


def _step_aside(simulation: Simulation) -> list[str]:
    """Who was renamed to a temporary id."""
    renames = (event for event in simulation.decider.log if isinstance(event, RenameDecided))
    return [event.driver for event in renames if (event.desired_key or "").startswith("tmp-")]


@pytest.mark.parametrize("target", Target)
def test_a_chain_ends_right_in_the_order_in_which_keys_come_free(target: Target) -> None:
    simulation = _fleet(target, {ANN: "D-1", BEN: "D-2", CAT: "D-3"})
    _assign(simulation, {ANN: "D-2", BEN: "D-3", CAT: "D-4"})
    assert _names(simulation) == {"D-2": "ann", "D-3": "ben", "D-4": "cat"}
    assert _step_aside(simulation) == []


@pytest.mark.parametrize("target", Target)
def test_a_swap_ends_right(target: Target) -> None:
    simulation = _fleet(target, {ANN: "D-1", BEN: "D-2"})
    _assign(simulation, {ANN: "D-2", BEN: "D-1"})
    assert _names(simulation) == {"D-2": "ann", "D-1": "ben"}


def test_in_a_swap_exactly_one_driver_steps_aside() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-2"})
    _assign(simulation, {ANN: "D-2", BEN: "D-1"})
    assert _step_aside(simulation) == ["ben"]


def test_a_cycle_whose_last_member_cannot_step_aside_is_resolved_by_another_at_the_next_scan() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-2"})
    simulation.target.drop(Key("D-2"))
    simulation.scan()
    _assign(simulation, {ANN: "D-2", BEN: "D-1"})
    simulation.scan()
    simulation.run()
    assert _names(simulation) == {"D-2": "ann", "D-1": "ben"}


KEYS = [f"D-{number}" for number in range(1, 8)]
SEVEN = [PortalDriverId(f"p{number}") for number in range(1, 8)]


@given(after=st.permutations(KEYS), order=st.permutations(range(7)))
def test_any_exchange_of_ids_moves_every_target_driver_with_its_person(after: list[str], order: list[int]) -> None:
    simulation = _fleet(Target.DRIVERI, dict(zip(SEVEN, KEYS, strict=True)))
    for rank, driver in enumerate(SEVEN):
        simulation.target.edit_by_hand(rank, {"badge": driver})
    _assign(simulation, {SEVEN[place]: after[place] for place in order})
    shown = {key: simulation.target.truth(Key(key)) for key in KEYS}
    badges = {key: driver.profile["badge"] for key, driver in shown.items() if driver}
    assert badges == dict(zip(after, SEVEN, strict=True))
    assert len(_step_aside(simulation)) == _cycles(dict(zip(KEYS, after, strict=True)))


def _cycles(moves: Mapping[str, str]) -> int:
    """How many closed circles of more than one member these moves make."""
    left, circles = {old for old, new in moves.items() if old != new}, 0
    while left:
        circles += 1
        key = next(iter(left))
        while key in left:
            left.remove(key)
            key = moves[key]
    return circles


def test_the_first_who_desired_a_doubled_id_gets_it() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-1", CAT: "d-1"})
    assert _names(simulation) == {"D-1": "ann"}
    assert [standing(simulation, driver) for driver in (ANN, BEN, CAT)] == [
        Standing.IN_SYNC,
        Standing.PARKED,
        Standing.PARKED,
    ]


def test_a_doubled_id_goes_to_one_of_the_others_when_its_holder_moves() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-1", CAT: "D-1"})
    _assign(simulation, {ANN: "D-2"})
    assert _names(simulation) == {"D-2": "ann", "D-1": "ben"}
    parked = simulation.decider.links[CAT].parked
    assert parked is not None
    assert (parked.holder, parked.waits_for) == (BEN, "key:d-1")


def test_a_doubled_id_comes_free_when_its_holder_is_deleted() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-1"})
    simulation.delete(ANN)
    simulation.run()
    assert _names(simulation) == {"D-1": "ben"}


def test_relink_leaves_the_former_driver_untouched() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1"})
    simulation.target.put(ObservedDriver(key=Key("D-9"), active=True, profile={"first_name": "old"}))
    simulation.scan()
    _assign(simulation, {ANN: "D-9"})
    former = simulation.target.truth(Key("D-1"))
    said = len(simulation.decider.log)
    simulation.restate(ANN, {"first_name": "Anna"})
    simulation.run()
    _assign(simulation, {ANN: "D-8"})
    simulation.delete(ANN)
    simulation.settle()
    assert former is not None
    assert simulation.target.truth(Key("D-1")) == former
    later = [event for event in simulation.decider.log[said:] if isinstance(event, Decision)]
    assert later
    assert all("D-1" not in (event.key, event.desired_key) for event in later)


def test_a_unmanaged_is_never_written() -> None:
    simulation = Simulation(Target.DRIVERI)
    unmanaged = [ObservedDriver(key=Key(f"S-{number}"), active=number > 1, profile={}) for number in range(1, 4)]
    for each in unmanaged:
        simulation.target.put(each)
    simulation.scan()
    for driver in (ANN, BEN):
        simulation.state(driver, _profile(driver, f"D-{driver}"))
    simulation.settle()
    assert [simulation.target.truth(unmanaged.key) for unmanaged in unmanaged] == unmanaged


@pytest.mark.parametrize("target", Target)
def test_a_rehired_driver_is_the_same_target_driver_again(target: Target) -> None:
    simulation = _fleet(target, {ANN: "D-1"})
    key = simulation.decider.links[ANN].key
    simulation.delete(ANN)
    simulation.run()
    assert simulation.decider.links[ANN].key is None
    simulation.state(ANN, _profile(ANN, "D-1"))
    simulation.run()
    assert simulation.decider.links[ANN].key == key
    assert len(simulation.target.scan()) == 1


def test_in_motive_a_rehired_person_with_a_new_portal_id_is_the_same_user_again() -> None:
    simulation = _fleet(Target.MOTIVE, {ANN: "D-1"})
    simulation.delete(ANN)
    simulation.run()
    simulation.state(BEN, {**_profile(BEN, "D-1"), "ref_id": "R-ann"})
    simulation.run()
    (user,) = simulation.target.scan()
    assert (user.active, user.profile["portal_driver_id"], user.profile["ref_id"]) == (True, "ben", "R-ann")


def test_in_motive_a_swap_of_driverids_parks_neither() -> None:
    simulation = _fleet(Target.MOTIVE, {ANN: "D-1", BEN: "D-2"})
    _assign(simulation, {ANN: "D-2", BEN: "D-1"})
    assert [event for event in simulation.decider.log if isinstance(event, Parked)] == []


TEMPORARY = DRIVERI.nothing.temporary_key
ASIDE_CAME_WITHOUT_AN_ANSWER = [
    *DRIVERI.linked(),
    DRIVERI.said(RenameDecided, why("CONFLICT"), key="D-7", desired_key=TEMPORARY, answers=1),
    DRIVERI.fact(Refused, decision=3, reason="invalid", detail="answered 404"),
    DRIVERI.fact(Parked, reason="refused", detail="answered 404", rationale={"trigger": "answer", "ref": "decision 3"}),
]
MOVED: Profile = {**JANE, "driveri_driver_id": "D-8"}


@pytest.mark.parametrize("stated", [JANE, MOVED])
def test_a_driver_found_under_its_temporary_id_is_linked_again_before_anything_else(stated: Profile) -> None:
    aside = DRIVERI.shown(TEMPORARY)
    batch = DRIVERI.batch(aside, claimed={"key:d-8": BOB, "key:d-7": DRIVERI.driver}, waiting={BOB: "key:d-7"})
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, ASIDE_CAME_WITHOUT_AN_ANSWER))
    desired, trigger = DRIVERI.desired(stated, sequence=2), DRIVERI.trigger(sequence=2)
    released, linked = look_again(desired, link, batch, trigger)
    assert isinstance(released, Released)
    assert isinstance(linked, LinkDecided)
    assert linked.desired_key == TEMPORARY


def test_no_driver_is_created_beside_the_one_under_a_temporary_id() -> None:
    ended = DRIVERI.fact(Confirmed, decision=0, key=None, profile={})
    for active, fact in ((True, LinkDecided), (False, ReinstateDecided)):
        batch = DRIVERI.batch(DRIVERI.shown(TEMPORARY, active=active))
        link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [*ASIDE_CAME_WITHOUT_AN_ANSWER, ended]))
        (decided,) = [
            event
            for event in decide(DRIVERI.desired(sequence=2), link, batch, DRIVERI.trigger(sequence=2))
            if isinstance(event, Decision)
        ]
        assert (type(decided), decided.desired_key) == (fact, TEMPORARY)


def test_a_temporary_id_on_its_way_is_waited_for() -> None:
    """Where its answer is lost the roster may show it before the link knows, and show no driver under the former id."""
    given = ASIDE_CAME_WITHOUT_AN_ANSWER[:3]
    batch = DRIVERI.batch(DRIVERI.shown("D-8"), claimed={"key:d-8": BOB}, waiting={BOB: "key:d-7"})
    link = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, given))
    assert decide(DRIVERI.desired(MOVED, sequence=2), link, batch, DRIVERI.trigger(sequence=2)) == ()


@pytest.mark.parametrize("leaver", [ANN, BEN])
def test_a_swap_whose_other_member_is_deleted_leaves_no_driver_under_a_temporary_id(leaver: PortalDriverId) -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-2"})
    simulation.restate(ANN, {"driveri_driver_id": "D-2"})
    simulation.restate(BEN, {"driveri_driver_id": "D-1"})
    simulation.delete(leaver)
    simulation.settle()
    stays, key = (BEN, "D-1") if leaver == ANN else (ANN, "D-2")
    assert _names(simulation)[key] == stays
    assert not [key for key in _names(simulation) if key.startswith("tmp-")]


def test_a_driver_deleted_under_a_temporary_id_is_the_same_when_it_is_back() -> None:
    simulation = _fleet(Target.DRIVERI, {ANN: "D-1", BEN: "D-2"})
    simulation.restate(ANN, {"driveri_driver_id": "D-2"})
    simulation.restate(BEN, {"driveri_driver_id": "D-1"})
    simulation.start()
    simulation.finish()
    simulation.delete(BEN)
    simulation.settle()
    simulation.state(BEN, _profile(BEN, "D-9"))
    simulation.settle()
    assert _names(simulation) == {"D-2": "ann", "D-9": "ben"}
    assert len(simulation.target.scan()) == 2


def test_in_motive_the_driverid_of_a_leaver_goes_to_the_driver_that_gets_it() -> None:
    simulation = _fleet(Target.MOTIVE, {ANN: "D-1", BEN: "D-2"})
    leaver = simulation.decider.links[BEN].key
    simulation.delete(BEN)
    simulation.run()
    _assign(simulation, {ANN: "D-2"})
    kept = simulation.target.truth(leaver)
    assert _names(simulation) == {"D-2": "ann"}
    assert simulation.decider.links[ANN].waits_for == ""
    assert kept is not None
    assert (kept.profile["portal_driver_id"], "driveri_driver_id" in kept.profile) == (BEN, False)


def test_in_motive_a_user_deactivated_by_hand_gives_the_driverid_up() -> None:
    simulation = _fleet(Target.MOTIVE, {ANN: "D-1", BEN: "D-2"})
    simulation.target.turn_by_hand(1)
    simulation.scan()
    simulation.delete(BEN)
    simulation.settle()
    _assign(simulation, {ANN: "D-2"})
    assert _names(simulation) == {"D-2": "ann"}
