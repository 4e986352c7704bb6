"""Bad input ends in one clear line and a non-zero status: nothing lost, no traceback."""

import io
import json
import resource
import socket
import sqlite3
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from adapters.events import new_mapper
from adapters.store.sqlite import SqliteStore
from domain.store import DeadLetter, Unit
from tests.contract.stands import fact
from tests.support.commanding import command as command_alone
from tests.support.served_folder import ServedFolder

Refused = tuple[int, str, str]

_HEADER = "Driver ID,Reference ID,First Name,Last Name,Email\n"


class Commands:
    """Runs `driverlink` commands on a data folder whose API is served: status, standard output, standard error."""

    def __init__(self, served: ServedFolder) -> None:
        self.served = served

    def __call__(self, *arguments: str) -> Refused:
        ended = self.served(*arguments)
        return ended.status, ended.out, ended.err


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Commands]:
    """Commands on a data folder of their own."""
    served = ServedFolder(tmp_path / "data")
    yield Commands(served)
    served.stop()


def alone(*arguments: str, **settings: str | Path) -> Refused:
    """A command where nothing runs, with these settings."""
    ended = command_alone({f"DRIVERLINK_{name.upper()}": str(value) for name, value in settings.items()}, *arguments)
    return ended.status, ended.out, ended.err


@pytest.fixture
def fleet(command: Commands) -> str:
    """An account on the Pro tier whose Master User is maria."""
    assert (
        command("accounts", "add", "acme", "--master-user", "maria", "--mode", "full", "--account-manager", "max")[0]
        == 0
    )
    return "acme"


def _one_line(refused: Refused) -> str:
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


def test_a_target_that_status_would_ignore_is_refused(command: Commands, fleet: str) -> None:
    status, out, err = command("status", fleet, "--target", "motive")
    assert (status, out) == (2, "")
    assert "--target needs --state" in err


@pytest.mark.usefixtures("fleet")
def test_an_unknown_account(command: Commands, tmp_path: Path) -> None:
    assert "there is no account nobody" in _one_line(command("accounts", "show", "nobody"))
    file = _export(tmp_path, _HEADER)
    assert "there is no account nobody" in _one_line(command("drivers", "import", file, "--account", "nobody"))
    assert "there is no account nobody" in _one_line(command("sync", "on", "nobody", "--as", "maria", "--yes"))
    assert "there is no account nobody" in _one_line(command("status", "nobody"))
    assert "there is no account nobody" in _one_line(command("explain", "nobody", "1"))


def test_an_account_that_is_there_already(command: Commands, fleet: str) -> None:
    assert "exists already" in _one_line(command("accounts", "add", fleet, "--master-user", "eve"))


def test_only_the_master_user_turns_sync_on(command: Commands, fleet: str) -> None:
    for person in ("max", "eve"):
        assert "only the Master User" in _one_line(command("sync", "on", fleet, "--as", person, "--yes"))


def test_the_standard_tier_needs_its_account_manager(command: Commands) -> None:
    add = ("accounts", "add", "small", "--master-user", "maria", "--account-manager", "max", "--tier", "standard")
    assert command(*add)[0] == 0
    assert "its account manager must allow" in _one_line(command("sync", "on", "small", "--as", "maria", "--yes"))
    assert "only the account manager" in _one_line(command("accounts", "allow", "small", "--as", "maria"))
    assert command("accounts", "allow", "small", "--as", "max")[0] == 0
    assert command("sync", "on", "small", "--as", "maria", "--yes")[0] == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("Name,Town\nJane,Boise\n", "no header row"),
        ("PK\x03\x04 and so on", "drivers.csv"),
    ],
)
def test_a_file_that_is_not_an_export(command: Commands, fleet: str, tmp_path: Path, content: str, says: str) -> None:
    assert says in _one_line(command("drivers", "import", _export(tmp_path, content), "--account", fleet))


