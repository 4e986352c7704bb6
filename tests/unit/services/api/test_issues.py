"""What is wrong now is listed, each problem once, and no longer than it lasts."""

from dataclasses import replace

import pytest

from domain.failures import Reason, Rejected, Unavailable
from domain.identity import PortalDriverId, Target
from domain.matching import UnreadableRecord
from domain.store import Unit
from services.api import issues
from services.api.issues import Issue, IssueFilter, IssueKind, count_parked, open_issues
from services.api.schema import to_json
from services.intake.read_models import ReKeyingRow
from services.projector.scans import MOST_UNREADABLE_REPORTED
from tests.support.stepped_services import ACME
from tests.unit.services.api.fleet import JANE, Fleet

DRIVERI, MOTIVE = Target.DRIVERI, Target.MOTIVE
ALL = IssueFilter()


def listed(fleet: Fleet, wanted: IssueFilter = ALL, limit: int = 100) -> list[Issue]:
    """Every issue that is asked for, read in pages of this size."""
    found, behind = open_issues(fleet.decider, fleet.intake, wanted, None, limit)
    while behind:
        page, behind = open_issues(fleet.decider, fleet.intake, wanted, behind, limit)
        found += page
    return found


def told(found: list[Issue]) -> list[tuple[str, str, str]]:
    return [(issue.target, issue.driver, issue.reason) for issue in found]


@pytest.fixture
def troubled(fleet: Fleet) -> Fleet:
    """Two drivers are in sync, four are not, and Motive has refused one of these."""
    fleet.start("1", "2")
    fleet.state("3", first_name="Jane")
    fleet.state("4", **{**JANE, "driveri_driver_id": "D1", "ref_id": "R4"})
    fleet.state("5", first_name="Jane", ref_id="R1", driveri_driver_id="D5")
    fleet.state("6", first_name="Jane", ref_id="R6", driveri_driver_id="D6")
    refused = next(each for each in fleet.pending(MOTIVE) if each.driver == "6")
    fleet.answer(MOTIVE, refused, Rejected(reason=Reason.TAKEN_ELSEWHERE, detail="<email> is somebody else's"))
    fleet.settle()
    return fleet


def test_where_everybody_is_in_sync_nothing_is_open(fleet: Fleet) -> None:
    fleet.start("1", "2")
    assert listed(fleet) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_drivers_who_are_set_aside_are_listed_by_target_and_driver(troubled: Fleet, limit: int) -> None:
    assert told(listed(troubled, ALL, limit)) == [
        ("driveri", "3", "unkeyed"),
        ("driveri", "4", "conflict"),
        ("motive", "5", "conflict"),
        ("motive", "6", "taken_elsewhere"),
    ]


def test_an_issue_says_since_when_and_what_a_person_has_to_know(troubled: Fleet) -> None:
    (issue,) = listed(troubled, IssueFilter(reason="taken_elsewhere"))
    link = troubled.link(MOTIVE, "6")
    assert link.parked is not None
    assert issue == Issue(
        account="acme",
        target="motive",
        problem=IssueKind.PARKED,
        driver="6",
        reason="taken_elsewhere",
        since=link.parked.at,
        detail="<email> is somebody else's",
        name=issue.name,
    )


@pytest.mark.parametrize(
    ("wanted", "drivers"),
    [
        (IssueFilter(account="nobody"), []),
        (IssueFilter(account="acme", target=MOTIVE), ["5", "6"]),
        (IssueFilter(reason="conflict"), ["4", "5"]),
        (IssueFilter(reason="conflict", target=DRIVERI), ["4"]),
        (IssueFilter(reason="down"), []),
    ],
)
def test_issues_are_found_by_account_target_and_reason(
    troubled: Fleet, wanted: IssueFilter, drivers: list[str]
) -> None:
    assert [issue.driver for issue in listed(troubled, wanted)] == drivers


def test_an_issue_is_gone_when_it_is_over(troubled: Fleet) -> None:
    troubled.state("3", first_name="Jane", ref_id="R3")
    troubled.settle()
    assert "3" not in [issue.driver for issue in listed(troubled)]


def test_a_roster_that_cannot_be_read_concerns_the_whole_account(fleet: Fleet) -> None:
    fleet.add()
    fleet.turn_on()
    fleet.fail_scan(MOTIVE, Unavailable(reason=Reason.DOWN, detail="answered 503"))
    (issue,) = listed(fleet)
    assert (issue.problem, issue.driver, issue.detail) == (IssueKind.ROSTER, "", "answered 503")
    assert [len(listed(fleet, IssueFilter(reason=reason))) for reason in ("down", "limited")] == [1, 0]
    fleet.scan(MOTIVE)
    assert listed(fleet) == []


