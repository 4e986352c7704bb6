"""The forms of lists, their times, and what a script learns from an exit status."""

import csv
import io
import time
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from services.cli.listing import Output, ago, field, print_list, sorted_by, time_of
from services.cli.printing import moment
from tests.support.served_folder import ServedFolder

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5 s ago"), (300, "5 min ago"), (7300, "2 h ago"), (-7300, "in 2 h"), (0, "0 s ago")]
)
def test_a_moment_within_a_day_is_said_relative_to_now(seconds: int, shown: str) -> None:
    assert ago((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == shown
    assert (
        ago("2026-01-05T08:00:00+00:00", NOW) == f"{datetime(2026, 1, 5, 8, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    )
    assert ago(None) == ""


def test_issues_come_in_every_form_sorted_and_cut(looking: ServedFolder) -> None:
    rows = [*csv.DictReader(io.StringIO(looking("issues", "list", "-o", "csv", "--sort", "-driver").out))]
    assert [row["driver"] for row in rows] == ["3", "2", "1"]
    assert (rows[0]["name"], rows[0]["place"]) == ("Jane Doe", "")
    document = yaml.safe_load(looking("issues", "list", "-o", "yaml", "--limit", "1").out)
    assert [each["driver"] for each in document["issues"]] == ["1"]
    assert looking("issues", "list", "-o", "json").document == looking("issues", "list", "--json").document
    cut = looking("issues", "list", "--limit", "2")
    assert (len(cut.out.splitlines()), cut.err) == (4, "the first 2 of 3; see more by another --limit\n")
    assert "there is no column 'size'" in looking("issues", "list", "--sort", "size").err.replace("\n", " ")
    assert "key" in looking("issues", "list", "-o", "wide").out.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("@SUM(1)", "'@SUM(1)"),
        ("-2+cmd|' /C calc'!A0", "'-2+cmd|' /C calc'!A0"),
        ("+Jane", "'+Jane"),
        ("+1 (970) 555-0169", "+1 (970) 555-0169"),
        ("-5", "-5"),
        ("Jane = Doe", "Jane = Doe"),
    ],
)
def test_text_of_others_is_no_formula_in_csv(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_list([{"name": text}], {"name": field("name")}, output=Output.CSV)
    assert [*csv.reader(io.StringIO(capsys.readouterr().out))] == [["name"], [shown]]


def test_a_script_learns_by_the_exit_status_whether_there_is_something_to_do(looking: ServedFolder) -> None:
    assert looking("issues", "list", "--exit-code").status == 3
    assert looking("issues", "list", "--reason", "mode", "--exit-code").status == 0
    assert looking("status", "--exit-code").status == 3


def test_status_fits_eighty_columns_with_the_worst_first(looking: ServedFolder) -> None:
    lines = looking("status").out.splitlines()
    assert [line.split()[2] for line in lines] == ["target", "driveri", "motive"]
    assert max(map(len, lines)) <= 80


def test_status_in_csv_has_every_figure(looking: ServedFolder) -> None:
    rows = [*csv.DictReader(io.StringIO(looking("status", "-o", "csv").out))]
    assert [(row["target"], row["needs_a_person"], row["unmanaged"]) for row in rows] == [
        ("driveri", "2 unkeyed", "0"),
        ("motive", "1 conflict", "0"),
    ]


def test_events_come_newest_first_and_for_scripts_in_their_order(looking: ServedFolder) -> None:
    newest = looking("events", "--account", "acme", "--limit", "3").out.splitlines()
    whole = looking("events", "--account", "acme", "--limit", "1000").out.splitlines()
    assert newest == whole[:3]
    assert "AccountAdded" in whole[-1]
    assert '"type": "AccountAdded"' in looking("events", "--account", "acme", "--json").out.splitlines()[0]
    assert "no event matches" in looking("events", "--since", "1h").err


def test_a_driver_is_explained_by_name_and_several_are_listed(looking: ServedFolder) -> None:
    several = looking("explain", "acme", "jane doe")
    assert (several.status, several.out.count("Jane Doe")) == (1, 3)
    assert "matches several drivers" in several.err
    assert "portal driver 2" in looking("explain", "acme", "B@fleet.test").out
    assert looking("explain", "acme", "nobody like this").status == 1


def test_times_are_in_utc_on_demand(looking: ServedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert "2026-01-05 08:00:00" in looking("issues", "list", "--utc").out


def test_times_in_csv_are_for_scripts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that a person would be told as `4 min ago`."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    now = datetime.now(UTC).replace(microsecond=250)
    row = {"at": now.isoformat(), "never": None}
    print_list([row], {"at": time_of("at"), "never": time_of("never")}, output=Output.CSV)
    assert capsys.readouterr().out.splitlines()[1] == f"{now:%Y-%m-%dT%H:%M:%S}+00:00,"
    monkeypatch.setattr(ago, "is_relative", True, raising=False)
    print_list([row], {"at": time_of("at")})
    assert " s ago" in capsys.readouterr().out


def test_a_moment_in_a_sentence_has_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert moment("2026-01-05T08:00:00+00:00", is_zoned=True) == "2026-01-05 08:00:00 UTC"


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (("approvals", "list", "acme"), "target,hash,deletes,since"),
        (("rekeyings", "list", "acme"), "driver,before,after,since"),
        (("dead-letters", "list"), "since,name,type,account,waiting,reason"),
        (("keys", "list"), "key,name,roles,accounts,made_by,used,state,at,expires"),
        (("accounts", "push-secret", "show", "acme"), "sender,path,since,former_until,refused"),
        (
            ("reconciliations", "acme"),
            "when,target,reconciliation,requested_by,read,in_sync,drifted,missing,unmanaged,conflict,held,other,at_odds",
        ),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_every_list_comes_in_every_form(looking: ServedFolder, words: tuple[str, ...], columns: str) -> None:
    ended = looking(*words, "-o", "csv", "--utc", "--sort", f"-{columns.rpartition(',')[2]}")
    assert (ended.status, ended.out.splitlines()[0]) == (0, columns)
    assert looking(*words, "-o", "json").document == looking(*words, "--json").document
    assert yaml.safe_load(looking(*words, "-o", "yaml").out) == looking(*words, "--json").document
    assert "there is no column 'size'" in looking(*words, "-o", "csv", "--sort", "size").err.replace("\n", " ")


def test_keys_are_sorted_and_cut(driverlink: ServedFolder) -> None:
    for name in ("beta", "alpha", "gamma"):
        assert driverlink("keys", "create", name, "--role", "viewer").status == 0
    rows = csv.DictReader(io.StringIO(driverlink("keys", "list", "-o", "csv", "--sort", "name", "--limit", "2").out))
    assert [(row["name"], row["roles"], row["used"]) for row in rows] == [
        ("alpha", "viewer", "never"),
        ("beta", "viewer", "never"),
    ]


def test_figures_of_reconciliations_are_sorted_as_numbers() -> None:
    rows = [{"drifted": {"email": count}, "count": count} for count in (9, 10, 2)]
    assert [row["count"] for row in sorted_by(rows, {"drifted": field("count")}, "drifted")] == [2, 9, 10]


def test_drivers_are_listed_found_sorted_and_cut(looking: ServedFolder) -> None:
    rows = [*csv.DictReader(io.StringIO(looking("drivers", "list", "acme", "-o", "csv", "--sort", "-driver").out))]
    assert [row["driver"] for row in rows] == ["3", "2", "1"]
    assert {row["name"] for row in rows} == {"Jane Doe"}
    found = looking("drivers", "list", "acme", "--search", "B@fleet.test", "--json").document
    assert [each["driver"] for each in found] == ["2"]
    cut = looking("drivers", "list", "acme", "--limit", "2")
    assert (len(cut.out.splitlines()), cut.err) == (3, "the first 2; see more by another --limit\n")
    assert looking("drivers", "list", "acme", "--limit", "3").err == ""
    assert looking("drivers", "list", "acme", "--search", "nothing like this").err == "no driver of acme matches\n"
