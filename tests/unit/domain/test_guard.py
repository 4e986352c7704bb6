"""The guard against mass deletion: how many deletes a day go out without a person, whatever happens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from domain.account import Mode
from domain.driver_link import (
    Confirmed,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    LinkEvent,
    UpdateDecided,
    in_sequence,
    replay,
)
from domain.guard import APPROVAL_LASTS, WINDOW, Guard, digest_of_holds, has_expired
from domain.identity import PortalDriverId, Target
from tests.support.happenings import Happening, happenings, kind
from tests.support.scenario import DRIVERI, why
from tests.support.simulation import Simulation

ANN, BEN = PortalDriverId("ann"), PortalDriverId("ben")
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _drivers(count: int) -> list[PortalDriverId]:
    return [PortalDriverId(f"p{number:03}") for number in range(count)]


@pytest.mark.parametrize(
    ("live", "limit"), [(0, 3), (20, 3), (60, 3), (79, 3), (80, 4), (100, 5), (119, 5), (1000, 50)]
)
def test_the_limit_is_three_or_a_twentieth_of_the_live_links(live: int, limit: int) -> None:
    assert Guard(staying=live).limit == limit


LIVE = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, DRIVERI.linked()))
DELETE = DRIVERI.said(DeleteDecided, why("ORPHANED"), key="D-7", desired_key=None, profile={}, answers=1)
DELETING = replay(LIVE, in_sequence(LIVE, [DELETE]))
HOLDING = replay(LIVE, in_sequence(LIVE, [DRIVERI.fact(DeleteHeld, key="D-7", rationale=why("ORPHANED"))]))


def _after_delete(guard: Guard, driver: PortalDriverId) -> Guard:
    return guard.after(replace(LIVE, driver=driver), replace(DELETING, driver=driver), [DELETE])


def test_the_limit_does_not_move_while_deletes_go_out() -> None:
    guard = Guard(staying=100)
    for driver in _drivers(5):
        assert guard.lets_through(driver)
        guard = _after_delete(guard, driver)
    assert guard.figures() == {"limit": 5, "deleted": 5, "held": 0}
    assert not guard.lets_through(ANN)


def test_a_delete_that_was_let_through_is_counted_once() -> None:
    guard = _after_delete(Guard(staying=10, held=1), DELETING.driver)
    assert guard.lets_through(DELETING.driver)
    assert guard.after(DELETING, DELETING, [DELETE]) == guard


def test_while_one_is_held_all_that_follow_are() -> None:
    guard = Guard(staying=10).after(LIVE, HOLDING, [])
    assert not guard.lets_through(ANN)
    assert guard.after(HOLDING, LIVE, []).lets_through(ANN)


def test_a_release_that_was_not_counted_as_held_changes_nothing() -> None:
    assert Guard(staying=10).after(HOLDING, LIVE, []) == Guard(staying=10)


def test_the_guard_counts_links_that_begin_and_end() -> None:
    ended = replay(LIVE, in_sequence(LIVE, [DRIVERI.fact(Confirmed, decision=0, key=None, profile={})]))
    assert Guard(staying=10).after(DRIVERI.nothing, LIVE, []) == Guard(staying=11)
    assert Guard(staying=10).after(LIVE, ended, []) == Guard(staying=9)
    assert Guard(staying=10).after(DELETING, ended, []) == Guard(staying=10)


def test_a_withdrawal_is_not_counted_as_a_delete() -> None:
    withdrawal = DRIVERI.said(DeleteDecided, why("ORPHANED"), desired_key=None, profile={})
    withdrawn = replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, [withdrawal]))
    assert Guard(staying=10).after(DRIVERI.nothing, withdrawn, [withdrawal]) == Guard(staying=10)


def test_the_digest_names_exactly_a_set_of_holds() -> None:
    assert digest_of_holds(Target.DRIVERI, [(ANN, 3), (BEN, 5)]) == digest_of_holds(
        Target.DRIVERI, [(BEN, 5), (ANN, 3)]
    )
    assert digest_of_holds(Target.DRIVERI, [(ANN, 3), (BEN, 5)]) != digest_of_holds(Target.MOTIVE, [(ANN, 3), (BEN, 5)])
    others = [[(ANN, 3)], [(ANN, 4), (BEN, 5)], [(ANN, 3), (BEN, 5), (PortalDriverId("cat"), 1)], []]
    assert digest_of_holds(Target.DRIVERI, [(ANN, 3), (BEN, 5)]) not in (
        digest_of_holds(Target.DRIVERI, other) for other in others
    )
    assert len(digest_of_holds(Target.DRIVERI, [])) == 16


def test_an_approval_lasts_for_a_day() -> None:
    assert not has_expired(NOON, NOON + APPROVAL_LASTS)
    assert has_expired(NOON, NOON + APPROVAL_LASTS + timedelta(seconds=1))


def _let_through(log: Sequence[LinkEvent]) -> list[DeleteDecided]:
    """The deletes that went out without a person's word; one that is said again within its window is the same."""
    approved = {(event.driver, event.originator_version + 1) for event in log if isinstance(event, DeleteApproved)}
    begun: dict[str, datetime] = {}
    through = []
    for event in log:
        if isinstance(event, DeleteDecided) and event.key and event.at - begun.get(event.driver, LONG_AGO) >= WINDOW:
            begun[event.driver] = event.at
            through += [event] if (event.driver, event.originator_version) not in approved else []
    return through


