"""What a reconciliation decides, counts and keeps."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from domain.account import Account, AccountEvent, Mode, Request
from domain.driver_link import DriftFound
from domain.failures import Reason, Unavailable
from domain.identity import Key, PortalDriverId, Target, reconciliation_stream, scan_stream
from domain.matching import ObservedDriver, key_identifier
from domain.outcomes import DriverLookedUp, HintedDriverGone, HintedDriverSeen, ObservedDriverSeen, RosterScanned
from domain.ports import PortalLine
from domain.reconciliation import ReconciliationCompleted, ReconciliationEvent, ReconciliationRefused
from domain.store import Event, Unit
from services.accounts.handlers import AccountRow
from services.decider import reconciliations
from services.decider.dry_run import PlanChecks
from services.decider.handlers import Decider
from services.decider.order import BatchOrder
from services.decider.read_models import LinkRow, ObservedRow, ReconciliationRow, RunningReconciliation
from services.runtime.context import Assignment
from services.wiring.registry import open_dry_run
from tests.support.stated import whole
from tests.support.stepped_services import ACME, SteppedServices, logged, person

DRIVERI = Target.DRIVERI


@pytest.fixture
def decider(fleet: SteppedServices) -> Decider:
    """A decider on the same store, to be led step by step."""
    return Decider(fleet.decider_store, fleet.clock, Assignment())


def begin(fleet: SteppedServices, drivers: int) -> None:
    """Let these many drivers be in sync on Driveri, and leave Motive alone."""
    fleet.add(is_on=False)
    fleet.set_mode(Target.MOTIVE, Mode.OFF)
    stated = [
        PortalLine(line=each, driver=PortalDriverId(f"p{each}"), profile=whole(person(each))) for each in range(drivers)
    ]
    fleet.intake.take_list(ACME, stated, source="export")
    fleet.turn_on()
    fleet.run()


def write(fleet: SteppedServices, key: str, **fields: str) -> None:
    """A person writes into a driver on Driveri."""
    drivers = fleet.twins[ACME, DRIVERI].drivers
    known = drivers.shown(Key(key)) or ObservedDriver(key=Key(key), active=True, profile={})
    drivers.put(replace(known, profile={**known.profile, **fields}))


def ask(fleet: SteppedServices, *, driver: str = "", plan: str = "") -> int:
    """Jane requests a reconciliation; at which version of the account."""

    def asking(jane: Request, known: Account) -> tuple[AccountEvent, ...]:
        return jane.reconciliation(known, DRIVERI, driver=driver, keys=["D1"] if driver else [], plan=plan)

    fleet.ask(asking)
    return fleet.accounts.show(ACME).version


def report(fleet: SteppedServices, *reports: Event) -> None:
    """Driveri's projector reports this, and the decider takes it over."""
    fleet.projector_stores[DRIVERI].commit(Unit(events=list(reports)))
    fleet.decide()


def complete(fleet: SteppedServices, request: int = 0, drivers: int = 0, policy_generation: int | None = None) -> None:
    """Driveri's projector has read the whole roster, and saw nothing new."""
    report(fleet, scanned(fleet, request, drivers, policy_generation))


def scanned(
    fleet: SteppedServices, request: int = 0, drivers: int = 0, policy_generation: int | None = None
) -> RosterScanned:
    return RosterScanned(
        originator_id=scan_stream(ACME, DRIVERI),
        originator_version=next_version(fleet),
        at=fleet.now,
        account=ACME,
        target=DRIVERI,
        policy_generation=fleet.accounts.show(ACME).policy_generation[DRIVERI]
        if policy_generation is None
        else policy_generation,
        drivers=drivers,
        request=request,
    )


def next_version(fleet: SteppedServices) -> int:
    history = scan_stream(ACME, DRIVERI)
    return len(fleet.projector_stores[DRIVERI].histories([history])[history]) + 1


def reconciliation(fleet: SteppedServices) -> None:
    """Jane requests a reconciliation, and all services work until everything is done."""
    ask(fleet)
    fleet.run()


