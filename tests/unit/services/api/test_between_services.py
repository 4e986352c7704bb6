"""What waits between the services is shown, and nothing is called in sync while something does."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from domain.identity import PortalDriverId, Target
from domain.store import Position, Store, Unit
from services.api.backlog import Waiting, waiting
from services.api.driver_states import DriverState
from services.api.explanations import explain
from services.projector.read_models import DeliveryRow, to_delivery
from services.runtime.consumer import PartitionOf
from services.runtime.context import CHANGES
from tests.support.stated import whole
from tests.support.stepped_services import ACME
from tests.unit.services.api.fleet import JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE


def states(fleet: Fleet) -> Mapping[str, DriverState]:
    explained = explain(
        ACME,
        PortalDriverId("1"),
        accounts=fleet.accounts,
        intake=fleet.intake,
        decider=fleet.decider,
        projectors=fleet.reports,
    )
    return {each.target: each for each in explained.states}


def waits(fleet: Fleet, partition_of: PartitionOf | None = None) -> Waiting:
    return waiting(fleet.intake, fleet.decider, fleet.reports, partition_of=partition_of)


def take_over(projector: Store, fleet: Fleet, target: Target) -> None:
    """The projector takes the pending decision over."""
    unit = Unit()
    for decision in fleet.pending(target):
        body = to_delivery(decision).to_json()
        version = decision.originator_version
        known = projector.select(DeliveryRow, {"account": ACME, "driver": decision.driver})
        row = known[0] if known else DeliveryRow(account=ACME, driver=decision.driver)
        unit.keep([replace(row, version=version, body=body)])
    projector.commit(unit)


@pytest.mark.parametrize("target", list(Target))
def test_a_driver_whose_change_waits_undecided_is_not_called_in_sync(fleet: Fleet, target: Target) -> None:
    fleet.start("1")
    fleet.portal.state(ACME, PortalDriverId("1"), whole({**JANE, "phone": "+1 555 0100"}), source="export")
    told = states(fleet)[target]
    assert told.sentence.startswith("A change that the Portal stated at 2026-03-01 ")
    assert "waits undecided: the decider has not consumed it yet. As it stood before: In sync" in told.sentence
    assert "see that the decider runs and can reach Kafka" in told.advice
    fleet.decide()
    assert "waits undecided" not in states(fleet)[target].sentence


def test_a_delete_that_waits_undecided_is_shown(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.portal.delete(ACME, PortalDriverId("1"), source="export")
    assert "waits undecided" in states(fleet)[DRIVERI].sentence


def test_a_first_change_that_waits_undecided_is_shown(fleet: Fleet) -> None:
    fleet.start()
    fleet.portal.state(ACME, PortalDriverId("1"), whole(JANE), source="export")
    assert "waits undecided" in states(fleet)[DRIVERI].sentence


def test_a_decision_waits_until_the_projector_has_taken_it_over(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.state("1", **{**JANE, "phone": "+1 555 0100"})
    assert "waits: Motive's projector has not consumed it yet." in states(fleet)[MOTIVE].sentence
    take_over(fleet.reports[MOTIVE], fleet, MOTIVE)
    assert "On its way" in states(fleet)[MOTIVE].sentence
    assert "has not consumed it yet" not in states(fleet)[MOTIVE].sentence


def test_an_answer_waits_until_the_decider_has_taken_it_over(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.start("1")
    fleet.state("1", **{**JANE, "phone": "+1 555 0100"})
    take_over(fleet.reports[MOTIVE], fleet, MOTIVE)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(fleet, "decide", lambda: None)
        fleet.settle_once(MOTIVE)
    assert states(fleet)[MOTIVE].sentence.startswith("Motive has answered, and the answer waits")
    assert waits(fleet).outcomes == {(ACME, "motive"): 1}
    fleet.decide()
    assert states(fleet)[MOTIVE].sentence.startswith("In sync")
    assert not waits(fleet).outcomes


def test_nothing_waits_where_all_is_consumed(fleet: Fleet) -> None:
    fleet.start("1")
    assert all(each.sentence.startswith("In sync") for each in states(fleet).values())
    assert not waits(fleet).changes


def test_changes_that_wait_are_counted_by_account(fleet: Fleet) -> None:
    fleet.start("1", "2")
    for driver in ("1", "2"):
        fleet.portal.state(ACME, PortalDriverId(driver), whole({**JANE, "phone": "+1 555 0100"}), source="export")
    assert waits(fleet).changes == {ACME: 2}


def test_where_a_log_has_partitions_the_position_in_that_of_the_account_counts(fleet: Fleet) -> None:
    fleet.start("1")
    consumed = [Position(name=f"{CHANGES}/3", at=fleet.intake.log.end()), Position(name=f"{CHANGES}/4", at=10_000)]
    fleet.decider.commit(Unit(positions=consumed))
    assert not waits(fleet, lambda _: 3).changes
    fleet.portal.state(ACME, PortalDriverId("1"), whole({**JANE, "phone": "+1 555 0100"}), source="export")
    assert waits(fleet, lambda _: 3).changes == {ACME: 1}


def test_an_unfinished_account_comes_first(fleet: Fleet) -> None:
    fleet.add_only()
    fleet.portal.state(ACME, PortalDriverId("1"), whole(JANE), source="export")
    assert "do not know account acme yet" in states(fleet)[DRIVERI].sentence
    assert replace(waits(fleet), changes={}).decisions == {}
