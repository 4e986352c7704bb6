"""A reconciliation that was requested with a plan does exactly that, or nothing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.account import Mode
from domain.driver_link import LinkEvent
from domain.identity import Key, Target, reconciliation_stream
from domain.matching import ObservedDriver
from domain.reconciliation import ReconciliationCompleted, ReconciliationRefused
from domain.store import Unit
from services.api.reconciliations import (
    ReconciliationProgress,
    ReconciliationReport,
    Requested,
    Stage,
    reconciliation_for,
    reconciliation_progress,
)
from services.decider import handlers
from services.decider.read_models import OutageRow
from tests.support.stepped_services import ACME, SteppedServices, logged, person
from tests.unit.services.planning.planning_stand import account_of, decided_behind, planned, services


@pytest.fixture
def stepped() -> Iterator[SteppedServices]:
    """Three drivers who are linked on both targets; a person has edited one of them in Driveri by hand."""
    with services() as stepped:
        stepped.add()
        for number in range(3):
            stepped.state(str(number), person(number))
        stepped.run()
        edit(stepped, 0)
        yield stepped


def edit(stepped: SteppedServices, number: int, **changed: str) -> None:
    profile = person(number, ref_id="", driveri_driver_id="", **({"first_name": "Eve"} | changed))
    stepped.twins[ACME, Target.DRIVERI].drivers.put(ObservedDriver(key=Key(f"D{number}"), active=True, profile=profile))


def go_by(stepped: SteppedServices, digest: str) -> int:
    """Jane has this plan done, where sync is off beside one of Motive; the version of the request."""
    of_all = {Target.DRIVERI: digest, Target.MOTIVE: "0" * 16}
    stepped.ask(lambda jane, known: jane.go_by(known, {Target.DRIVERI: digest} if known.is_on else of_all))
    return account_of(stepped).reconciliations[Target.DRIVERI]


def reconciliation(stepped: SteppedServices) -> int:
    """The reconciliation that was requested takes place, and the target is not called yet.

    Behind which position it decided.
    """
    stepped.decide()
    begin = stepped.decider_store.log.end()
    stepped.follow(Target.DRIVERI)
    stepped.scan(Target.DRIVERI)
    stepped.decide()
    return begin


def ends(stepped: SteppedServices) -> list[ReconciliationCompleted | ReconciliationRefused]:
    facts = stepped.decider_store.histories([reconciliation_stream(ACME, Target.DRIVERI)]).values()
    return [
        fact
        for history in facts
        for fact in history
        if isinstance(fact, ReconciliationCompleted | ReconciliationRefused)
    ]


def progress(stepped: SteppedServices, request: int) -> ReconciliationProgress:
    plan = account_of(stepped).plans.get(Target.DRIVERI, "")
    requested = Requested(account=ACME, target=Target.DRIVERI, request=request, plan=plan)
    return reconciliation_progress(stepped.decider_store, stepped.projector_stores[Target.DRIVERI], requested)


def report(stepped: SteppedServices, request: int) -> ReconciliationReport:
    """What came of the request, once it is done."""
    assert progress(stepped, request).stage is Stage.DONE
    found = reconciliation_for(stepped.decider_store, stepped.accounts_store, ACME, Target.DRIVERI, request)
    assert found is not None
    assert found.request == request
    return found


def test_a_reconciliation_by_its_plan_does_exactly_that(stepped: SteppedServices) -> None:
    plan = planned(stepped)
    request = go_by(stepped, plan.part.digest)
    begin = reconciliation(stepped)
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == plan.steps
    assert plan.shown == {"0": "update"}
    last = ends(stepped)[-1]
    assert isinstance(last, ReconciliationCompleted)
    assert (last.request, report(stepped, request).found) == (request, last.found)
    assert not report(stepped, request).is_refused


def edit_another(stepped: SteppedServices) -> None:
    edit(stepped, 1)


def edit_the_same_again(stepped: SteppedServices) -> None:
    edit(stepped, 0, first_name="Eva")


def remove_one(stepped: SteppedServices) -> None:
    stepped.twins[ACME, Target.DRIVERI].drivers.drop(Key("D2"))


def change_in_the_portal(stepped: SteppedServices) -> None:
    stepped.state("0", person(0, last_name="Doe"))


@pytest.mark.parametrize("changing", [edit_another, edit_the_same_again, remove_one, change_in_the_portal])
def test_a_reconciliation_is_refused_once_its_plan_would_be_another(stepped: SteppedServices, changing: object) -> None:
    assert callable(changing)
    plan = planned(stepped)
    request = go_by(stepped, plan.part.digest)
    changing(stepped)
    begin = reconciliation(stepped)
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == []
    last = ends(stepped)[-1]
    assert isinstance(last, ReconciliationRefused)
    assert (last.request, last.plan) == (request, plan.part.digest)
    assert last.would_be == planned(stepped).part.digest
    refused = report(stepped, request)
    assert (refused.is_refused, refused.plan, refused.would_be) == (True, last.plan, last.would_be)


def test_the_plan_of_what_a_refused_reconciliation_left_can_be_gone_by(stepped: SteppedServices) -> None:
    go_by(stepped, "0" * 16)
    reconciliation(stepped)
    plan = planned(stepped)
    request = go_by(stepped, plan.part.digest)
    begin = reconciliation(stepped)
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == plan.steps
    assert not report(stepped, request).is_refused


def test_an_opt_in_goes_by_its_plan(stepped: SteppedServices) -> None:
    stepped.turn_off()
    stepped.state("9", person(9))
    stepped.decide()
    plan = planned(stepped)
    assert plan.shown == {"0": "update", "9": "create"}
    go_by(stepped, plan.part.digest)
    begin = reconciliation(stepped)
    steps = sorted(plan.steps, key=lambda step: step.driver)
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == steps


def test_an_opt_in_that_would_be_another_one_decides_nothing(stepped: SteppedServices) -> None:
    stepped.turn_off()
    stepped.decide()
    plan = planned(stepped)
    go_by(stepped, plan.part.digest)
    edit(stepped, 2)
    begin = reconciliation(stepped)
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == []
    assert isinstance(ends(stepped)[-1], ReconciliationRefused)


def test_the_plan_is_stored_before_sync_is_turned_on(stepped: SteppedServices) -> None:
    stepped.turn_off()
    go_by(stepped, "0" * 16)
    names = [type(event).__name__ for event in logged(stepped.accounts_store)]
    assert names[-2:] == ["ReconciliationRequested", "SyncTurnedOn"]


def test_a_plan_is_void_once_the_mode_is_another(stepped: SteppedServices) -> None:
    request = go_by(stepped, planned(stepped).part.digest)
    assert progress(stepped, request).stage is Stage.WAITING
    stepped.set_mode(Target.DRIVERI, Mode.UPSERT)
    assert progress(stepped, request).stage is Stage.VOID


def test_a_reconciliation_by_a_plan_whose_target_is_not_called_any_more_is_shown_as_stopped(
    stepped: SteppedServices,
) -> None:
    request = go_by(stepped, planned(stepped).part.digest)
    outage = OutageRow(account=ACME, target="driveri", at=stepped.now.isoformat(), reason="down", detail="no answer")
    unit = Unit()
    unit.keep([outage])
    stepped.decider_store.commit(unit)
    assert progress(stepped, request).stage is Stage.WAITING
    stepped.decide()
    stopped = progress(stepped, request)
    assert stopped.stage is Stage.STOPPED
    assert stopped.trouble.startswith("No calls are made to Driveri since ")
    assert "(down: no answer)" in stopped.trouble


def test_a_plan_that_cannot_be_compared_is_refused_and_no_other_account_is_stopped(
    stepped: SteppedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = go_by(stepped, planned(stepped).part.digest)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    begin = reconciliation(stepped)
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == []
    assert (report(stepped, request).is_refused, report(stepped, request).would_be) == (True, "")
    stepped.state("7", person(7))
    stepped.run()
    assert stepped.states()["7"] == "in_sync"


def test_a_plan_that_is_half_done_is_done_to_its_end_through_another_scan(
    stepped: SteppedServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "_PAGE", 1)
    edit(stepped, 2)
    plan = planned(stepped)
    request = go_by(stepped, plan.part.digest)
    stepped.decide()
    begin = stepped.decider_store.log.end()
    stepped.follow(Target.DRIVERI)
    stepped.scan(Target.DRIVERI)
    while stepped.decider_store.log.end() == begin:
        stepped.decider.step()
    stepped.wait(days=1)
    stepped.scan(Target.DRIVERI)
    stepped.decide()
    assert decided_behind(stepped.decider_store, begin, Target.DRIVERI) == plan.steps
    assert not report(stepped, request).is_refused


def test_other_reconciliations_go_on_while_a_plan_is_compared(stepped: SteppedServices) -> None:
    go_by(stepped, planned(stepped).part.digest)
    stepped.decide()
    stepped.follow(Target.DRIVERI)
    stepped.scan(Target.DRIVERI)
    stepped.state("7", person(7))
    begin = stepped.decider_store.log.end()
    stepped.decider.step()
    decided = [event for event in logged(stepped.decider_store)[begin:] if isinstance(event, LinkEvent)]
    assert {event.driver for event in decided} == {"7"}
