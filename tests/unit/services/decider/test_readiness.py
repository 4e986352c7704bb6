"""When decisions are made at all: sync is on, and the roster was scanned under the present policy generation."""

import pytest

from domain.account import Mode
from domain.failures import Reason, Unavailable
from domain.identity import Target
from services.decider.read_models import DesiredRow, RunningReconciliation, ScanFailureRow
from tests.support.stepped_services import ACME, SteppedServices, logged, person


def test_desired_drivers_are_kept_while_sync_is_off_and_nothing_is_decided(fleet: SteppedServices) -> None:
    fleet.add(is_on=False)
    fleet.state("p1", person(1))
    fleet.state("p1", person(1, driveri_driver_id="D9"))
    fleet.state("p2", person(2))
    fleet.delete("p2")
    fleet.run()
    desired_drivers = fleet.decider_store.select(DesiredRow, order_by="driver")
    assert [(row.driver, row.is_wanted, row.profile["driveri_driver_id"]) for row in desired_drivers] == [
        ("p1", True, "D9"),
        ("p2", False, "D2"),
    ]
    assert fleet.decided() == []


def test_desired_drivers_of_an_unknown_account_are_kept(fleet: SteppedServices) -> None:
    fleet.state("p1", person(1))
    fleet.decide()
    assert fleet.decider_store.count(DesiredRow) == {(): 1}


def test_nothing_is_decided_before_the_scan_is_complete(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.decide()
    assert fleet.decided() == []
    fleet.follow(Target.DRIVERI)
    fleet.scan(Target.DRIVERI)
    fleet.decide()
    assert [(event.target, event.driver) for event in fleet.decided()] == [(Target.DRIVERI, "p1")]


def test_nothing_is_decided_after_a_scan_that_failed_half_way(fleet: SteppedServices) -> None:
    fleet.twins[ACME, Target.DRIVERI].breaks_off = 0, Unavailable(reason=Reason.DOWN, detail="503")
    fleet.add()
    fleet.state("p1", person(1))
    fleet.run()
    assert fleet.decided(Target.DRIVERI) == []
    assert fleet.decider_store.count(ScanFailureRow) == {(): 1}


def test_a_scan_under_a_former_policy_makes_no_account_ready(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.follow(Target.DRIVERI)
    fleet.scan(Target.DRIVERI)
    fleet.set_mode(Target.DRIVERI, Mode.UPSERT)
    fleet.state("p1", person(1))
    fleet.decide()
    assert fleet.decided() == []


def test_a_complete_scan_ends_a_failure_that_is_reported_in_the_same_batch(fleet: SteppedServices) -> None:
    twin = fleet.twins[ACME, Target.DRIVERI]
    twin.breaks_off = 0, Unavailable(reason=Reason.DOWN, detail="503")
    fleet.add()
    fleet.follow(Target.DRIVERI)
    fleet.scan(Target.DRIVERI)
    twin.breaks_off = None
    fleet.scan(Target.DRIVERI)
    fleet.decide()
    assert [type(event).__name__ for event in logged(fleet.projector_stores[Target.DRIVERI])] == [
        "RosterScanFailed",
        "RosterScanned",
    ]
    assert fleet.decider_store.count(ScanFailureRow) == {(): 0}


def test_turning_off_stops_and_turning_on_again_catches_up(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.run()
    fleet.turn_off()
    fleet.run()
    fleet.state("p1", person(1, last_name="Roe"))
    fleet.state("p2", person(2))
    fleet.run()
    assert fleet.states() == {"p1": "in_sync"}
    assert fleet.twins[ACME, Target.DRIVERI].effects == ["create D1"]
    fleet.turn_on()
    fleet.run()
    assert fleet.states() == {"p1": "in_sync", "p2": "in_sync"}
    assert fleet.twins[ACME, Target.DRIVERI].effects == ["create D1", "update D1", "create D2"]


@pytest.mark.parametrize(("mode", "expected"), [(Mode.OFF, []), (Mode.OBSERVE, ["CreateDecided"])])
def test_observing_decides_and_off_does_not(fleet: SteppedServices, mode: Mode, expected: list[str]) -> None:
    fleet.add(mode=mode)
    fleet.state("p1", person(1))
    fleet.run()
    assert fleet.facts("p1") == expected
    assert fleet.twins[ACME, Target.DRIVERI].called == []


def test_each_target_is_decided_for_itself(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    fleet.state("p1", person(1))
    fleet.run()
    assert fleet.states(Target.DRIVERI) == {"p1": "in_sync"}
    assert fleet.states(Target.MOTIVE) == {}


def test_no_reconciliation_is_left_at_rest(fleet: SteppedServices) -> None:
    fleet.add()
    fleet.state("p1", person(1))
    fleet.run()
    assert fleet.decider_store.count(RunningReconciliation) == {(): 0}