def _most_in_a_window(deletes: Sequence[DeleteDecided]) -> int:
    return max((sum(timedelta(0) <= last.at - each.at < WINDOW for each in deletes) for last in deletes), default=0)


_TWELVE = _drivers(12)
_DELETE = kind(Simulation.delete, driver=_TWELVE)
_DAYS_OF_DELETES = (
    *(_DELETE, _DELETE, _DELETE),
    kind(Simulation.restate, driver=_TWELVE, changed=({"first_name": "Jo"}, {"first_name": "Al"})),
    kind(Simulation.state, driver=_TWELVE, profile=({"first_name": "Jo", "driveri_driver_id": "D-p003"},)),
    kind(Simulation.wait, hours=(1, 5, 11)),
    kind(Simulation.run),
    kind(Simulation.scan),
    kind(Simulation.judge, is_approved=(True, False)),
    kind(Simulation.set_mode, mode=(Mode.FULL, Mode.OBSERVE, Mode.UPSERT)),
)


def _fleet(count: int) -> Simulation:
    simulation = Simulation(Target.DRIVERI)
    simulation.scan()
    for driver in _drivers(count):
        simulation.state(driver, {"first_name": "Jane", "driveri_driver_id": f"D-{driver}"})
    simulation.run()
    return simulation


@given(days=happenings(*_DAYS_OF_DELETES, fewest=30))
def test_no_window_has_more_deletes_without_approval_than_the_limit(days: list[Happening]) -> None:
    simulation = _fleet(12)
    for happening in days:
        happening(simulation)
    simulation.settle()
    assert _most_in_a_window(_let_through(simulation.decider.log)) <= Guard(staying=12).limit


def test_creates_and_updates_go_on_while_deletes_are_held() -> None:
    simulation = _fleet(12)
    gone, kept = _TWELVE[:8], _TWELVE[8:]
    for driver in gone:
        simulation.delete(driver)
    for driver in kept:
        simulation.restate(driver, {"first_name": "Jo"})
    simulation.state(ANN, {"first_name": "Ann", "driveri_driver_id": "D-ann"})
    simulation.run()
    assert len(simulation.decider.holds) == 5
    assert {event.driver for event in simulation.decider.log if isinstance(event, UpdateDecided)} == set(kept)
    assert simulation.decider.links[ANN].is_live


def test_what_observe_decided_over_days_goes_through_the_guard_before_it_is_sent() -> None:
    simulation = _fleet(12)
    simulation.set_mode(Mode.OBSERVE)
    simulation.scan()
    for driver in _TWELVE[:9]:
        simulation.delete(driver)
        simulation.wait(hours=9)
    simulation.set_mode(Mode.FULL)
    simulation.scan()
    simulation.run()
    assert sum(not driver.active for driver in simulation.target.scan()) == 3
    assert len(simulation.decider.holds) == 6


def test_approved_deletes_go_out_and_the_next_ones_are_held_again() -> None:
    simulation = _fleet(12)
    for driver in _TWELVE[:5]:
        simulation.delete(driver)
    simulation.judge(is_approved=True)
    simulation.delete(_TWELVE[6])
    simulation.run()
    assert sum(not driver.active for driver in simulation.target.scan()) == 5
    assert list(simulation.decider.holds) == [_TWELVE[6]]


def test_rejected_drivers_stay_and_are_not_held_again() -> None:
    simulation = _fleet(12)
    for driver in _TWELVE[:5]:
        simulation.delete(driver)
    simulation.judge(is_approved=False)
    simulation.wait(hours=25)
    simulation.settle()
    assert simulation.decider.holds == {}
    assert sum(not driver.active for driver in simulation.target.scan()) == 3
