"""What reconciliations have found is read from their histories, and of the last one by driver."""

from dataclasses import replace

import pytest

from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.reconciliation import next_reconciliation
from services.api.issues import IssueFilter, IssueKind, open_issues
from services.api.reconciliations import (
    FoundDriver,
    ReconciliationReport,
    found_drivers,
    past_reconciliations,
    reconciliation_for,
)
from services.api.status import status
from services.intake.polling import ListReader, forget
from services.runtime.service import Notifier, Service
from tests.support.stepped_services import ACME
from tests.unit.services.api.fleet import Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE


def edit_by_hand(fleet: Fleet, key: str, **changed: str) -> None:
    """Somebody writes these fields of a driver in Driveri."""
    known = fleet.targets[DRIVERI].truth(Key(key))
    assert known is not None
    fleet.targets[DRIVERI].put(replace(known, profile={**known.profile, **changed}))


def reconciliation(fleet: Fleet) -> None:
    """Driveri is reconciled, and does what follows."""
    fleet.scan(DRIVERI)
    fleet.settle()


def reports(fleet: Fleet, last: int = 10) -> list[ReconciliationReport]:
    return past_reconciliations(fleet.decider, fleet.accounts, ACME, [DRIVERI], last)


def found(fleet: Fleet, limit: int = 500) -> list[FoundDriver]:
    """Every driver that the last reconciliation did not find in sync, read in pages of this size."""
    drivers: list[FoundDriver] = []
    behind = ""
    while page := found_drivers(fleet.decider, ACME, DRIVERI, behind=behind, limit=limit):
        drivers += page
        behind = page[-1].driver
    return drivers


@pytest.fixture
def drifting(fleet: Fleet) -> Fleet:
    """Of four drivers one was changed by hand, one is gone, and one is parked; somebody else was added."""
    fleet.start("1", "2", "3")
    fleet.state("4", first_name="Jane")
    edit_by_hand(fleet, "D1", first_name="Janet")
    fleet.targets[DRIVERI].drop(Key("D2"))
    fleet.targets[DRIVERI].put(ObservedDriver(key=Key("X9"), active=True, profile={}))
    reconciliation(fleet)
    return fleet


def test_a_daily_reconciliation_is_shown_with_its_counts(drifting: Fleet) -> None:
    newest, first = reports(drifting)
    assert newest == ReconciliationReport(
        account="acme",
        target="driveri",
        number=2,
        at=newest.at,
        request=0,
        by="",
        drivers=3,
        found={"drifted": 1, "in_sync": 1, "missing": 1, "unmanaged": 1, "unkeyed": 1},
        drifted={"first_name": 1},
    )
    assert (first.number, first.found) == (1, {"absent": 3})
    assert [report.number for report in reports(drifting, 1)] == [2]


def test_a_requested_reconciliation_is_shown_with_who_requested_it(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.ask("bob", lambda person, known: person.reconciliation(known, DRIVERI))
    request = fleet.request(DRIVERI)
    assert reconciliation_for(fleet.decider, fleet.accounts, ACME, DRIVERI, request) is None
    reconciliation(fleet)
    newest = reports(fleet)[0]
    assert (newest.number, newest.by, newest.request) == (2, "bob", request)
    assert reconciliation_for(fleet.decider, fleet.accounts, ACME, DRIVERI, request) == newest


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_drivers_who_were_not_in_sync_are_named_with_what_was_found(drifting: Fleet, limit: int) -> None:
    told = [(each.driver, each.key, each.finding, [*each.drifted], each.reason) for each in found(drifting, limit)]
    assert told == [
        ("1", "D1", "drifted", ["first_name"], ""),
        ("2", "D2", "missing", [], ""),
        ("4", "", "unkeyed", [], "unkeyed"),
    ]


def test_before_the_first_reconciliation_no_driver_is_named(fleet: Fleet) -> None:
    fleet.add()
    fleet.state("1", first_name="Jane", ref_id="R1")
    assert (found(fleet), reports(fleet)) == ([], [])


def test_a_field_that_drifts_in_two_reconciliations_in_a_row_is_at_odds_until_it_drifts_no_more(
    drifting: Fleet,
) -> None:
    edit_by_hand(drifting, "D1", first_name="Janet", last_name="Roe")
    reconciliation(drifting)
    newest = reports(drifting)[0]
    assert (newest.drifted, newest.at_odds) == ({"first_name": 1, "last_name": 1}, {"first_name": 1})
    assert next((each.driver, [*each.at_odds]) for each in found(drifting)) == ("1", ["first_name"])
    (issue, parked) = open_issues(drifting.decider, drifting.intake, IssueFilter(target=DRIVERI), None, 100)[0]
    assert (issue.problem, issue.reason, issue.since, issue.driver) == (IssueKind.AT_ODDS, "at_odds", newest.at, "")
    assert (issue.detail, parked.driver) == ("first name of 1", "4")
    reconciliation(drifting)
    assert reports(drifting)[0].at_odds == {}
    assert open_issues(drifting.decider, drifting.intake, IssueFilter(reason="at_odds"), None, 100)[0] == []


def test_the_status_shows_when_the_last_reconciliation_was_and_when_the_next_is_due(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.ask("jane", lambda person, known: person.set_reconciliation_time(known, "02:30"))
    (target, _) = status(fleet.decider)[0].targets
    assert target.scanned_at is not None
    assert target.reconciled_at == reports(fleet)[0].at
    assert target.reconciliation_due_at == next_reconciliation(ACME, DRIVERI, "02:30", target.scanned_at)
    fleet.turn_off()
    (target, _) = status(fleet.decider)[0].targets
    assert (target.reconciled_at, target.reconciliation_due_at) == (reports(fleet)[0].at, None)


@pytest.mark.parametrize(
    ("failure", "reason", "detail"),
    [
        ("credentials: answered 403", "credentials", "answered 403"),
        ("the list shows nobody", "not_believed", "the list shows nobody"),
    ],
)
def test_a_portal_that_cannot_be_read_is_an_issue_until_it_is_disconnected(
    fleet: Fleet, failure: str, reason: str, detail: str
) -> None:
    fleet.start("1")
    service = Service("intake", store=fleet.intake, clock=fleet.clock, notifier=Notifier())
    reader = ListReader(service, fleet.clock, every=300.0, most_asked=1000)
    reader.fail(ACME, failure)
    (issue,) = open_issues(fleet.decider, fleet.intake, IssueFilter(account=ACME), None, 100)[0]
    assert (issue.target, issue.problem, issue.reason, issue.detail) == ("portal", IssueKind.PORTAL, reason, detail)
    assert open_issues(fleet.decider, fleet.intake, IssueFilter(target="portal", reason=reason), None, 100)[0] == [
        issue
    ]
    assert open_issues(fleet.decider, fleet.intake, IssueFilter(target=MOTIVE), None, 100)[0] == []
    forget(fleet.intake, ACME)
    assert open_issues(fleet.decider, fleet.intake, IssueFilter(), None, 100)[0] == []