def test_an_open_breaker_is_one_problem_though_the_roster_cannot_be_read_either(fleet: Fleet) -> None:
    fleet.add()
    fleet.turn_on()
    fleet.fail_scan(MOTIVE, Unavailable(reason=Reason.DOWN, detail="answered 503"))
    opened = fleet.open_breaker(MOTIVE, Reason.CREDENTIALS, "answered 401")
    assert listed(fleet) == [
        Issue(
            account="acme",
            target="motive",
            problem=IssueKind.BREAKER,
            driver="",
            reason="credentials",
            since=opened,
            detail="answered 401",
        )
    ]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_what_concerns_an_account_comes_before_its_drivers(troubled: Fleet, limit: int) -> None:
    troubled.open_breaker(MOTIVE, Reason.DOWN, "answered 503")
    assert told(listed(troubled, IssueFilter(target=MOTIVE), limit)) == [
        ("motive", "", "down"),
        ("motive", "5", "conflict"),
        ("motive", "6", "taken_elsewhere"),
    ]
    troubled.close_breaker(MOTIVE)
    assert [issue.driver for issue in listed(troubled, IssueFilter(target=MOTIVE))] == ["5", "6"]


def test_a_breaker_that_closes_releases_what_was_given_up_and_nothing_else(troubled: Fleet) -> None:
    troubled.state("7", first_name="Jane", ref_id="R7", driveri_driver_id="D7")
    given_up = next(each for each in troubled.pending(MOTIVE) if each.driver == "7")
    troubled.give_up(MOTIVE, given_up, Reason.DOWN)
    assert told(listed(troubled, IssueFilter(reason="down"))) == [("motive", "7", "down")]
    troubled.close_breaker(MOTIVE)
    assert [decision.driver for decision in troubled.pending(MOTIVE)] == ["7"]
    assert troubled.pending(MOTIVE)[0].rationale["trigger"] == "reached"


def test_drivers_are_counted_by_target(troubled: Fleet) -> None:
    assert count_parked(troubled.decider, IssueFilter(account=ACME), "") == {DRIVERI: 2, MOTIVE: 2}
    assert count_parked(troubled.decider, IssueFilter(account=ACME, reason="conflict"), "") == {DRIVERI: 1, MOTIVE: 1}
    assert count_parked(troubled.decider, IssueFilter(account=ACME), PortalDriverId("6")) == {MOTIVE: 1}
    assert count_parked(troubled.decider, IssueFilter(account=ACME, target=DRIVERI), "6") == {}


def test_every_reason_of_a_target_can_be_asked_for() -> None:
    assert set(map(str, Reason)) < set(issues.REASONS)


def test_held_rekeyings_are_a_problem_of_the_account_at_the_portal(troubled: Fleet) -> None:
    unit = Unit()
    unit.keep(
        ReKeyingRow(account=ACME, driver=driver, state=state, at=f"2026-01-05T0{hour}:00:00+00:00", before={}, after={})
        for hour, (driver, state) in enumerate([("1", "passed"), ("2", "held"), ("3", "held")])
    )
    troubled.intake.commit(unit)
    (issue,) = listed(troubled, IssueFilter(reason="rekeying"))
    assert (issue.account, issue.target, issue.driver) == (ACME, "portal", "")
    assert issue.since.hour == 1
    assert issue.detail.startswith("it would give other identifiers to 2 drivers, who stay as they are")
    assert issue.detail.endswith("`driverlink rekeyings list acme`")


SHOWN = UnreadableRecord(place="page 2, users.17", key="418", fields=("email", "phone"), is_left_out=False)
LEFT_OUT = UnreadableRecord(place="page 3, users.2", key="", fields=("id",), is_left_out=True)


def test_a_record_that_a_scan_cannot_read_is_an_issue_until_one_reads_it_well(fleet: Fleet) -> None:
    fleet.start("1")
    fleet.scan(MOTIVE, unreadable=[SHOWN, LEFT_OUT])
    shown, left_out = listed(fleet, IssueFilter(account=ACME, target=MOTIVE, reason="unreadable"))
    assert (shown.account, shown.target, shown.problem, shown.driver) == (ACME, "motive", IssueKind.RECORD, "")
    assert (shown.key, shown.place) == ("418", "page 2, users.17")
    assert shown.detail == (
        "the record of 418 (page 2, users.17) has an unknown form in email, phone: these fields count as not shown; "
        "enter it again in Motive or ask Motive's support; the next scan that can read it ends this"
    )
    assert (left_out.key, left_out.place) == ("", "page 3, users.2")
    assert "a record without an id that can be read (page 3, users.2)" in left_out.detail
    assert "counts neither as seen nor as gone" in left_out.detail
    assert to_json(shown).items() >= {"key": "418", "place": "page 2, users.17", "problem": "record"}.items()
    fleet.scan(MOTIVE, unreadable=[LEFT_OUT])
    assert [issue.place for issue in listed(fleet)] == ["page 3, users.2"]
    fleet.scan(DRIVERI)
    assert len(listed(fleet)) == 1
    fleet.scan(MOTIVE)
    assert listed(fleet) == []


def test_of_many_records_that_cannot_be_read_some_are_named_and_the_others_counted(fleet: Fleet) -> None:
    fleet.start("1")
    many = [replace(SHOWN, key=str(number)) for number in range(MOST_UNREADABLE_REPORTED + 5)]
    fleet.scan(MOTIVE, unreadable=many)
    found = listed(fleet)
    assert len(found) == MOST_UNREADABLE_REPORTED + 1
    assert found[-1].detail.startswith("5 more records of the roster cannot be read: ask Motive's support")
