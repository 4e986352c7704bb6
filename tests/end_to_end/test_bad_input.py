"""Bad input ends in one clear line and a non-zero status: nothing lost, no traceback."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from services.cli.app import main
from services.demo.sandboxes import RunningSandboxes
from tests.support.processes import Up

Command = Callable[..., tuple[int, str, str]]

_HEADER = "Driver ID,Reference ID,First Name,Last Name,Email\n"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a `driverlink` command on a data folder of its own: status, standard output, standard error."""
    monkeypatch.setenv("DRIVERLINK_DATA", str(tmp_path / "data"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["driverlink", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def fleet(command: Command) -> str:
    """An account on the Pro tier whose Master User is maria."""
    assert command("accounts", "add", "acme", "--master-user", "maria", "--account-manager", "max")[0] == 0
    return "acme"


def _one_line(refused: tuple[int, str, str]) -> str:
    status, out, err = refused
    assert status != 0
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def _export(tmp_path: Path, text: str) -> str:
    path = tmp_path / "drivers.csv"
    path.write_text(text, "utf-8")
    return str(path)


@pytest.mark.usefixtures("fleet")
def test_an_unknown_account(command: Command, tmp_path: Path) -> None:
    assert "there is no account nobody" in _one_line(command("accounts", "show", "nobody"))
    file = _export(tmp_path, _HEADER)
    assert "there is no account nobody" in _one_line(command("import", file, "--account", "nobody"))
    assert "there is no account nobody" in _one_line(command("sync", "on", "nobody", "--as", "maria"))
    assert "there is no account nobody" in _one_line(command("status", "nobody"))
    assert "there is no account nobody" in _one_line(command("explain", "nobody", "1"))


def test_an_account_that_is_there_already(command: Command, fleet: str) -> None:
    assert "exists already" in _one_line(command("accounts", "add", fleet, "--master-user", "eve"))


def test_only_the_master_user_turns_sync_on(command: Command, fleet: str) -> None:
    for person in ("max", "eve"):
        assert "only the Master User" in _one_line(command("sync", "on", fleet, "--as", person))


def test_the_standard_tier_needs_its_account_manager(command: Command) -> None:
    add = ("accounts", "add", "small", "--master-user", "maria", "--account-manager", "max", "--tier", "standard")
    assert command(*add)[0] == 0
    assert "its account manager must allow" in _one_line(command("sync", "on", "small", "--as", "maria"))
    assert "only the account manager" in _one_line(command("accounts", "allow", "small", "--as", "maria"))
    assert command("accounts", "allow", "small", "--as", "max")[0] == 0
    assert command("sync", "on", "small", "--as", "maria")[0] == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("Name,Town\nJane,Boise\n", "no header row"),
        ("PK\x03\x04 and so on", "drivers.csv"),
    ],
)
def test_a_file_that_is_no_export(command: Command, fleet: str, tmp_path: Path, content: str, says: str) -> None:
    assert says in _one_line(command("import", _export(tmp_path, content), "--account", fleet))


def test_a_file_that_is_not_there(command: Command, fleet: str, tmp_path: Path) -> None:
    assert "there is no such file" in _one_line(command("import", str(tmp_path / "none.csv"), "--account", fleet))


def test_bad_rows_do_not_stop_the_good_ones(command: Command, fleet: str, tmp_path: Path) -> None:
    rows = "1,R1,Jane,Doe,j@fleet.example\n2,4.55E+06,Bill,Ng,b@fleet.example\n3,R3,,Roe,\n4,R4,Ann,Lee,\n"
    status, out, _ = command("import", _export(tmp_path, _HEADER + rows), "--account", fleet)
    assert status == 2
    assert "4 rows: 2 created; 2 refused" in out
    assert "Reference ID" in out
    assert "First Name" in out


def test_an_empty_snapshot_deletes_nobody(command: Command, fleet: str, tmp_path: Path) -> None:
    assert command("import", _export(tmp_path, _HEADER + "1,R1,Jane,Doe,\n"), "--account", fleet)[0] == 0
    empty = _export(tmp_path, _HEADER)
    for _ in range(2):
        refused = command("import", empty, "--account", fleet, "--complete")
        assert refused[0] != 0
        assert "an empty list never deletes anybody" in refused[2]
    assert (
        "1 rows: 1 unchanged"
        in command("import", _export(tmp_path, _HEADER + "1,R1,Jane,Doe,\n"), "--account", fleet)[1]
    )


def test_changes_of_unknown_or_known_drivers(command: Command, fleet: str) -> None:
    create = ("change", "create", fleet, "--driver", "7", "--set", "first_name=Jane", "--set", "last_name=Doe")
    assert "has no driver 7" in _one_line(command("change", "delete", fleet, "--driver", "7"))
    assert command(*create)[0] == 0
    assert "has driver 7 already" in _one_line(command(*create))
    assert "unknown field" in _one_line(command("change", "update", fleet, "--driver", "7", "--set", "shoe=43"))
    assert "first name" in _one_line(command("change", "update", fleet, "--driver", "7", "--set", "first_name="))


def test_nothing_is_sent_while_sync_is_off(command: Command, fleet: str) -> None:
    command("change", "create", fleet, "--driver", "7", "--set", "first_name=Jane", "--set", "last_name=Doe")
    assert "DriverCreated" in command("events", "--account", fleet)[1]
    assert "Decided" not in command("events", "--account", fleet)[1]


def test_wrong_settings_are_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVERLINK_MOTIVE_URL", "not a url")
    assert "DRIVERLINK_MOTIVE_URL" in _one_line(command("status"))


@pytest.mark.usefixtures("fleet")
def test_wrong_filters_are_named(command: Command) -> None:
    assert "no date or time" in _one_line(command("events", "--since", "yesterday"))
    assert "there is no log gossip" in _one_line(command("events", "--log", "gossip"))


def test_a_data_folder_that_is_a_file(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DRIVERLINK_DATA", str(tmp_path / "file"))
    assert "cannot be used" in _one_line(command("status"))


def test_a_busy_port(command: Command) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        refused = _one_line(command("sandbox", "--driveri-port", str(port), "--motive-port", "0"))
    assert f"port {port} is busy" in refused


def test_a_second_up_on_the_same_folder(command: Command, tmp_path: Path) -> None:
    async def with_one_running() -> tuple[int, str, str]:
        up = Up(tmp_path / "data", RunningSandboxes(driveri="http://127.0.0.1:9", motive="http://127.0.0.1:9"))
        await up.start()
        refused = await asyncio.to_thread(command, "up")
        listed = await asyncio.to_thread(command, "accounts", "list")
        assert await up.stop() == 0
        assert listed[0] == 0
        return refused

    assert "is in use by another driverlink process" in _one_line(asyncio.run(with_one_running()))


def test_a_full_disk(command: Command, fleet: str, tmp_path: Path) -> None:
    """The system refuses to let any file grow, as it does when the disk is full."""
    rows = "".join(f"{number},R{number},Jane,Doe,\n" for number in range(2000))
    file = _export(tmp_path, _HEADER + rows)
    full = subprocess.run(
        [sys.executable, "-m", "services.cli", "import", file, "--account", fleet, "--json"],
        env={**os.environ, "DRIVERLINK_DATA": str(tmp_path / "data")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the disk" in _one_line((full.returncode, full.stdout, full.stderr))
    assert command("import", file, "--account", fleet)[0] == 0
    assert "2000 rows: 2000 unchanged" in command("import", file, "--account", fleet)[1]