def history_of(fleet: SteppedServices) -> Sequence[Event]:
    """What is in the history of Driveri's reconciliations."""
    history = reconciliation_stream(ACME, DRIVERI)
    return fleet.decider_store.histories([history])[history]


def requests_of(fleet: SteppedServices) -> list[int]:
    """The request of each of Driveri's reconciliations."""
    return [fact.request for fact in history_of(fleet) if isinstance(fact, ReconciliationEvent)]


def last(fleet: SteppedServices) -> ReconciliationRow:
    (row,) = fleet.decider_store.select(ReconciliationRow, {"target": str(DRIVERI)})
    return row


def in_hand(fleet: SteppedServices) -> list[RunningReconciliation]:
    return fleet.decider_store.select(RunningReconciliation)


@pytest.mark.parametrize("drivers", [1, 20, 600])
def test_a_reconciliation_that_finds_all_drivers_in_sync_stores_one_fact_whatever_the_fleets_size(
    fleet: SteppedServices, drivers: int
) -> None:
    begin(fleet, drivers)
    before, request = len(logged(fleet.decider_store)), ask(fleet)
    fleet.decide()
    complete(fleet, request, drivers)
    (fact,) = logged(fleet.decider_store)[before:]
    assert isinstance(fact, ReconciliationCompleted)
    assert (fact.originator_version, fact.request, fact.drivers) == (2, request, drivers)
    assert (fact.found, fact.drifted, fact.at_odds) == ({"in_sync": drivers}, {}, {})


def test_a_scan_under_a_new_policy_is_a_reconciliation_too(fleet: SteppedServices) -> None:
    begin(fleet, 3)
    (fact,) = history_of(fleet)
    assert isinstance(fact, ReconciliationCompleted)
    assert (fact.originator_version, fact.request, fact.scan, fact.found) == (1, 0, 1, {"absent": 3})


def test_a_reconciliation_counts_what_it_found(fleet: SteppedServices) -> None:
    begin(fleet, 9)
    fleet.state("p8", person(8, driveri_driver_id="D7"))
    fleet.delete("p6")
    fleet.run()
    write(fleet, "D1", last_name="Roe")
    write(fleet, "D2", last_name="Roe", first_name="Jan")
    fleet.twins[ACME, DRIVERI].drivers.drop(Key("D3"))
    write(fleet, "S1", last_name="Unmanaged")
    reconciliation(fleet)
    assert last(fleet).found == {
        "conflict": 1,
        "drifted": 2,
        "in_sync": 4,
        "missing": 1,
        "unmanaged": 1,
    }
    assert last(fleet).drifted == {"first_name": 1, "last_name": 2}
    assert last(fleet).drivers == 9


def test_a_reconciliation_names_the_drivers_for_which_it_decided_something(fleet: SteppedServices) -> None:
    begin(fleet, 3)
    write(fleet, "D1", last_name="Roe")
    reconciliation(fleet)
    rows = fleet.decider_store.select(LinkRow, {"reconciliation": 2})
    assert [(row.driver, row.finding, row.drifted, row.at_odds) for row in rows] == [
        ("p1", "drifted", ["last_name"], [])
    ]
    triggers = {event.rationale.get("reconciliation") for event in fleet.decided() if isinstance(event, DriftFound)}
    assert triggers == {2}


def test_two_writers_are_at_odds_only_in_two_successive_reconciliations(fleet: SteppedServices) -> None:
    begin(fleet, 2)
    at_odds = []
    for last_name in ("Roe", "Roe", "", "Roe", "Roe"):
        if last_name:
            write(fleet, "D1", last_name=last_name)
        reconciliation(fleet)
        at_odds.append((last(fleet).drifted, last(fleet).at_odds))
    found = {"last_name": 1}
    assert at_odds == [(found, {}), (found, found), ({}, {}), (found, {}), (found, found)]


