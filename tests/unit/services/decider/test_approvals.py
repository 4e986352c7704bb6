"""Deletes that the guard holds go out when a person says so: exactly those, once, and within a day."""

import pytest

from domain.account import DeletesApproved, DeletesJudged, DeletesRejected, Mode
from domain.guard import digest_of_holds
from domain.identity import PortalDriverId, Target
from services.decider.read_models import DeleteRow, LinkRow
from tests.support.stepped_services import ACME, SteppedServices, person

FLEET = range(1, 7)


@pytest.fixture
def held(fleet: SteppedServices) -> SteppedServices:
    """Six drivers, of which the Portal has deleted five: three deletes went out, two are held."""
    fleet.add()
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    for number in FLEET:
        fleet.state(f"p{number}", person(number))
    fleet.run()
    fleet.delete("p1", "p2", "p3", "p4", "p5")
    fleet.run()
    return fleet


def holds(fleet: SteppedServices) -> dict[PortalDriverId, int]:
    rows = fleet.decider_store.select(LinkRow, {"state": "held"})
    return {PortalDriverId(row.driver): row.hold for row in rows}


def judge(
    fleet: SteppedServices, seen: dict[PortalDriverId, int], verdict: type[DeletesJudged] = DeletesApproved
) -> None:
    """Jane says so of exactly these held deletes."""
    pairs: list[list[str | int]] = [[driver, hold] for driver, hold in seen.items()]
    named = digest_of_holds(Target.DRIVERI, seen.items())
    fleet.ask(lambda jane, known: jane.judge(known, verdict, target=Target.DRIVERI, digest=named, holds=pairs))


def deleted(fleet: SteppedServices) -> list[str]:
    effects = fleet.twins[ACME, Target.DRIVERI].effects
    return [effect.partition(" ")[2] for effect in effects if effect.startswith("delete")]


def test_deletes_beyond_the_limit_are_held(held: SteppedServices) -> None:
    assert deleted(held) == ["D1", "D2", "D3"]
    assert set(holds(held)) == {"p4", "p5"}
    assert held.decider_store.count(DeleteRow) == {(): 3}


def test_exactly_what_was_approved_goes_out(held: SteppedServices) -> None:
    judge(held, {driver: hold for driver, hold in holds(held).items() if driver == "p4"})
    held.run()
    assert deleted(held) == ["D1", "D2", "D3", "D4"]
    assert set(holds(held)) == {"p5"}
    assert held.facts("p4")[-3:] == ["DeleteApproved", "DeleteDecided", "Confirmed"]


def test_an_approval_counts_once(held: SteppedServices) -> None:
    seen = holds(held)
    judge(held, seen)
    judge(held, seen)
    held.run()
    judge(held, seen)
    held.run()
    assert deleted(held) == ["D1", "D2", "D3", "D4", "D5"]
    assert [held.facts(driver).count("DeleteApproved") for driver in ("p4", "p5")] == [1, 1]


def test_an_approval_of_another_hold_is_void(held: SteppedServices) -> None:
    judge(held, {driver: hold + 1 for driver, hold in holds(held).items()})
    held.run()
    assert set(holds(held)) == {"p4", "p5"}


@pytest.mark.parametrize(("hours", "goes_out"), [(23, True), (25, False)])
def test_an_approval_expires_after_a_day(held: SteppedServices, hours: int, *, goes_out: bool) -> None:
    judge(held, holds(held))
    held.wait(hours=hours)
    held.run()
    assert (deleted(held)[3:] == ["D4", "D5"]) is goes_out
    assert bool(holds(held)) is not goes_out


def test_a_rejected_delete_does_not_happen(held: SteppedServices) -> None:
    seen = holds(held)
    judge(held, seen, DeletesRejected)
    held.run()
    judge(held, seen)
    held.run()
    assert deleted(held) == ["D1", "D2", "D3"]
    assert held.states()["p4"] == held.states()["p5"] == "kept"


def test_a_driver_who_comes_back_recalls_its_held_delete(held: SteppedServices) -> None:
    seen = holds(held)
    held.state("p4", person(4))
    held.run()
    judge(held, seen)
    held.run()
    assert held.states()["p4"] == "in_sync"
    assert held.facts("p4")[-1] == "DeleteRecalled"
    assert deleted(held) == ["D1", "D2", "D3", "D5"]


def test_an_approval_is_void_where_no_deletes_are_sent(held: SteppedServices) -> None:
    judge(held, holds(held))
    held.set_mode(Target.DRIVERI, Mode.UPSERT)
    held.run()
    assert deleted(held) == ["D1", "D2", "D3"]


def test_the_limit_counts_a_sliding_day(held: SteppedServices) -> None:
    judge(held, holds(held), DeletesRejected)
    held.run()
    held.wait(hours=25)
    held.delete("p6")
    held.run()
    assert deleted(held) == ["D1", "D2", "D3", "D6"]
