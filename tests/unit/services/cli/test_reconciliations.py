"""`driverlink reconcile` and `reconciliations`, as a person and as a script see them."""

import asyncio
import re
from pathlib import Path

import pytest

from domain.account import Mode
from domain.identity import AccountId, Target
from services.cli import reconciliations
from services.cli.reconciliations import driver_row, overridden, report_row, two_writers
from tests.support.commanding import command
from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import ApiStand

REPORT = {
    "account": "acme",
    "target": "driveri",
    "number": 7,
    "at": "2026-03-01T08:00:00.123+00:00",
    "request": 12,
    "by": "maria",
    "is_refused": False,
    "plan": "",
    "would_be": "",
    "drivers": 100,
    "found": {"in_sync": 90, "drifted": 4, "unmanaged": 2, "held": 1, "renamed": 3, "not_there": 1},
    "drifted": {"email": 3, "first_name": 1},
    "at_odds": {"first_name": 1},
}


@pytest.fixture
def reconciled(folder: Path) -> None:
    """The roster of Driveri was read once more."""
    stand = ApiStand(folder)
    stand.scanned(AccountId("acme"), Target.DRIVERI, version=2)
    while stand.step():
        pass
    stand.close()


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_a_reconciliation_is_requested_without_waiting_for_it(driverlink: ServedFolder) -> None:
    ended = driverlink("reconcile", "acme", "--as", "jane", "--no-wait")
    assert (ended.status, ended.out, ended.err) == (
        0,
        "requested a reconciliation of all drivers of acme on driveri and motive\n",
        "",
    )
    ended = driverlink("reconcile", "acme", "--as", "bob", "--driver", "3", "--target", "motive", "--no-wait")
    assert ended.out == "requested a reconciliation of driver 3 of acme on motive\n"


def test_a_script_gets_what_was_requested(driverlink: ServedFolder) -> None:
    found = driverlink("reconcile", "acme", "--as", "jane", "--no-wait", "--json").document
    assert found["requests"] == [{"target": "driveri", "request": 3}, {"target": "motive", "request": 4}]
    assert (found["is_awaited"], found["reconciliations"], found["stopped"]) == (False, [], {})


def test_ctrl_c_while_waiting_says_that_the_reconciliation_goes_on(
    driverlink: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reconciliations, "ask", interrupted)
    ended = driverlink("reconcile", "acme", "--as", "jane")
    assert (ended.status, ended.out) == (130, "")
    assert ended.err == "the reconciliation goes on; see later what it found: `driverlink reconciliations acme`\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--as", "eve"), "eve is neither the Master User nor the account manager of acme"),
        (("--as", "jane", "--driver", "9"), "there is no driver 9 in account acme"),
    ],
)
def test_a_reconciliation_that_cannot_be_is_refused_in_one_line(
    driverlink: ServedFolder, arguments: tuple[str, ...], says: str
) -> None:
    ended = driverlink("reconcile", "acme", *arguments)
    assert (ended.status, ended.out, ended.err) == (1, "", f"driverlink: {says}\n")


def test_modes_that_are_off_everywhere_leave_nothing_to_reconciliation(folder: Path, driverlink: ServedFolder) -> None:
    stand = ApiStand(folder)
    for target in Target:
        asyncio.run(stand.set_mode("acme", target, Mode.OFF))
    stand.close()
    ended = driverlink("reconcile", "acme", "--as", "jane")
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith("driverlink: The mode for Driveri is off: nothing is decided or sent. Say how far")


@pytest.mark.usefixtures("reconciled")
def test_past_reconciliations_are_one_line_each(driverlink: ServedFolder) -> None:
    ended = driverlink("reconciliations", "acme", "--target", "driveri")
    lines = [cells(line) for line in ended.out.splitlines()]
    assert lines[0][:6] == ["when", "target", "reconciliation", "requested by", "read", "in sync"]
    assert [line[1:4] for line in lines[1:]] == [["driveri", "2", "-"], ["driveri", "1", "-"]]
    assert lines[1][-2:] == ["1 absent, 2 unkeyed", "0"]
    assert (len(lines), ended.status, ended.err) == (3, 0, "")


