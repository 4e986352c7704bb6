"""`driverlink drivers import`, as a person and as a script see it."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from adapters.store.sqlite import SqliteStore
from domain.store import Unit
from services.intake.read_models import ReKeyingRow
from services.runtime.context import CHANGES
from services.wiring.registry import INTAKE_ROWS
from tests.support.commanding import Ended
from tests.support.served_folder import ServedFolder

HEADER = "Driver ID,Reference ID,Driveri DriverID,First Name,Last Name,Phone"
FLEET = range(1, 9)


class Account:
    """The account acme on a data folder of its own, and files to import into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = ServedFolder(folder / "data")
        self.run("accounts", "add", "acme", "--master-user", "maria", "--mode", "full", "--account-manager", "max")

    def take(self, header: str, rows: list[str], *options: str) -> Ended:
        """Import these rows."""
        file = self.folder / "drivers.csv"
        file.write_text("\n".join([header, *rows]), "utf-8")
        return self.run("drivers", "import", str(file), "--account", "acme", *options)

    def events(self) -> list[str]:
        """Every change, in words."""
        shown = self.run("events", "--log", "changes", "--json").out.splitlines()
        return [json.loads(line)["type"].rpartition(".")[2] for line in shown]


@pytest.fixture
def acme() -> Iterator[Account]:
    """An account with eight drivers who have both identifiers."""
    with TemporaryDirectory(prefix="dl-") as folder:
        account = Account(Path(folder))
        account.take(HEADER, [f"{each},000{each},DRV-{each},Jane,Doe,555-010{each}" for each in FLEET])
        yield account
        account.run.stop()


def test_a_column_that_is_absent_says_nothing_and_is_named(acme: Account) -> None:
    rows = [f"{each},000{each},Jane,Doe,Truck {each}" for each in FLEET]
    ended = acme.take("Driver ID,Reference ID,First Name,Last Name,Vehicle", rows)
    assert (ended.status, ended.out) == (0, "8 rows: 8 unchanged; 0 refused; snapshot not asked for\n")
    assert "ignored columns: Vehicle\n" in ended.err
    assert "missing columns, whose fields stay as they are: Driveri DriverID, " in ended.err
    columns = acme.take("Driver ID,Reference ID,First Name,Last Name,Vehicle", rows, "--json").document["columns"]
    assert (columns["header_line"], columns["ignored"], columns["missing"][0]) == (1, ["Vehicle"], "Driveri DriverID")


def test_a_file_that_blanks_every_driver_id_is_held_until_exactly_that_is_approved(acme: Account) -> None:
    rows = [f"{each},000{each},,Jane,Doe,555-010{each}" for each in FLEET]
    held = acme.take(HEADER, rows)
    assert (held.status, "DRV-8 -> " in held.out) == (1, True)
    (line,) = [each for each in held.err.splitlines() if each.startswith("driverlink: ")]
    assert "would change the identifiers of 8 of 8 known drivers, and 3 may be re-keyed in 24 hours" in line
    digest = line.rpartition(" ")[2]
    assert acme.take(HEADER, rows[:7], "--approve", digest).status == 1
    document = json.loads(acme.take(HEADER, rows, "--json").out)
    assert (document["held"]["digest"], len(document["drivers"]), document["changes"]) == (digest, 8, {})
    assert acme.events() == ["DriverCreated"] * 8
    approved = acme.take(HEADER, rows, "--approve", digest)
    assert (approved.status, approved.out.startswith("8 rows: 8 updated")) == (0, True)


def test_a_dry_run_shows_what_would_change_and_changes_nothing(acme: Account) -> None:
    rows = [
        "1,0001,NEW-1,Jane,Doe,555-0199",
        "9,0009,,Secret,Name,",
        *(f"{each},000{each},DRV-{each},Jane,Doe,555-010{each}" for each in range(2, 8)),
    ]
    shown = acme.take(HEADER, rows, "--complete", "--dry-run")
    assert shown.status == 0
    counts = shown.out.splitlines()[-1]
    assert counts.startswith("dry run, nothing was changed: 8 rows: 1 created, 1 missed, 1 updated, 6 unchanged")
    assert "driveri_driver_id: DRV-1 -> NEW-1" in shown.out
    document = acme.take(HEADER, rows, "--complete", "--dry-run", "--json").document
    assert [(each["driver"], each["change"], each["fields"]) for each in document["drivers"]] == [
        ("1", "DriverUpdated", ["driveri_driver_id", "phone"]),
        ("9", "DriverCreated", ["first_name", "last_name", "ref_id"]),
        ("8", "DriverMissed", []),
    ]
    assert "Secret" not in shown.out + json.dumps(document)
    assert acme.events() == ["DriverCreated"] * 8


def test_a_complete_file_that_is_refused_changes_nothing(acme: Account) -> None:
    refused = acme.take(HEADER, ["1,0001,DRV-1,Joan,Doe,"], "--complete")
    assert (refused.status, refused.out) == (1, "")
    assert "the list lacks 7 of 8 drivers" in refused.err
    assert acme.events() == ["DriverCreated"] * 8


def test_what_a_reading_would_rekey_is_listed_and_approved_by_a_person_of_the_account(acme: Account) -> None:
    assert acme.run("rekeyings", "list", "acme").err == "nothing is held for acme\n"
    store = SqliteStore(acme.folder / "data" / "intake.sqlite", log_name=CHANGES, rows=INTAKE_ROWS)
    with closing(store):
        unit = Unit()
        before, after = {"key": "DRV-1", "driveri_driver_id": "DRV-1"}, {"key": "N-1", "driveri_driver_id": "N-1"}
        at = "2026-01-05T08:00:00+00:00"
        unit.keep([ReKeyingRow(account="acme", driver="1", state="held", at=at, before=before, after=after)])
        store.commit(unit)
    shown = acme.run("rekeyings", "list", "acme")
    assert "driveri_driver_id=DRV-1" in shown.out
    digest = acme.run("rekeyings", "list", "acme", "--json").document["digest"]
    assert shown.out.splitlines()[-1] == f"hash {digest}"
    assert "is not what is held now" in acme.run("rekeyings", "approve", "acme", "0" * 16, "--as", "maria").err
    assert acme.run("rekeyings", "approve", "acme", digest, "--as", "mallory").status == 1
    assert acme.run("rekeyings", "approve", "acme", digest, "--as", "maria").out == (
        "1 re-keyings of acme approved by maria\n"
    )
    assert acme.run("rekeyings", "list", "acme").err == "nothing is held for acme\n"


def test_of_several_rows_for_one_driver_only_the_last_counts_however_far_apart(acme: Account) -> None:
    wrong = [f"{each},000{each},NEW-{each},Jane,Doe,555-010{each}" for each in FLEET]
    others = [f"{each},R{each},D{each},Jane,Doe," for each in range(100, 700)]
    right = [f"{each},000{each},DRV-{each},Jane,Doe,555-010{each}" for each in FLEET]
    assert acme.take(HEADER, [*wrong, *others, *right]).out == (
        "616 rows: 600 created, 8 unchanged; 0 refused; snapshot not asked for\n"
    )
    assert acme.take(HEADER, [*right, *others, *wrong]).out == (
        "616 rows: 8 updated, 600 unchanged; 0 refused; snapshot not asked for\n"
    )
