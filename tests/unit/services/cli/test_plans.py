"""`driverlink plan`, `driverlink apply` and `driverlink sync on`, as a person and as a script see them."""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import pytest

from domain.account import ReconciliationRequested, SyncTurnedOn
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from services.cli import plans
from tests.support.approval import Approve
from tests.support.reached_twins import Twins, reached_twins
from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import ApiStand


@pytest.fixture(scope="module")
def unsynchronised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty drivers that no target has, sync off, Motive's mode off; maria is the Master User. To be copied."""
    folder = tmp_path_factory.mktemp("unsynchronised")
    stand = ApiStand(folder)
    asyncio.run(_fill(stand))
    stand.close()
    return folder


async def _fill(stand: ApiStand) -> None:
    account = {"account": "acme", "tier": "pro", "mode": "full", "master_user": "maria", "targets": ["driveri"]}
    assert (await stand.post("/accounts", account)).is_success
    names = {"first_name": "Jane", "last_name": "Doe"}
    lines = [
        {"line": number, "driver": f"{number:02}", "profile": {**names, "driveri_driver_id": f"D{number}"}}
        for number in range(30)
    ]
    assert (await stand.post("/accounts/acme/lists", {"lines": lines})).is_success


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that is made by its first use; its name is short enough for a local socket."""
    with TemporaryDirectory(prefix="dl-") as parent:
        yield Path(parent) / "data"


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> Twins:
    return reached_twins(monkeypatch)


@pytest.fixture
def fleet(unsynchronised: Path, folder: Path, twins: Twins) -> Twins:
    """Thirty drivers in the folder, and the targets that they are not in."""
    copytree(unsynchronised, folder)
    return twins


def digest(driverlink: ServedFolder) -> str:
    return str(driverlink("plan", "acme", "--json").document["digest"])


def stored(folder: Path) -> list[object]:
    """What people asked for."""
    stand = ApiStand(folder)
    events = [record.event for record in stand.stores["accounts"].log.read(0, 100)]
    stand.close()
    return [event for event in events if isinstance(event, ReconciliationRequested | SyncTurnedOn)]


def on_terminal(monkeypatch: pytest.MonkeyPatch, *, answer: bool) -> None:
    """Somebody sits there, and answers so."""
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(plans, "is_confirmed", lambda _: answer)


@pytest.mark.usefixtures("fleet")
def test_a_plan_is_as_approved(driverlink: ServedFolder, approve: Approve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    ended = driverlink("plan", "acme")
    approve("commands/plan", f"$ driverlink plan acme\n{ended.out}")
    assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize(
    ("progress", "says"),
    [
        ({"stage": "done", "report": {"request": 7, "plan": "", "would_be": ""}}, "sync or its mode was turned off"),
        (
            {"stage": "done", "report": {"request": 7, "plan": "abc", "would_be": "def"}},
            "the plan has changed (def instead of abc), so nothing",
        ),
        (
            {"stage": "done", "report": {"request": 8, "plan": "", "would_be": ""}},
            "another request came in between, so the plan is void; look again: `driverlink plan acme`",
        ),
        ({"stage": "void", "report": None}, "another request came in between, so the plan is void"),
        (
            {"stage": "stopped", "trouble": "No calls are made.", "report": None},
            "No calls are made. The reconciliation is still requested",
        ),
    ],
)
def test_a_plan_that_is_not_applied_says_why(progress: dict[str, object], says: str) -> None:
    assert plans.refusal("acme", "motive", 7, progress).startswith(f"acme on motive: {says}")


@pytest.mark.usefixtures("fleet")
def test_a_script_gets_a_plan_as_one_document(driverlink: ServedFolder) -> None:
    document = driverlink("plan", "acme", "--json").document
    assert (len(document["steps"]), document["counts"]) == (30, {"driveri": {"create": 30}})


@pytest.mark.usefixtures("fleet")
def test_a_backtest_of_all_accounts_says_what_was_decided_again(driverlink: ServedFolder) -> None:
    ended = driverlink("backtest", "--guard-percent", "2", "--exit-code")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "nothing differs: 0 batches of 1 accounts were decided again\n"
    assert driverlink("backtest", "acme", "--json").document == []
    assert "there is no mode 'fully'" in driverlink("backtest", "acme", "--mode", "driveri=fully").err


@pytest.mark.usefixtures("fleet")
def test_a_plan_of_one_driver_is_for_looking_only(driverlink: ServedFolder) -> None:
    ended = driverlink("plan", "acme", "--driver", "D7")
    assert ended.out.splitlines()[-1] == "a plan of one driver cannot be applied"
    assert ended.out.count("is not on the target yet") == 1


@pytest.mark.usefixtures("fleet")
def test_a_plan_of_one_driver_counts_only_that_driver(driverlink: ServedFolder) -> None:
    ended = driverlink("plan", "acme", "--driver", "D7")
    assert "driveri: 1 create" in ended.out.splitlines()


def test_a_fleet_in_step_has_nothing_to_do(driverlink: ServedFolder, twins: Twins) -> None:
    assert twins
    driverlink("accounts", "add", "acme", "--master-user", "maria", "--mode", "full", "--target", "driveri")
    assert driverlink("plan", "acme").out.startswith("driveri: nothing to do\n")


def test_a_roster_that_cannot_be_read_is_one_line(driverlink: ServedFolder) -> None:
    driverlink("accounts", "add", "acme", "--master-user", "maria", "--mode", "full")
    ended = driverlink("plan", "acme")
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith("driverlink: the roster of acme on driveri cannot be read: no credentials for driveri")


@pytest.mark.usefixtures("fleet")
def test_what_cannot_be_a_hash_is_typed_wrongly(driverlink: ServedFolder) -> None:
    ended = driverlink("apply", "acme", "--plan", "abc", "--as", "maria")
    assert ended.status == 2
    assert "16 digits and letters" in ended.err


@pytest.mark.usefixtures("fleet")
def test_a_plan_is_applied_by_its_hash(driverlink: ServedFolder, folder: Path) -> None:
    ended = driverlink("apply", "acme", "--plan", digest(driverlink), "--as", "maria", "--no-wait")
    assert (ended.status, ended.out, ended.err) == (0, "requested by this plan: acme on driveri\n", "")
    requested, turned_on = stored(folder)
    assert isinstance(requested, ReconciliationRequested)
    assert isinstance(turned_on, SyncTurnedOn)


def test_a_plan_that_has_changed_is_refused_in_one_line(driverlink: ServedFolder, folder: Path, fleet: Twins) -> None:
    seen = digest(driverlink)
    fleet[Target.DRIVERI].drivers.put(ObservedDriver(key=Key("D1"), active=True, profile={}))
    ended = driverlink("apply", "acme", "--plan", seen, "--as", "maria")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        f"driverlink: the plan of acme is {digest(driverlink)} by now, not {seen}, so nothing was done; "
        "look at it again: `driverlink plan acme`\n"
    )
    assert stored(folder) == []


@pytest.mark.usefixtures("fleet")
def test_sync_on_shows_the_plan_and_goes_by_it_after_a_yes(
    driverlink: ServedFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, answer=True)
    driverlink.stop()
    driverlink.start(works=True)
    ended = driverlink("sync", "on", "acme", "--as", "maria")
    assert ended.status == 0, ended.err
    assert re.split(r"\s{2,}", ended.out.splitlines()[-1].strip()) == ["driveri", "absent", "30"]
    assert ended.out.count("is not on the target yet") == 20
    assert "and 10 more: driverlink plan acme" in ended.err
    assert "driveri: 30 create" in ended.out
    requested, _ = stored(folder)
    assert isinstance(requested, ReconciliationRequested)
    assert requested.plan


@pytest.mark.usefixtures("fleet")
def test_sync_stays_off_after_a_no(driverlink: ServedFolder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch, answer=False)
    ended = driverlink("sync", "on", "acme", "--as", "maria")
    assert (ended.status, ended.err.splitlines()[-1]) == (1, "Sync Drivers stays off")
    assert stored(folder) == []


@pytest.mark.usefixtures("fleet")
def test_sync_on_in_a_script_needs_a_yes(
    driverlink: ServedFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    ended = driverlink("sync", "on", "acme", "--as", "maria")
    assert (ended.status, ended.err) == (
        2,
        "driverlink: there is no terminal to ask on; check `driverlink plan acme`, then repeat with --yes\n",
    )
    assert stored(folder) == []
    assert driverlink("sync", "on", "acme", "--as", "maria", "--yes").status == 0
    (turned_on,) = stored(folder)
    assert isinstance(turned_on, SyncTurnedOn)


@pytest.mark.usefixtures("fleet")
def test_a_person_who_may_not_turn_sync_on_is_refused_before_the_plan_is_made(
    driverlink: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, answer=True)
    ended = driverlink("sync", "on", "acme", "--as", "eve")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("driverlink: eve is neither the Master User nor the account manager of acme")


@pytest.mark.usefixtures("fleet")
def test_a_plan_warns_where_the_portal_lacks_what_drivers_are_recognised_by(driverlink: ServedFolder) -> None:
    driverlink("accounts", "mode", "acme", "motive", "full", "--as", "maria")
    warnings = [line for line in driverlink("plan", "acme").err.splitlines() if line.startswith("warning: ")]
    assert [" motive matches by them" in line and "licence number and licence state" in line for line in warnings] == [
        True
    ]