@pytest.mark.usefixtures("reconciled")
def test_the_details_list_drivers_that_were_not_in_sync(driverlink: ServedFolder) -> None:
    ended = driverlink("reconciliations", "acme", "--target", "driveri", "--last", "1", "--details")
    lines = [cells(line) for line in ended.out.splitlines()]
    assert lines[2] == ["target", "driver", "key", "finding", "drifted", "at odds", "reason"]
    assert lines[3:6] == [
        ["driveri", "1", "unkeyed", "unkeyed"],
        ["driveri", "2", "unkeyed", "unkeyed"],
        ["driveri", "3", "absent"],
    ]
    found = driverlink("reconciliations", "acme", "--target", "driveri", "--json").document
    assert [each["number"] for each in found["reconciliations"]] == [2, 1]
    assert next((each["driver"], each["finding"]) for each in found["drivers"]) == ("1", "unkeyed")
    assert found["unmanaged"] == []


def test_an_account_without_a_reconciliation_says_how_to_have_one(driverlink: ServedFolder) -> None:
    driverlink("accounts", "add", "beta", "--master-user", "jane", "--mode", "full")
    ended = driverlink("reconciliations", "beta")
    note = "no reconciliation of beta has finished yet; start one: `driverlink reconcile beta --as PERSON`\n"
    assert (ended.status, ended.out, ended.err) == (0, "", note)


def test_a_report_counts_what_has_no_column_as_other() -> None:
    row = report_row(REPORT)
    assert row[:5] == ("2026-03-01 08:00:00", "driveri", 7, "maria", 100)
    assert row[5:11] == (90, 4, 0, 2, 0, 1)
    assert row[11:] == ("1 not there, 3 renamed", "1 first name")


def test_a_report_says_what_was_overwritten_and_that_there_is_another_writer() -> None:
    assert overridden(REPORT) == (
        "Overwritten in Driveri, because it had been changed there: "
        "the e-mail of 3 drivers and the first name of 1 driver."
    )
    assert two_writers(REPORT) == (
        "Two writers at odds in Driveri: "
        "another writer changed the first name of 1 driver since the last reconciliation. "
        "Find it, and have these fields changed in the Portal only. The drivers: "
        "`driverlink reconciliations acme --details`"
    )
    quiet = {**REPORT, "drifted": {}, "at_odds": {}}
    assert (overridden(quiet), two_writers(quiet)) == ("", "")


def test_a_reconciliation_that_was_refused_has_no_counts() -> None:
    row = report_row({**REPORT, "is_refused": True})
    assert row[4:] == ("", "", "", "", "", "", "", "refused: another plan", "")


def test_a_driver_is_printed_with_the_names_of_its_fields() -> None:
    found = {"target": "driveri", "driver": "1", "key": "D1", "finding": "in_sync", "reason": ""}
    row = driver_row({**found, "drifted": ["email", "ref_id"], "at_odds": ["email"]})
    assert row == ("driveri", "1", "D1", "in sync", "e-mail, RefID", "e-mail", "")


@pytest.mark.parametrize(("at", "shown"), [("02:30", "02:30 UTC"), ("own", "a time of its own")])
def test_the_time_of_daily_reconciliations_is_set_and_shown(driverlink: ServedFolder, at: str, shown: str) -> None:
    driverlink("accounts", "reconciliation-at", "acme", "23:59", "--as", "jane")
    assert driverlink("accounts", "reconciliation-at", "acme", at, "--as", "bob").status == 0
    assert cells(driverlink("accounts", "show", "acme").out.splitlines()[-1])[-1] == shown


@pytest.mark.parametrize("at", ["2:30", "24:00", "noon", ""])
def test_what_is_not_a_time_of_day_is_refused(at: str) -> None:
    ended = command({}, "accounts", "reconciliation-at", "acme", at, "--as", "jane")
    assert (ended.status, "a time of day is HH:MM in UTC" in ended.err) == (2, True)


@pytest.mark.usefixtures("reconciled")
def test_the_status_shows_reconciliations(driverlink: ServedFolder) -> None:
    ended = driverlink("status", "acme")
    lines = [cells(line) for line in ended.out.splitlines()]
    start = lines.index(["account", "target", "last reconciliation", "next reconciliation"])
    assert [line[:2] for line in lines[start + 1 : start + 3]] == [["acme", "driveri"], ["acme", "motive"]]
    assert lines[start + 1][2] == "2026-01-05 08:00:00"