def test_a_file_that_is_not_there(command: Commands, fleet: str, tmp_path: Path) -> None:
    assert "there is no such file" in _one_line(
        command("drivers", "import", str(tmp_path / "none.csv"), "--account", fleet)
    )


def test_bad_rows_do_not_stop_the_good_ones(command: Commands, fleet: str, tmp_path: Path) -> None:
    rows = "1,R1,Jane,Doe,j@fleet.example\n2,4.55E+06,Bill,Ng,b@fleet.example\n3,R3,,Roe,\n4,R4,Ann,Lee,\n"
    status, out, _ = command("drivers", "import", _export(tmp_path, _HEADER + rows), "--account", fleet)
    assert status == 2
    assert "4 rows: 2 created; 2 refused" in out
    assert "Reference ID" in out
    assert "First Name" in out


def test_an_empty_snapshot_deletes_no_driver(command: Commands, fleet: str, tmp_path: Path) -> None:
    assert command("drivers", "import", _export(tmp_path, _HEADER + "1,R1,Jane,Doe,\n"), "--account", fleet)[0] == 0
    empty = _export(tmp_path, _HEADER)
    for _ in range(2):
        refused = command("drivers", "import", empty, "--account", fleet, "--complete")
        assert refused[0] != 0
        assert "an empty list never deletes a driver" in refused[2]
    assert (
        "1 rows: 1 unchanged"
        in command("drivers", "import", _export(tmp_path, _HEADER + "1,R1,Jane,Doe,\n"), "--account", fleet)[1]
    )


def test_half_an_export_deletes_no_driver_unless_a_person_confirms_it(
    command: Commands, fleet: str, tmp_path: Path
) -> None:
    rows = [f"{number},R{number},Jane,Doe,\n" for number in range(1, 9)]
    whole, half = _HEADER + "".join(rows), _HEADER + "".join(rows[:4])
    assert command("drivers", "import", _export(tmp_path, whole), "--account", fleet, "--complete")[0] == 0
    arguments = ("drivers", "import", _export(tmp_path, half), "--account", fleet, "--complete")
    for _ in range(2):
        refused = command(*arguments)
        assert refused[0] == 1
        assert "the list lacks 4 of 8 drivers" in refused[2]
        assert "--may-lack-many" in refused[2]
    assert "complete: 4 missed for the first time" in command(*arguments, "--may-lack-many")[1]
    assert command("drivers", "import", _export(tmp_path, half), "--account", fleet, "--may-lack-many")[0] == 2


def test_changes_of_unknown_or_known_drivers(command: Commands, fleet: str) -> None:
    create = ("drivers", "create", fleet, "--driver", "7", "--set", "first_name=Jane", "--set", "last_name=Doe")
    assert "has no driver 7" in _one_line(command("drivers", "delete", fleet, "--driver", "7"))
    assert command(*create)[0] == 0
    assert "has driver 7 already" in _one_line(command(*create))
    assert "unknown field" in _one_line(command("drivers", "update", fleet, "--driver", "7", "--set", "shoe=43"))
    assert "first_name is blank" in _one_line(
        command("drivers", "update", fleet, "--driver", "7", "--set", "first_name=")
    )


def test_nothing_is_sent_while_sync_is_off(command: Commands, fleet: str) -> None:
    command("drivers", "create", fleet, "--driver", "7", "--set", "first_name=Jane", "--set", "last_name=Doe")
    assert "DriverCreated" in command("events", "--account", fleet)[1]
    assert "Decided" not in command("events", "--account", fleet)[1]


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    assert "DRIVERLINK_MOTIVE_URL" in _one_line(alone("up", data=tmp_path / "data", motive_url="not a url"))


@pytest.mark.usefixtures("fleet")
def test_wrong_filters_are_named(command: Commands) -> None:
    assert "is not a date or time" in _one_line(command("events", "--since", "yesterday"))
    assert "there is no log gossip" in _one_line(command("events", "--log", "gossip"))


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be used" in _one_line(alone("up", data=tmp_path / "file"))