def test_drift_says_since_when_it_was_seen(fleet: SteppedServices) -> None:
    begin(fleet, 2)
    write(fleet, "D1", last_name="Roe")
    reconciliation(fleet)
    (found,) = [event for event in fleet.decided() if isinstance(event, DriftFound)]
    seen = next(event for event in logged(fleet.projector_stores[DRIVERI]) if isinstance(event, ObservedDriverSeen))
    assert (found.first_seen, found.decision, found.profile) == (seen.at.isoformat(), 1, {"last_name": "Roe"})


def test_a_scan_that_failed_decides_nothing(fleet: SteppedServices) -> None:
    begin(fleet, 120)
    write(fleet, "D1", last_name="Roe")
    fleet.twins[ACME, DRIVERI].drivers.drop(Key("D2"))
    fleet.twins[ACME, DRIVERI].breaks_off = 1, Unavailable(reason=Reason.DOWN, detail="503")
    before = logged(fleet.decider_store)
    ask(fleet)
    fleet.decide()
    fleet.follow(DRIVERI)
    fleet.scan(DRIVERI)
    fleet.decide()
    reported = logged(fleet.projector_stores[DRIVERI])[-2:]
    assert [type(event).__name__ for event in reported] == ["ObservedDriverSeen", "RosterScanFailed"]
    assert logged(fleet.decider_store) == before


def test_a_scan_that_comes_while_a_reconciliation_goes_on_restarts_it(fleet: SteppedServices, decider: Decider) -> None:
    begin(fleet, 3)
    request = ask(fleet)
    fleet.decide()
    first = scanned(fleet, request, 3)
    hear(fleet, decider, first)
    assert decider.reconcile() == 3
    hear(fleet, decider, replace(first, originator_version=3, request=0))
    (work,) = in_hand(fleet)
    assert (work.reconciliation, work.after, work.scan, work.request, work.found) == (2, 0, 3, request, {})
    assert [decider.reconcile() for _ in range(3)] == [3, 1, 0]
    assert last(fleet).found == {"in_sync": 3}


def test_a_request_is_answered_by_one_reconciliation(fleet: SteppedServices) -> None:
    begin(fleet, 1)
    request = ask(fleet)
    fleet.decide()
    for _ in range(2):
        complete(fleet, request, 1)
    assert requests_of(fleet) == [0, request, 0]
    assert last(fleet).answered == request


def test_only_the_driver_that_was_looked_up_is_decided(fleet: SteppedServices) -> None:
    begin(fleet, 3)
    seen = [changed(fleet, "D1"), changed(fleet, "D2")]
    request = ask(fleet, driver="p1")
    fleet.decide()
    before = len(fleet.decided())
    report(fleet, *seen, looked_up(fleet, request))
    found, *_ = fleet.decided()[before:]
    assert {event.driver for event in fleet.decided()[before:]} == {"p1"}
    assert isinstance(found, DriftFound)
    assert (found.rationale["trigger"], found.rationale["ref"], found.reconciliation) == (
        "reconciliation",
        str(request),
        0,
    )
    assert len(history_of(fleet)) == 1


def test_a_driver_who_could_not_be_looked_up_is_not_decided(fleet: SteppedServices) -> None:
    begin(fleet, 3)
    seen, request = changed(fleet, "D1"), ask(fleet, driver="p1")
    fleet.decide()
    before = fleet.decided()
    report(fleet, seen, looked_up(fleet, request, reason="down"))
    assert fleet.decided() == before


def test_a_driver_whose_target_hinted_at_it_is_decided_at_once_and_no_other(fleet: SteppedServices) -> None:
    begin(fleet, 3)
    before = len(fleet.decided())
    report(fleet, changed(fleet, "D1"), HintedDriverSeen(**vars(changed(fleet, "D2"))))
    found, *_ = fleet.decided()[before:]
    assert {event.driver for event in fleet.decided()[before:]} == {"p2"}
    assert isinstance(found, DriftFound)
    assert (found.rationale["trigger"], found.rationale["ref"], found.reconciliation) == ("hint", "D2", 0)


