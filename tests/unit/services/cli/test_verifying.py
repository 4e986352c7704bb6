"""`driverlink verify` on a folder that is served: it names the first event of each log that is not as it was."""

import sqlite3
from contextlib import closing
from json import loads

import pytest

from services.cli import verification
from services.cli.client import Json, Services
from services.wiring.registry import SERVICES
from tests.support.served_folder import ServedFolder

TITLES = [spec.log_title for spec in SERVICES.values()]


def test_a_whole_installation_is_found_whole(looking: ServedFolder) -> None:
    ended = looking("verify")
    assert ended.status == 0
    events, roots = ended.out.splitlines()
    assert events.endswith(f" events in {len(TITLES)} logs are as they were stored, and none is missing")
    assert roots == "no roots are signed yet: once a day"
    logs = looking("verify", "--json").document["logs"]
    assert [each["log"] for each in logs] == [*TITLES, "roots"]
    assert {each["broken"] for each in logs} == {None}
    assert sum(each["events"] for each in logs) == int(ended.out.split()[0])


def test_an_altered_event_is_named_and_the_other_logs_are_checked(driverlink: ServedFolder) -> None:
    with closing(sqlite3.connect(driverlink.path / "decider.sqlite")) as decider:
        ((position,),) = decider.execute("SELECT MIN(rowid) FROM stored_events")
        decider.execute("UPDATE stored_events SET state = replace(state, '{', '{ ') WHERE rowid = ?", [position])
        decider.commit()
    ended = driverlink("verify")
    assert ended.status == 1
    assert ended.out.startswith("decisions: event ")
    assert ended.out.endswith(f", at position {position}, is not as it was stored; 0 before it are in order\n")
    logs = loads(driverlink("verify", "--json").out)["logs"]
    assert [each["log"] for each in logs if each["broken"]] == ["decisions"]
    assert [each["events"] > 0 for each in logs if each["log"].startswith("outcomes")] == [True, True]


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(
    looking: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "are checked" not in looking("verify").err
    monkeypatch.setattr(verification, "_BETWEEN", 0.0)
    lines = looking("verify").err.splitlines()
    assert len(lines) == 2 * len(TITLES) + 1
    checked, total = lines[-1].split()[0], lines[-1].split()[2]
    assert checked == total
    assert lines[0].endswith(" events are checked, the last of accounts")
    assert "are checked" not in looking("verify", "--json").err


def test_ctrl_c_ends_it_with_what_was_checked_by_then(looking: ServedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = looking("verify", "--json").document["logs"]
    asked = verification._part

    def interrupted(services: Services, after: str) -> Json:
        if after.startswith(TITLES[2]):
            raise KeyboardInterrupt
        return asked(services, after)

    monkeypatch.setattr(verification, "_part", interrupted)
    ended = looking("verify")
    assert (ended.status, ended.out) == (130, "")
    checked = ", ".join(f"{each['events']} of {each['log']}" for each in whole[:2])
    assert ended.err.endswith(f"stopped; by then these events were checked: {checked}\n")


def test_nothing_is_proven_before_roots_are_signed(looking: ServedFolder) -> None:
    ended = looking("prove", "decisions", "1")
    assert (ended.status, "under no root yet" in ended.err) == (1, True)
