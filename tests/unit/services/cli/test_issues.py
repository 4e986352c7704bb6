"""`driverlink issues`, as a person and as a script see it."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from domain.account import Mode
from domain.identity import Target
from tests.support.commanding import command
from tests.support.served_folder import ServedFolder
from tests.unit.services.api.api_stand import NOW, ApiStand

ALL = [
    {
        "account": "acme",
        "target": "driveri",
        "problem": "parked",
        "driver": driver,
        "reason": "unkeyed",
        "since": NOW.isoformat(),
        "detail": "the Portal gives neither a Driveri DriverID nor a RefID",
        "name": "Jane Doe",
        "key": "",
        "place": "",
    }
    for driver in ("1", "2")
] + [
    {
        "account": "acme",
        "target": "motive",
        "problem": "parked",
        "driver": "3",
        "reason": "conflict",
        "since": NOW.isoformat(),
        "detail": "portal driver 1 has claimed its e-mail",
        "name": "Jane Doe",
        "key": "",
        "place": "",
    }
]


def test_issues_are_listed_one_a_line_and_counted_by_reason(looking: ServedFolder) -> None:
    ended = looking("issues", "list")
    cells = [re.split(r"\s{2,}", line.strip()) for line in ended.out.splitlines()]
    assert cells[0] == ["account", "target", "driver", "name", "problem", "reason", "since", "detail"]
    assert [line[:6] for line in cells[1:4]] == [
        ["acme", "driveri", "1", "Jane Doe", "parked", "unkeyed"],
        ["acme", "driveri", "2", "Jane Doe", "parked", "unkeyed"],
        ["acme", "motive", "3", "Jane Doe", "parked", "conflict"],
    ]
    assert cells[4] == ["3 open: 1 conflict, 2 unkeyed"]
    assert (len(cells), ended.status, ended.err) == (5, 0, "")


def test_a_script_gets_the_issues_and_their_counts(looking: ServedFolder) -> None:
    assert looking("issues", "list", "--json").document == {
        "issues": ALL,
        "counts": {"conflict": 1, "unkeyed": 2},
    }
    assert looking("issues", "list", "acme", "--target", "motive", "--json").document["issues"] == ALL[2:]
    assert looking("issues", "list", "--reason", "unkeyed", "--json").document["issues"] == ALL[:2]


def test_where_nothing_is_open_a_note_says_so(looking: ServedFolder) -> None:
    ended = looking("issues", "list", "--reason", "down")
    assert (ended.status, ended.out, ended.err) == (0, "", "no open issues\n")


def test_a_retry_says_at_how_many_it_looks_again(driverlink: ServedFolder) -> None:
    ended = driverlink("issues", "retry", "acme", "--as", "jane", "--all")
    assert (ended.status, ended.out) == (0, "retrying 3 parked links of acme: 2 driveri, 1 motive\n")
    ended = driverlink("issues", "retry", "acme", "--as", "bob", "--driver", "3")
    assert ended.out == "retrying 1 parked link of acme: 1 motive\n"


def test_a_script_gets_how_many_are_looked_at(driverlink: ServedFolder) -> None:
    ended = driverlink("issues", "retry", "acme", "--as", "jane", "--reason", "unkeyed", "--json")
    assert ended.document == {"account": "acme", "links": 2, "targets": {"driveri": 2}, "left_out": {}}


def test_a_target_that_is_left_out_is_named(folder: Path, driverlink: ServedFolder) -> None:
    stand = ApiStand(folder)
    asyncio.run(stand.set_mode("acme", Target.MOTIVE, Mode.OFF))
    stand.close()
    ended = driverlink("issues", "retry", "acme", "--as", "jane", "--all")
    assert (ended.status, ended.out) == (0, "retrying 2 parked links of acme: 2 driveri\n")
    assert ended.err == "not on motive: The mode for Motive is off: nothing is decided or sent.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--all", "--reason", "down"), "give either --reason or --all"),
        (("--target", "driveri"), "choose drivers by --reason, --driver or --all"),
        ((), "choose drivers by --reason, --driver or --all"),
    ],
)
def test_a_retry_has_to_choose_drivers(arguments: tuple[str, ...], says: str) -> None:
    ended = command({}, "issues", "retry", "acme", "--as", "jane", *arguments)
    assert (ended.status, says in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--as", "eve", "--all"), "eve is neither the Master User nor the account manager of acme"),
        (("--as", "jane", "--reason", "down"), "nothing of acme is set aside like that"),
        (("--as", "jane", "--driver", "9"), "there is no driver 9 in account acme"),
    ],
)
def test_a_retry_that_would_do_nothing_is_refused_in_one_line(
    driverlink: ServedFolder, arguments: tuple[str, ...], says: str
) -> None:
    ended = driverlink("issues", "retry", "acme", *arguments)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(f"driverlink: {says}")


def test_what_a_target_wrote_does_nothing_to_a_terminal(folder: Path, driverlink: ServedFolder) -> None:
    hostile = "answered 400: \x1b]0;gone\x07\x1b[2J\u202eevil"
    with closing(sqlite3.connect(folder / "decider.sqlite")) as decider:
        for topic, state in decider.execute("SELECT topic, state FROM stored_events").fetchall():
            written = state.replace(b"portal driver 1 has claimed its e-mail", json.dumps(hostile).encode()[1:-1])
            decider.execute("UPDATE stored_events SET state = ? WHERE topic = ? AND state = ?", [written, topic, state])
        decider.execute("UPDATE links SET detail = ? WHERE detail LIKE 'portal driver 1 has claimed%'", [hostile])
        decider.commit()
    for arguments in (
        ("issues", "list"),
        ("status", "acme", "--state", "parked"),
        ("explain", "acme", "3"),
        ("status",),
    ):
        shown = driverlink(*arguments)
        assert shown.status == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(shown.out + shown.err), arguments
    assert "\\x1b]0;gone\\x07\\x1b[2J\\u202eevil" in driverlink("issues", "list").out