def test_one_who_is_gone_by_a_hint_is_made_again(fleet: SteppedServices) -> None:
    begin(fleet, 3)
    before, seen = len(fleet.decided()), changed(fleet, "D2")
    gone = HintedDriverGone(
        originator_id=seen.originator_id,
        originator_version=seen.originator_version,
        at=seen.at,
        account=ACME,
        target=DRIVERI,
        key="D2",
    )
    report(fleet, gone)
    assert [(type(event).__name__, event.driver) for event in fleet.decided()[before:]] == [("CreateDecided", "p2")]


def changed(fleet: SteppedServices, key: str) -> ObservedDriverSeen:
    """A report that this driver has another last name."""
    (row,) = fleet.decider_store.select(ObservedRow, {"identifier": key_identifier(DRIVERI, Key(key))})
    return ObservedDriverSeen(
        originator_id=scan_stream(ACME, DRIVERI),
        originator_version=next_version(fleet) + int(key[1:]) - 1,
        at=fleet.now,
        account=ACME,
        target=DRIVERI,
        key=key,
        active=True,
        profile={**row.profile, "last_name": "Roe"},
    )


def looked_up(fleet: SteppedServices, request: int, reason: str = "") -> DriverLookedUp:
    return DriverLookedUp(
        originator_id=scan_stream(ACME, DRIVERI),
        originator_version=next_version(fleet) + 2,
        at=fleet.now,
        account=ACME,
        target=DRIVERI,
        driver="p1",
        request=request,
        reason=reason,
        detail="",
    )


def planned(fleet: SteppedServices, decider: Decider) -> RunningReconciliation:
    """Jane requests a reconciliation by a plan, and Driveri's roster was scanned for it."""
    request = ask(fleet, plan="f00d")
    hear_of_accounts(fleet, decider)
    hear(fleet, decider, scanned(fleet, request, 2))
    (work,) = in_hand(fleet)
    return work


def hear_of_accounts(fleet: SteppedServices, decider: Decider) -> None:
    """The decider takes over what was asked of accounts since it last did, and does no chore."""
    known = fleet.decider_store.select(AccountRow)[0].version
    events = [event for event in logged(fleet.accounts_store) if event.originator_version > known]
    fleet.decider_store.commit(decider.on_accounts([(event.originator_version, event) for event in events]))


def hear(fleet: SteppedServices, decider: Decider, *reports: Event) -> None:
    """The decider takes these reports over, and does no chore."""
    fleet.decider_store.commit(decider.on_reports([*enumerate(reports, 1)]))


def check(fleet: SteppedServices, work: RunningReconciliation) -> None:
    """The plan was compared, and is the one that was seen."""
    unit = Unit()
    unit.keep([replace(work, plan="")])
    fleet.decider_store.commit(unit)


def test_with_a_plan_nothing_is_decided_before_that_is_compared(fleet: SteppedServices, decider: Decider) -> None:
    begin(fleet, 2)
    before = logged(fleet.decider_store)
    work = planned(fleet, decider)
    assert (work.plan, decider.reconcile()) == ("f00d", 0)
    assert logged(fleet.decider_store) == before
    check(fleet, work)
    assert [decider.reconcile() for _ in range(3)] == [2, 1, 0]
    assert (last(fleet).request, last(fleet).is_refused, in_hand(fleet)) == (work.request, False, [])


def test_another_plan_ends_the_reconciliation_and_takes_its_number(fleet: SteppedServices, decider: Decider) -> None:
    begin(fleet, 2)
    work = planned(fleet, decider)
    fleet.decider_store.commit(
        reconciliations.refused(fleet.decider_store, work, plan="f00d", would_be="beef", now=fleet.now)
    )
    refused = history_of(fleet)[-1]
    assert isinstance(refused, ReconciliationRefused)
    assert (refused.originator_version, refused.request, refused.would_be) == (2, work.request, "beef")
    assert (last(fleet).is_refused, last(fleet).found, in_hand(fleet)) == (True, {}, [])
    complete(fleet, work.request, 2)
    assert (last(fleet).version, last(fleet).request, last(fleet).answered) == (3, 0, work.request)


