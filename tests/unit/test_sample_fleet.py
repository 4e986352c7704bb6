"""The sample in `deploy/sandbox` is what its script makes, and holds the cases that its README promises."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.portal.csv_export import ExportRow, read_export
from tests.unit.sample_cases import COUNTS, FOLDER, Shown, sample_in

SCRIPT = FOLDER / "make_sample.py"
FILES = ("portal-drivers.csv", "portal-drivers-semicolon.csv", "driveri.json", "motive.json", "portal.json")


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-B", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_files_are_what_the_script_makes() -> None:
    assert _run("--check").returncode == 0


def test_a_file_that_was_edited_is_named(tmp_path: Path) -> None:
    assert _run("--drivers", "600", "--out", str(tmp_path)).returncode == 0
    with (tmp_path / "motive.json").open("a") as file:
        file.write("\n")
    checked = _run("--drivers", "600", "--out", str(tmp_path), "--check")
    assert checked.returncode == 1
    assert [line.split()[0] for line in checked.stderr.splitlines()] == ["motive.json"]


def test_a_fleet_too_small_for_all_cases_is_refused(tmp_path: Path) -> None:
    refused = _run("--drivers", "599", "--out", str(tmp_path / "none"))
    assert refused.returncode == 2
    assert not (tmp_path / "none").exists()


def promised_counts() -> dict[str, int]:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| +([\d,]+) \| (.+?) +\|$", readme, re.MULTILINE)
    return {case: int(count.replace(",", "")) for count, case in rows}


def test_the_readme_counts_every_case() -> None:
    assert list(promised_counts()) == list(COUNTS)


@pytest.mark.parametrize("case", COUNTS)
def test_the_promised_cases_are_there(case: str) -> None:
    assert COUNTS[case](sample_in(FOLDER)) == promised_counts()[case]


RARE = {
    "with neither of the two ids": 3,
    "Driveri DriverIDs that two drivers have": 4,
    "of these, deleted": 20,
    "of these, with an id that differs only in letter case": 5,
    "drivers only in Driveri": 15,
    "of these, in conflict by two users with the same RefID": 3,
    "of these users, under the RefID of a driver": 2,
    "e-mail addresses of the fleet taken in another company": 2,
}


@pytest.mark.parametrize("size", ["600", "5000"])
def test_a_fleet_of_another_size_and_seed_has_the_rare_cases_too(tmp_path: Path, size: str) -> None:
    assert _run("--drivers", size, "--seed", "2", "--out", str(tmp_path)).returncode == 0
    assert {case: COUNTS[case](sample_in(tmp_path)) for case in RARE} == RARE


@pytest.mark.parametrize(("name", "rows"), [("portal-drivers.csv", 1_500), ("portal-drivers-semicolon.csv", 100)])
def test_every_row_of_the_exports_is_good(name: str, rows: int) -> None:
    export = list(read_export(FOLDER / name))
    assert len(export) == rows
    assert all(isinstance(row, ExportRow) and row.driver and not row.notes for row in export)


def test_excels_file_says_the_same_of_the_first_hundred() -> None:
    exports = [read_export(FOLDER / name) for name in ("portal-drivers-semicolon.csv", "portal-drivers.csv")]
    assert all(one == other for one, other in zip(*exports, strict=False))


def test_the_portals_api_shows_the_fleet_of_the_export() -> None:
    (account,) = json.loads((FOLDER / "portal.json").read_text("utf-8"))["accounts"]
    shown = [(str(each["id"]), each["firstname"], each["lastname"], each["email"]) for each in account["drivers"]]
    export = [row for row in read_export(FOLDER / "portal-drivers.csv") if isinstance(row, ExportRow)]
    fields = ("first_name", "last_name", "email")
    assert shown == [(row.driver, *(row.profile.text(field) for field in fields)) for row in export]


def test_nobody_in_the_sample_can_be_reached() -> None:
    text = "".join((FOLDER / name).read_text(encoding="utf-8") for name in FILES)
    assert all(domain.casefold().endswith(".example") for domain in re.findall(r"@([\w.]+)", text))
    sample = sample_in(FOLDER)
    phones = [row["Phone"] for row in sample.fleet] + [str(user.get("phone") or "") for user in sample.motive]
    assert all(re.search(r"55501\d\d$", re.sub(r"\D", "", phone)) for phone in phones if phone)


@pytest.mark.parametrize("field", ["id", "username", "email"])
def test_no_two_users_of_motive_have_the_same(field: str) -> None:
    values = [str(user[field]).casefold() for user in sample_in(FOLDER).motive if user[field]]
    assert len(values) == len(set(values))


def test_an_external_id_of_an_integration_belongs_to_one_user() -> None:
    entries = [entry for user in sample_in(FOLDER).motive for entry in _external_ids(user)]
    assert len(entries) == len({(entry["integration_name"], entry["external_id"]) for entry in entries})


def _external_ids(user: Shown) -> list[Mapping[str, object]]:
    entries = user["external_ids"]
    assert isinstance(entries, list)
    return entries
