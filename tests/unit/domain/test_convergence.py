"""However changes, calls and answers cross, every driver ends in sync, or stands aside for a reason that is true.

To settle is to reach a state in which another scan decides nothing more.
"""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.driver_link import Confirmed, DriverLink, apply, replay
from domain.identity import Key, PortalDriverId, Target
from domain.matching import ObservedDriver, key_identifier
from tests.support.decider_in_memory import ACCOUNT, DeciderInMemory
from tests.support.happenings import BY_HAND, IN_THE_PORTAL, LOST_ANSWERS, NEW_TERMS, ON_THE_WAY, Happening, happenings
from tests.support.simulation import Simulation
from tests.support.standing import Standing, standing

CROSSING = (*IN_THE_PORTAL, *ON_THE_WAY)
TARGETS = pytest.mark.parametrize("target", Target)


UNMANAGED = [
    ObservedDriver(key=Key(key), active=key == "901", profile={"first_name": "Unmanaged"}) for key in ("901", "902")
]


def _begin(target: Target) -> Simulation:
    simulation = Simulation(target)
    for unmanaged in UNMANAGED:
        simulation.target.put(unmanaged)
    simulation.scan()
    return simulation


def _demand_that_no_key_is_linked_twice(decider: DeciderInMemory) -> None:
    live = [link for link in decider.links.values() if link.key]
    keys = Counter(key_identifier(link.target, link.key) for link in live if link.key)
    assert [key for key, links in keys.items() if links > 1] == []
    assert all(decider.batch.holder(key_identifier(link.target, link.key)) == link.driver for link in live if link.key)


def _demand_that_a_replay_ends_in_the_same_state(decider: DeciderInMemory) -> None:
    for driver, link in decider.links.items():
        start = DriverLink(account=ACCOUNT, target=decider.target, driver=driver)
        assert replay(start, (event for event in decider.log if event.driver == driver)) == link


def _demand_that_answers_claim_what_could_be_known_before(decider: DeciderInMemory) -> None:
    links: dict[str, DriverLink] = {}
    for event in decider.log:
        before = links.get(event.driver) or decider.link(PortalDriverId("nobody"))
        after = links[event.driver] = apply(before, event)
        if isinstance(event, Confirmed) and before.unanswered_at(event.decision):
            keys = {key_identifier(after.target, after.key)} if after.key else set()
            assert after.claims <= before.claimable | keys


def _demand_that_all_is_true(simulation: Simulation, *, is_watched: bool = True) -> None:
    for driver in simulation.decider.desired_drivers:
        standing(simulation, driver, is_watched=is_watched)


def _run(target: Target, drawn: Sequence[Happening]) -> Simulation:
    simulation = _begin(target)
    for happening in drawn:
        happening(simulation)
        _demand_that_no_key_is_linked_twice(simulation.decider)
    simulation.settle()
    _demand_that_a_replay_ends_in_the_same_state(simulation.decider)
    _demand_that_answers_claim_what_could_be_known_before(simulation.decider)
    return simulation


@TARGETS
@given(data=st.data())
def test_crossing_calls_and_lost_answers_end_in_step(target: Target, data: st.DataObject) -> None:
    simulation = _run(target, data.draw(happenings(*CROSSING, *LOST_ANSWERS)))
    _demand_that_all_is_true(simulation)
    assert [simulation.target.truth(unmanaged.key) for unmanaged in UNMANAGED] == UNMANAGED


def test_a_driver_stands_aside_from_the_user_of_a_deleted_one_that_it_may_not_be() -> None:
    """Two drivers want one RefID; the first is deleted while it is created. The e-mails differ."""
    simulation, (first, second) = _begin(Target.MOTIVE), (PortalDriverId("p2"), PortalDriverId("p1"))
    simulation.state(first, {"ref_id": "R-1", "email": "first@fleet.example"})
    simulation.state(second, {"ref_id": "R-1", "email": "second@fleet.example"})
    simulation.start()
    simulation.delete(first)
    simulation.settle()
    assert [standing(simulation, driver) for driver in (first, second)] == [Standing.GONE, Standing.PARKED]
    parked = simulation.decider.links[second].parked
    assert parked
    assert (parked.reason, parked.holder, parked.waits_for) == ("conflict", first, "key:903")


@TARGETS
@given(data=st.data())
def test_a_target_changed_by_hand_and_policies_that_change_end_in_sync(target: Target, data: st.DataObject) -> None:
    simulation = _run(target, data.draw(happenings(*CROSSING, *NEW_TERMS, *BY_HAND[target])))
    _demand_that_all_is_true(simulation, is_watched=False)


@given(changes=happenings(*IN_THE_PORTAL, fewest=10))
def test_driveri_is_in_step_after_each_change_without_a_scan(changes: list[Happening]) -> None:
    simulation = _begin(Target.DRIVERI)
    for change in changes:
        change(simulation)
        simulation.run()
        _demand_that_all_is_true(simulation)
    said = len(simulation.decider.log)
    simulation.scan()
    assert simulation.decider.log[said:] == []
