"""`driverlink drivers`: list them, and what the Portal states, from its export or one driver at a time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Annotated

import typer
from rich.progress import Progress

from domain.profile import FIELDS
from services.cli.client import (
    BY_CONTEXT,
    AccountArgument,
    CommandRefused,
    DataOption,
    Json,
    JsonOption,
    Services,
    account_id,
    ask,
)
from services.cli.driver_details import show
from services.cli.driver_erasing import erase
from services.cli.driver_search import list_drivers
from services.cli.printing import out, print_json, print_note, print_table, progress_bar
from services.wiring.exports import ExportRow, RefusedRow, read_export

drivers = typer.Typer(no_args_is_help=True)
drivers.command("list")(list_drivers)
drivers.command()(show)
drivers.command()(erase)

ExportLine = ExportRow | RefusedRow

_BATCH = 500
_MOST_SHOWN = 50

DriverOption = Annotated[str, typer.Option("--driver", metavar="ID", help="The Portal's own id of the driver.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=TEXT", help=f"A field of the profile, repeatable: {', '.join(FIELDS)}."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedDriver:
    """A driver that the file changes. A file may have 100,000, most of them with the same fields: these are shared."""

    driver: str
    change: str
    fields: tuple[str, ...]
    before: Json
    after: Json
    is_new: bool
    is_rekeying: bool

    @classmethod
    def from_json(cls, answer: Json) -> "ChangedDriver":
        """As the services have answered it."""
        return cls(**{**answer, "change": intern(answer["change"]), "fields": _shared(*answer["fields"])})

    def to_json(self) -> Json:
        """For scripts: the names of fields, but values of identifiers only."""
        names = ("driver", "change", "fields", "before", "after", "is_rekeying")
        return {name: getattr(self, name) for name in names}


@cache
def _shared(*names: str) -> tuple[str, ...]:
    return names


@dataclass(slots=True, kw_only=True)
class Import:
    """What an import of a file did, or would do."""

    is_complete: bool = False
    may_lack_many: bool = False
    approve: str | None = None
    is_dry: bool = False
    rows: int = 0
    header_line: int = 1
    ignored_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    changes: Counter[str] = field(default_factory=Counter)
    refused: list[Json] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    present: list[Json] = field(default_factory=list)
    has_unnamed: bool = False
    snapshot: str = "not asked for"
    differences: list[ChangedDriver] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    superseded: set[int] = field(default_factory=set)
    held: Json | None = None

    @property
    def reviewed(self) -> Json:
        """What the review of all rows has found, for the services to judge."""
        rekeyed = {each.driver: each.after for each in self.differences if each.is_rekeying}
        return {
            "rekeyed": [{"driver": driver, "after": after} for driver, after in rekeyed.items()],
            "new": sorted({each.driver for each in self.differences if each.is_new}),
            "shown": sorted(self.shown),
            "refused": self.present,
            "complete": self.is_complete and not self.has_unnamed,
            "may_lack_many": self.may_lack_many,
            "approve": self.approve,
            "dry_run": self.is_dry,
        }

    def forget_counts(self) -> None:
        """Start counting again: the same rows come once more."""
        self.rows, self.changes, self.has_unnamed = 0, Counter(), False
        self.refused, self.notes, self.present = [], [], []

    def to_json(self) -> Json:
        """The summary for scripts."""
        summary = {
            "rows": self.rows,
            "changes": dict(self.changes),
            "refused": self.refused,
            "notes": self.notes,
            "snapshot": self.snapshot,
            "columns": {
                "header_line": self.header_line,
                "ignored": list(self.ignored_columns),
                "missing": list(self.missing_columns),
            },
        }
        if self.is_dry or self.held:
            drivers = [each.to_json() for each in self.differences]
            summary |= {"dry_run": self.is_dry, "held": self.held, "drivers": drivers}
        return summary


@drivers.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Portal's Admin: Drivers export (CSV).")],
    account: Annotated[
        str,
        typer.Option("--account", help=f"The account that the drivers belong to; {BY_CONTEXT}.", callback=account_id),
    ],
    *,
    complete: Annotated[bool, typer.Option("--complete", help="The file lists every driver of the account.")] = False,
    may_lack_many: Annotated[
        bool,
        typer.Option("--may-lack-many", help="With --complete: the missing drivers have really left."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    approve: Annotated[
        str | None,
        typer.Option(
            "--approve",
            metavar="HASH",
            help="Approve exactly the changes of identifiers with this hash.",
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import the Portal's export; rows that change nothing add nothing.

    A column that the file lacks leaves its field as it is; an empty cell clears the field. The whole file is reviewed
    before any row is imported. A file is held if it would change the identifiers (Driveri DriverID, Reference ID) of
    more than 5 % of the drivers, or if it replaces most known drivers by new ones, and more than 3 drivers in 24 hours
    are concerned. If the file is right, import it again with --approve and the hash that is printed.

    With --complete, drivers that the file lacks are noted; the second complete file in a row that lacks a driver means
    that the Portal has deleted it. A file that lacks more than a third of the drivers (and more than three) is refused,
    unless you confirm it with --may-lack-many. Exit status 0: every row was imported, or would be; 2: some rows were
    refused; 1: nothing was imported.

    Examples:
        driverlink drivers import drivers.csv --account acme --dry-run
        driverlink drivers import drivers.csv --account acme --complete
    """
    if may_lack_many and not complete:
        raise typer.BadParameter("--may-lack-many needs --complete")
    done = Import(is_complete=complete, may_lack_many=may_lack_many, approve=approve, is_dry=dry_run)
    ask(data, lambda services: _import(services, file, account, done, is_quiet=as_json))
    if as_json:
        print_json(done.to_json())
    else:
        _print(done)
    if done.held and not dry_run:
        raise CommandRefused(_held_words(done.held))
    if done.refused:
        raise typer.Exit(2)