def test_a_plan_is_not_judged_by_a_process_that_the_account_has_left(fleet: SteppedServices, decider: Decider) -> None:
    begin(fleet, 2)
    work, assignment = planned(fleet, decider), Assignment()
    reconciled = Decider(fleet.decider_store, fleet.clock, assignment).planned_accounts
    checks = PlanChecks(fleet.decider_store, fleet.clock, in_hand=reconciled, scratch=open_dry_run, order=BatchOrder())
    assert checks.check_plans() == 1
    assignment.hold([])
    assert [*iter(checks.check_plans, 0)]
    assert in_hand(fleet) == [work]
    assignment.hold([0])
    assert [*iter(checks.check_plans, 0)]
    assert (in_hand(fleet), last(fleet).is_refused) == ([], True)


def test_a_reconciliation_waits_for_its_request_to_be_consumed_and_then_goes_by_its_plan(
    fleet: SteppedServices, decider: Decider
) -> None:
    begin(fleet, 2)
    request = ask(fleet, plan="f00d")
    hear(fleet, decider, scanned(fleet, request, 2))
    assert decider.reconcile() == 0
    assert [work.plan for work in in_hand(fleet)] == [""]
    hear_of_accounts(fleet, decider)
    assert [work.plan for work in in_hand(fleet)] == ["f00d"]
    assert decider.reconcile() == 0


def test_a_request_that_was_overtaken_is_left_to_the_later_ones_scan(fleet: SteppedServices) -> None:
    begin(fleet, 2)
    request, later = ask(fleet, plan="f00d"), ask(fleet)
    fleet.decide()
    complete(fleet, request, 2)
    assert in_hand(fleet) == []
    complete(fleet, later, 2)
    assert requests_of(fleet) == [0, later]


def test_another_policy_ends_a_reconciliation_without_a_request_without_a_fact(fleet: SteppedServices) -> None:
    begin(fleet, 2)
    policy_generation = fleet.accounts.show(ACME).policy_generation[DRIVERI]
    fleet.turn_off()
    fleet.decide()
    complete(fleet, 0, 2, policy_generation)
    assert in_hand(fleet) == []
    assert requests_of(fleet) == [0]


def test_turning_sync_off_shows_the_person_who_requested_the_reconciliation_that_it_is_over(
    fleet: SteppedServices, decider: Decider
) -> None:
    begin(fleet, 2)
    work = planned(fleet, decider)
    check(fleet, work)
    fleet.turn_off()
    fleet.decide()
    refused = history_of(fleet)[-1]
    assert isinstance(refused, ReconciliationRefused)
    assert (refused.would_be, refused.request) == ("", work.request)
    assert in_hand(fleet) == []


def test_a_request_under_a_former_policy_is_answered_by_the_reconciliation_under_the_new_one(
    fleet: SteppedServices,
) -> None:
    begin(fleet, 2)
    policy_generation, request = fleet.accounts.show(ACME).policy_generation[DRIVERI], ask(fleet)
    fleet.set_mode(DRIVERI, Mode.UPSERT)
    fleet.decide()
    complete(fleet, request, 2, policy_generation)
    assert (in_hand(fleet), requests_of(fleet)) == ([], [0])
    complete(fleet, request, 2)
    assert requests_of(fleet) == [0, request]


def test_a_plan_made_under_a_former_policy_is_void(fleet: SteppedServices) -> None:
    begin(fleet, 2)
    request = ask(fleet, plan="f00d")
    fleet.set_mode(DRIVERI, Mode.UPSERT)
    fleet.decide()
    complete(fleet, request, 2)
    assert (last(fleet).found, last(fleet).is_refused) == ({"in_sync": 2}, False)


def test_a_driver_about_to_be_linked_is_not_unmanaged(fleet: SteppedServices) -> None:
    write(fleet, "D1", last_name="Roe")
    write(fleet, "S1", last_name="Unmanaged")
    fleet.add(mode=Mode.OBSERVE)
    fleet.state("p1", person(1))
    fleet.run()
    assert last(fleet).found == {"found": 1, "unmanaged": 1}
