"""`diff`, `bisect` and `lineage` on the command line."""

import json

from services.cli.past import _since
from tests.support.served_folder import ServedFolder


def test_a_fleet_is_compared_with_how_it_was(looking: ServedFolder) -> None:
    printed = looking("diff", "acme", "--from", "2026-01-01")
    assert printed.status == 0
    assert "Driveri DriverID" not in printed.out
    assert [line.split()[0] for line in printed.out.splitlines()[1:2]] == ["1"]
    one = looking("diff", "acme", "3", "--from", "2026-01-01", "--json", "--exit-code")
    assert (one.status, [each["driver"] for each in json.loads(one.out)]) == (3, ["3"])
    same = looking("diff", "acme", "--from", "2026-01-06")
    assert (same.status, same.err) == (0, "nothing is otherwise\n")
    cut = looking("diff", "acme", "--from", "2026-01-01", "--limit", "1")
    assert cut.err == "the first 1; see more by another --limit\n"


def test_since_when_a_driver_does_not_match_is_said(looking: ServedFolder) -> None:
    ended = looking("bisect", "acme", "1")
    assert ended.out.splitlines()[0] == "Driveri: has never matched (not there)."
    assert len(json.loads(looking("bisect", "acme", "1", "--json").out)) == 2
    known = {
        "matches": False,
        "differing": ["phone"],
        "since": "2026-01-05T08:00Z",
        "matched_until": "2026-01-05T07:00Z",
    }
    assert _since(known).startswith("does not match since 2026-01-05 ")
    assert _since({"matches": True}) == "matches."


def test_an_id_is_traced(looking: ServedFolder) -> None:
    ended = looking("lineage", "acme", "R3")
    first, second = ended.out.splitlines()
    assert first == "Jane Doe: portal driver 3, now RefID R3"
    assert second.startswith("  RefID: from 2026-01-05 ")
    assert looking("lineage", "acme", "R9", "--at", "2026-01-06").err == "no driver of acme had R9 then\n"
    assert json.loads(looking("lineage", "acme", "R3", "--json").out)["id"] == "R3"