def _import(services: Services, file: Path, account: str, done: Import, *, is_quiet: bool) -> None:
    services.get(f"/accounts/{account}")
    header = read_export(file).header
    done.header_line, done.ignored_columns, done.missing_columns = header.line, header.ignored, header.missing
    with progress_bar(is_quiet=is_quiet) as progress:
        _find_superseded(file, done, progress)
        for batch in _batches(file, "review" if done.is_dry else "check", progress):
            _send(services, account, batch, done, is_review=True)
        snapshot = _judge(services, account, done)
        if done.is_dry:
            return
        done.forget_counts()
        if done.held:
            return
        for batch in _batches(file, "import", progress):
            _send(services, account, batch, done, snapshot=snapshot)
    if done.is_complete and not done.has_unnamed:
        body = {"snapshot": snapshot, "refused": done.present, "may_lack_many": done.may_lack_many}
        missed = services.command(f"/accounts/{account}/snapshots", body)
        done.changes.update(missed["changes"])
        done.snapshot = _absences(missed)
    elif done.is_complete:
        done.snapshot = _DOUBTFUL


def _judge(services: Services, account: str, done: Import) -> str | None:
    """Have the review of the whole file judged; answers the name of the full snapshot that it is, if it is one."""
    judged = services.post(f"/accounts/{account}/lists/judgement", done.reviewed)
    absent, snapshot = judged.pop("absent"), str(judged.pop("snapshot"))
    if judged.pop("is_held"):
        done.held = judged
    if done.is_dry and done.is_complete:
        done.changes.update(absent["changes"])
        done.differences += map(ChangedDriver.from_json, absent["differences"])
        done.snapshot = _DOUBTFUL if done.has_unnamed else _absences(absent)
    return snapshot if done.is_complete else None


def _find_superseded(file: Path, done: Import, progress: Progress) -> None:
    """Find the rows that a later row for the same driver replaces."""
    last: dict[str, int] = {}
    for batch in _batches(file, "read", progress):
        for line in batch:
            if isinstance(line, ExportRow):
                driver = line.driver or f"ref:{line.profile.text('ref_id')}"
                if driver in last:
                    done.superseded.add(last[driver])
                last[driver] = line.line


def _batches(file: Path, verb: str, progress: Progress) -> Iterator[list[ExportLine]]:
    """The lines of the file in batches, with a bar for how far each is done. Raises `UnreadableExport`."""
    lines = read_export(file)
    bar = progress.add_task(f"{verb} {file.name}", total=lines.total_bytes, note="")
    while batch := [*islice(lines, _BATCH)]:
        yield batch
        progress.update(bar, completed=min(lines.bytes_read, lines.total_bytes))
    progress.update(bar, completed=lines.total_bytes)


def _send(
    services: Services,
    account: str,
    batch: list[ExportLine],
    done: Import,
    *,
    snapshot: str | None = None,
    is_review: bool = False,
) -> None:
    """Have the services import or review a batch, and note what it came to."""
    good = [line for line in batch if isinstance(line, ExportRow) and line.line not in done.superseded]
    lines = [{"line": line.line, "driver": line.driver, "profile": line.profile.fields} for line in good]
    body = {"lines": lines, "snapshot": snapshot, "review": is_review}
    answer = services.post(f"/accounts/{account}/lists", body)
    done.rows += len(batch)
    done.changes.update(answer["changes"])
    done.notes += [{"row": line.line, "note": note} for line in good for note in line.notes]
    done.refused += [
        {"row": each["line"], "column": each["column"], "reason": each["reason"]} for each in answer["refused"]
    ]
    if is_review:
        done.differences += map(ChangedDriver.from_json, answer["differences"])
        done.shown.update(answer["shown"])
    for refused in (line for line in batch if isinstance(line, RefusedRow)):
        done.refused.append({"row": refused.line, "column": refused.column or "", "reason": refused.reason})
        profile = {"ref_id": refused.ref_id} if refused.ref_id else {}
        if refused.driver or profile:
            done.present.append({"line": refused.line, "driver": refused.driver, "profile": profile})
        else:
            done.has_unnamed = True


_DOUBTFUL = "does not count: a refused row may be any driver"


def _absences(result: Json) -> str:
    missed, deleted = (result["changes"].get(name, 0) for name in ("DriverMissed", "DriverDeleted"))
    return f"complete: {missed} missed for the first time, {deleted} deleted"


