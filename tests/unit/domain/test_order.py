"""Changes of different drivers may come in any order, one by one or all at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.account import Mode
from domain.driver_link import CreateDecided, LinkEvent
from domain.identity import PortalDriverId, Target
from domain.portal import Change, DriverCreated, PortalDriver, Statement
from tests.support.decider_in_memory import ACCOUNT, DeciderInMemory
from tests.support.simulation import BEGIN, Simulation
from tests.support.stated import said

DRIVERS = [PortalDriverId(name) for name in ("ann", "ben", "cat")]
"""So few that the guard lets all their deletes through."""

TARGETS = pytest.mark.parametrize("target", Target)
TURNS = st.permutations([driver for driver in DRIVERS for _ in range(4)])
IDS = st.fixed_dictionaries({driver: st.lists(st.sampled_from("123-"), min_size=4, max_size=4) for driver in DRIVERS})
"""What each driver's DriverID becomes, change by change; a dash deletes the driver."""

Changes = list[tuple[PortalDriverId, str]]


def _in_turn(turns: Sequence[PortalDriverId], ids: dict[PortalDriverId, list[str]]) -> Changes:
    left = {driver: iter(texts) for driver, texts in ids.items()}
    return [(driver, next(left[driver])) for driver in turns]


def _state(simulation: Simulation, driver: PortalDriverId, text: str) -> None:
    if text == "-":
        simulation.delete(driver)
    else:
        profile = {"first_name": driver, "ref_id": f"R-{driver}", "driveri_driver_id": f"{driver}-{text}"}
        simulation.state(driver, profile)


def _told(log: Sequence[LinkEvent]) -> dict[str, list[dict[str, object]]]:
    """Each driver's facts without their reasons: the guard's figures there count the deletes of all."""
    stories = defaultdict(list)
    for event in log:
        stories[event.driver].append({"fact": event.TOPIC, **asdict(event), "rationale": None})
    return stories


def _story(target: Target, changes: Changes, *, is_answered: bool) -> dict[str, list[dict[str, object]]]:
    simulation = Simulation(target)
    simulation.scan()
    for driver, text in changes:
        _state(simulation, driver, text)
        if is_answered:
            simulation.run()
    simulation.run()
    return _told(simulation.decider.log)


@pytest.mark.parametrize(
    ("target", "is_answered"), [(Target.DRIVERI, True), (Target.DRIVERI, False), (Target.MOTIVE, False)]
)
@given(turns=TURNS, ids=IDS)
def test_the_order_of_changes_of_different_drivers_does_not_matter(
    target: Target, *, is_answered: bool, turns: list[PortalDriverId], ids: dict[PortalDriverId, list[str]]
) -> None:
    """Motive gives its keys in the order of its calls, so there the answers come after all changes."""
    in_order = _story(target, _in_turn(sorted(turns), ids), is_answered=is_answered)
    assert _story(target, _in_turn(turns, ids), is_answered=is_answered) == in_order


@TARGETS
@given(ids=st.lists(st.sampled_from("1234"), min_size=2, max_size=8), data=st.data())
def test_in_whatever_order_a_batch_comes_the_first_with_an_id_gets_it(
    target: Target, ids: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(ids))))
    decider = DeciderInMemory(target)
    decider.take_policy_generation(Mode.FULL)
    decider.take_scan([], BEGIN)
    decider.take_changes([_hired(rank, ids[rank]) for rank in order], BEGIN)
    first = {text: next(rank for rank in order if ids[rank] == text) for text in ids}
    going = {driver for driver, link in decider.links.items() if isinstance(link.pending, CreateDecided)}
    assert going == {f"p{rank}" for rank in first.values()}
    assert {driver for driver, link in decider.links.items() if link.parked} == decider.links.keys() - going


def _hired(rank: int, text: str) -> Change:
    known = PortalDriver(account=ACCOUNT, driver=PortalDriverId(f"p{rank}"))
    (fact,) = Statement(at=BEGIN, source="api").present(known, said(ref_id=text, driveri_driver_id=text))
    assert isinstance(fact, DriverCreated)
    return fact