def test_a_busy_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        refused = _one_line(alone("sandbox", "--driveri-port", str(port), "--motive-port", "0"))
    assert f"port {port} is busy" in refused


def test_a_second_up_on_the_same_folder(command: Commands, tmp_path: Path) -> None:
    command.served.start()
    assert "is in use by another driverlink process" in _one_line(alone("up", data=tmp_path / "data"))
    assert command("accounts", "list")[0] == 0


def test_a_full_disk(command: Commands, fleet: str, tmp_path: Path) -> None:
    """The system refuses to let any file grow, as it does when the disk is full."""
    rows = "".join(f"{number},R{number},Jane,Doe,\n" for number in range(2000))
    file = _export(tmp_path, _HEADER + rows)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, unlimited[1]))
    try:
        full = command("drivers", "import", file, "--account", fleet, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert "the disk" in _one_line(full)
    assert command("drivers", "import", file, "--account", fleet)[0] == 0
    assert "2000 rows: 2000 unchanged" in command("drivers", "import", file, "--account", fleet)[1]


LETTER = "decider/1/portal.driver-changes.v1/0/7"


@pytest.fixture
def letter(fleet: str, tmp_path: Path) -> str:
    """The decider of this fleet has met a record that it could not handle; the name of the dead letter."""
    stated = new_mapper().to_stored_event(fact("8"))
    unit = Unit()
    row = DeadLetter(
        stream="1/portal.driver-changes.v1/0",
        position=7,
        log_position=7,
        id=f"{stated.originator_id}/1",
        topic="PortalDriver.\x1b[31mDriverPraised[/red]",
        headers=[["ce_id", b64encode(b":bug:").decode()]],
        body=b64encode(stated.state).decode(),
        reason=f"unknown type in {fleet}\nand more",
        at="2026-01-05T08:00:00+00:00",
    )
    unit.keep([row])
    with closing(SqliteStore(tmp_path / "data" / "decider.sqlite", log_name="decisions", rows=())) as store:
        store.commit(unit)
    return LETTER


@pytest.mark.usefixtures("fleet")
def test_without_dead_letters_there_are_none_to_see(command: Commands) -> None:
    assert command("dead-letters", "list") == (0, "", "no dead letters\n")
    assert "dead letter" not in command("status")[2]
    assert json.loads(command("dead-letters", "list", "--json")[1]) == {"letters": [], "next": None, "total": 0}


def test_a_dead_letter_is_listed_on_one_line_without_what_it_says(command: Commands, letter: str) -> None:
    assert "1 dead letter: see `driverlink dead-letters list`" in command("status")[2]
    status, out, err = command("dead-letters", "list")
    assert (status, out.count("\n"), err) == (0, 1, "")
    assert f"{letter}  PortalDriver.\\x1b[31mDriverPraised[/red]  acme  unknown type in acme\\nand more" in out
    assert "Jane" not in out
    assert command("dead-letters", "list", "--account", "beta") == (0, "", "none of the 1 dead letters matches\n")


def test_a_dead_letter_is_shown_whole_and_as_it_is(command: Commands, letter: str) -> None:
    status, out, err = command("dead-letters", "show", letter)
    assert (status, err) == (0, "")
    assert "\x1b" not in out
    for said in (letter, "DriverPraised[/red]", "ce_id: :bug:", '"first_name": "Jane 1"', "unknown type in acme"):
        assert said in out


def test_a_resubmission_waits_for_its_service(command: Commands, letter: str) -> None:
    waits = f"{letter} is submitted again, and waits for its service to run\n"
    assert command("dead-letters", "resubmit", letter, "--wait", "0") == (0, waits, "")
    assert "not handled yet" in command("dead-letters", "list")[1]
    many = json.loads(command("dead-letters", "resubmit", "--reason", "UNKNOWN type", "--wait", "0", "--json")[1])
    assert many == {"submitted": 1, "letters": 1, "waiting": 1}
    assert "0 submitted again" in command("dead-letters", "resubmit", "--service", "projector-motive")[1]


def test_a_dead_letter_is_discarded_only_after_a_yes(
    command: Commands, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "add --yes" in _one_line(command("dead-letters", "discard", letter))
    for said in ("n\n", "\n", ""):
        monkeypatch.setattr(sys, "stdin", _Terminal(said))
        refused = command("dead-letters", "discard", letter)
        assert refused[0] == 1
        assert "nothing was discarded" in refused[2]
    assert letter in command("dead-letters", "list")[1]
    monkeypatch.setattr(sys, "stdin", _Terminal("y\n"))
    assert command("dead-letters", "discard", letter)[:2] == (0, f"{letter} is discarded\n")
    assert f"there is no dead letter {letter}" in _one_line(command("dead-letters", "discard", "--yes", letter))


def test_dead_letters_that_are_asked_for_wrongly(command: Commands, letter: str, tmp_path: Path) -> None:
    assert "is not the name of a dead letter" in _one_line(command("dead-letters", "show", "seven"))
    assert "is not UTF-8 text" in _one_line(command("dead-letters", "show", "\udcff"))
    assert "there is no dead letter" in _one_line(command("dead-letters", "show", f"{letter}1"))
    assert "there is no service 'gossip'" in _one_line(command("dead-letters", "list", "--service", "gossip"))
    for wrong in ((), ("--mended", "x", "--all"), (letter, "--all"), (letter, "--reason", "x")):
        assert command("dead-letters", "resubmit", *wrong)[0] == 2
    file = tmp_path / "letter.json"
    again = ("dead-letters", "resubmit", letter, "--mended", str(file))
    assert "cannot be read: No such file" in _one_line(command(*again))
    file.write_bytes(b"\xff")
    assert "is not UTF-8 text" in _one_line(command(*again))
    for content in ("", "{", "[]", '{"name":"x","id":"y","type":"","sequence":-1}'):
        file.write_text(content, "utf-8")
        assert "what is mended cannot be taken" in _one_line(command(*again))
    file.write_text(json.dumps({**_document(command, letter), "type": "any", "name": f"{letter}1"}), "utf-8")
    assert f"not {letter}" in _one_line(command(*again))
    assert "not handled yet" not in command("dead-letters", "list")[1]


def test_a_record_that_could_not_be_read_is_mended_and_handled(command: Commands, fleet: str, tmp_path: Path) -> None:
    command.served.stop()
    stated = new_mapper().to_stored_event(fact("8"))
    with closing(sqlite3.connect(tmp_path / "data" / "intake.sqlite")) as file, file:
        file.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state) VALUES (?, 1, ?, ?)",
            (UUID(str(stated.originator_id)).hex, stated.topic, b'{"account":"acme"}'),
        )

    def mend(name: str) -> None:
        refused = _one_line(command("dead-letters", "resubmit", name))
        assert f"{name} stays: submitted again: " in refused
        mended = tmp_path / "mended.json"
        mended.write_text(json.dumps({**_document(command, name), "body": json.loads(stated.state)}), "utf-8")
        settled = command("dead-letters", "resubmit", name, "--mended", str(mended))
        assert settled == (0, f"{name} is done\n", "")
        assert command("dead-letters", "list")[1] == ""

    command.served.start(works=True)
    while not (listed := command("dead-letters", "list"))[1]:
        assert listed[0] == 0
    mend(listed[1].split("  ")[1])
    (known,) = json.loads(command("status", fleet, "--json")[1])
    assert known["drivers"] == 1


class _Terminal(io.StringIO):
    """Somebody at a terminal, who says this."""

    def isatty(self) -> bool:
        return True


def _document(command: Commands, letter: str) -> dict[str, object]:
    status, out, _ = command("dead-letters", "show", letter, "--json")
    assert status == 0
    return dict(json.loads(out))