def _held_words(held: Json) -> str:
    """Why a file is held, and how to go on."""
    parts = []
    if held["rekeyed"]:
        parts.append(f"would change the identifiers of {held['rekeyed']} of {held['known']} known drivers")
    if held["replaced"]:
        parts.append(f"has mostly new drivers, and lacks {held['lacking']} of {held['known']} known ones")
    earlier = f" after {held['counted']} earlier ones" if held["counted"] else ""
    return (
        f"the file {' and '.join(parts)}, and {held['limit']} may be re-keyed in 24 hours{earlier}; nothing was "
        f"imported; if it is right, run the command again with --approve {held['digest']}"
    )


def _print(done: Import) -> None:
    if done.header_line > 1:
        print_note(f"the header is in line {done.header_line}; the lines above it are ignored")
    if done.ignored_columns:
        print_note(f"ignored columns: {', '.join(done.ignored_columns)}")
    if done.missing_columns:
        print_note(f"missing columns, whose fields stay as they are: {', '.join(done.missing_columns)}")
    if done.is_dry or done.held:
        _print_differences(done)
    _print_counts(done)
    for note in done.notes[:_MOST_SHOWN]:
        print_note(f"row {note['row']}: {note['note']}")
    if done.refused:
        rows = [(each["row"], each["column"], each["reason"]) for each in done.refused[:_MOST_SHOWN]]
        print_table(("row", "column", "reason"), rows, title="Refused")
    _print_more(len(done.refused))


def _print_counts(done: Import) -> None:
    changes = ", ".join(f"{count} {_WORDS.get(name, name)}" for name, count in sorted(done.changes.items()))
    summary = f"{done.rows} rows: {changes or 'nothing new'}; {len(done.refused)} refused; snapshot {done.snapshot}"
    if done.is_dry:
        out.print(f"dry run, nothing was changed: {summary}", markup=False)
    elif not done.held:
        out.print(summary, markup=False)
    if done.is_dry and done.held:
        print_note(f"it would be held: {_held_words(done.held)}")


def _print_differences(done: Import) -> None:
    """The drivers that the file changes; re-keyed ones come first."""
    differences = sorted(done.differences, key=lambda each: not each.is_rekeying)
    if done.held and not done.is_dry:
        differences = [each for each in differences if each.is_rekeying or each.is_new]
    rows = []
    for each in differences[:_MOST_SHOWN]:
        before, after = each.before, each.after
        names = [name for name in ("driveri_driver_id", "ref_id") if before.get(name) != after.get(name)]
        identifiers = [f"{name}: {before.get(name, '')} -> {after.get(name, '')}" for name in names]
        change = _WORDS.get(each.change, each.change)
        rows.append((each.driver, change, ", ".join(each.fields), "; ".join(identifiers)))
    if rows:
        print_table(("driver", "change", "fields", "identifiers"), rows, title="Would change")
    _print_more(len(differences))


def _print_more(many: int) -> None:
    if many > _MOST_SHOWN:
        out.print(f"... and {many - _MOST_SHOWN} more; --json lists them all")


_WORDS = {
    "DriverCreated": "created",
    "DriverUpdated": "updated",
    "DriverDeleted": "deleted",
    "DriverMissed": "missed",
    "DriverSeenAgain": "seen again",
}


@drivers.command()
def create(
    account: AccountArgument,
    driver: DriverOption,
    fields: SetOption = None,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Create a driver, or bring a deleted one back (a rehire), as the Portal would.

    Examples:
        driverlink drivers create acme --driver 200006 --set first_name=Jane --set last_name=Doe
    """
    _state("create", account, driver, fields, data, as_json=as_json)


@drivers.command()
def update(
    account: AccountArgument,
    driver: DriverOption,
    fields: SetOption = None,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Change fields of a driver as the Portal would; an empty text clears a field.

    Examples:
        driverlink drivers update acme --driver 200006 --set driveri_driver_id=DRV-7001
        driverlink drivers update acme --driver 200006 --set phone=
    """
    _state("update", account, driver, fields, data, as_json=as_json)


@drivers.command()
def delete(
    account: AccountArgument, driver: DriverOption, data: DataOption = None, *, as_json: JsonOption = False
) -> None:
    """Delete a driver as the Portal would.

    Examples:
        driverlink drivers delete acme --driver 200006
    """
    _state("delete", account, driver, None, data, as_json=as_json)


def _state(
    action: str, account: str, driver: str, fields: list[str] | None, data: DataOption, *, as_json: bool
) -> None:
    pairs = [field.partition("=") for field in fields or ()]
    if wrong := next((name for name, sign, _ in pairs if not sign), None):
        raise typer.BadParameter(f"--set needs FIELD=TEXT, not {wrong!r}")
    body = {"action": action, "driver": driver, "profile": {name.strip(): text for name, _, text in pairs}}
    answer = ask(data, lambda services: services.command(f"/accounts/{account}/drivers", body))
    if as_json:
        print_json(answer)
    else:
        out.print(f"driver {answer['driver']} of {answer['account']}: {answer['change']}", markup=False)
