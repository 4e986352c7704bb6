"""`driverlink verify` on a folder that is served: it names the first event of each log that is not as it was."""

import sqlite3
from contextlib import closing
from json import loads

from tests.support.served_folder import ServedFolder


def test_a_whole_installation_is_found_whole(looking: ServedFolder) -> None:
    ended = looking("verify")
    assert ended.status == 0
    assert ended.out.endswith(" events in 5 logs are as they were stored, and none is missing\n")
    logs = looking("verify", "--json").document["logs"]
    assert [each["log"] for each in logs] == ["accounts", "changes", "decisions", "outcomes-driveri", "outcomes-motive"]
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
    assert logs[-1]["events"] > 0
