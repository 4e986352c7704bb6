"""`driverlink import` and `driverlink change`: what the Portal states."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from domain.profile import FIELDS
from services.cli.printing import err, out, print_json, print_table, progress_bar
from services.cli.reaching import Services
from services.cli.running import AccountArgument, DataOption, JsonOption, account_id, ask
from services.cli.wiring import ExportRow, RefusedRow, read_export
from services.intake.snapshots import new_snapshot
from services.runtime.clock import utc_now

change = typer.Typer(help="State one driver, as the Portal would.", no_args_is_help=True)

ExportLine = ExportRow | RefusedRow

_BATCH = 500
_MOST_SHOWN = 50

DriverOption = Annotated[str, typer.Option("--driver", metavar="ID", help="The Portal's own id of the driver.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=TEXT", help=f"A field of the profile; again for more: {', '.join(FIELDS)}."),
]


@dataclass(slots=True, kw_only=True)
class Import:
    """What became of a file."""

    may_lack_many: bool = False
    rows: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    present: list[dict[str, Any]] = field(default_factory=list)
    has_unnamed: bool = False
    snapshot: str = "not asked for"

    def to_json(self) -> dict[str, Any]:
        """The summary for scripts."""
        return {
            "rows": self.rows,
            "changes": dict(self.changes),
            "refused": self.refused,
            "notes": self.notes,
            "snapshot": self.snapshot,
        }


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Portal's Admin: Drivers export (CSV).")],
    account: Annotated[
        str, typer.Option("--account", help="The account whose drivers these are.", callback=account_id)
    ],
    *,
    complete: Annotated[bool, typer.Option("--complete", help="The file lists every driver of the account.")] = False,
    may_lack_many: Annotated[
        bool, typer.Option("--may-lack-many", help="With --complete: so many drivers have really left.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over the Portal's export: a row equal to what is known adds nothing.

    With --complete, a driver whom the file lacks is noted; the second complete file in a row that lacks it means that
    the Portal has deleted the driver. A file that lacks more than a third of them (and more than three) is refused,
    unless --may-lack-many says that it is right. Exit status 0: every row was taken over; 2: some rows were refused.
    """
    if may_lack_many and not complete:
        raise typer.BadParameter("--may-lack-many needs --complete")
    done = Import(may_lack_many=may_lack_many)
    ask(data, lambda services: _import(services, file, account, done, is_complete=complete, is_quiet=as_json))
    if as_json:
        print_json(done.to_json())
    else:
        _print(done)
    if done.refused:
        raise typer.Exit(2)


async def _import(
    services: Services, file: Path, account: str, done: Import, *, is_complete: bool, is_quiet: bool
) -> None:
    await services.get(f"/accounts/{account}")
    lines = read_export(file)
    snapshot = new_snapshot(utc_now()) if is_complete else None
    with progress_bar(is_quiet=is_quiet) as progress:
        bar = progress.add_task(f"import {file.name}", total=lines.total_bytes, note="")
        for batch in _batches(lines):
            await _take(services, account, batch, done, snapshot)
            _advance(progress, bar, batch, lines.total_bytes)
        progress.update(bar, completed=lines.total_bytes)
    if snapshot:
        await _finish(services, account, done, snapshot)


def _advance(progress: Progress, bar: TaskID, batch: list[ExportLine], total: int) -> None:
    progress.update(bar, completed=min(batch[-1].bytes_read, total))


def _batches(lines: Iterator[ExportLine]) -> Iterator[list[ExportLine]]:
    batch: list[ExportLine] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _take(services: Services, account: str, batch: list[ExportLine], done: Import, snapshot: str | None) -> None:
    good = [line for line in batch if isinstance(line, ExportRow)]
    lines = [{"line": line.line, "driver": line.driver, "profile": line.profile.fields} for line in good]
    taken = await services.post(f"/accounts/{account}/lists", {"lines": lines, "snapshot": snapshot})
    done.rows += len(batch)
    done.changes.update(taken["changes"])
    done.notes += [{"row": line.line, "note": note} for line in good for note in line.notes]
    done.refused += [
        {"row": line["line"], "column": line["column"], "reason": line["reason"]} for line in taken["refused"]
    ]
    for line in batch:
        if isinstance(line, RefusedRow):
            _refuse(done, line)


def _refuse(done: Import, line: RefusedRow) -> None:
    done.refused.append({"row": line.line, "column": line.column or "", "reason": line.reason})
    profile = {"ref_id": line.ref_id} if line.ref_id else {}
    if line.driver or profile:
        done.present.append({"line": line.line, "driver": line.driver, "profile": profile})
    else:
        done.has_unnamed = True


async def _finish(services: Services, account: str, done: Import, snapshot: str) -> None:
    if done.has_unnamed:
        done.snapshot = "does not count: a refused row may be any driver"
        return
    body = {"snapshot": snapshot, "refused": done.present, "may_lack_many": done.may_lack_many}
    taken = await services.post(f"/accounts/{account}/snapshots", body)
    missed, deleted = (taken["changes"].get(name, 0) for name in ("DriverMissed", "DriverDeleted"))
    done.changes.update(taken["changes"])
    done.snapshot = f"complete: {missed} missed for the first time, {deleted} deleted"


def _print(done: Import) -> None:
    changes = ", ".join(f"{count} {_WORDS.get(name, name)}" for name, count in sorted(done.changes.items()))
    out.print(f"{done.rows} rows: {changes or 'nothing new'}; {len(done.refused)} refused; snapshot {done.snapshot}")
    for note in done.notes[:_MOST_SHOWN]:
        err.print(f"row {note['row']}: {note['note']}", markup=False)
    if done.refused:
        rows = [(each["row"], each["column"], each["reason"]) for each in done.refused[:_MOST_SHOWN]]
        print_table(("row", "column", "reason"), rows, title="Refused")
    if len(done.refused) > _MOST_SHOWN:
        out.print(f"... and {len(done.refused) - _MOST_SHOWN} more; --json lists them all")


_WORDS = {
    "DriverCreated": "created",
    "DriverUpdated": "updated",
    "DriverDeleted": "deleted",
    "DriverMissed": "missed",
    "DriverSeenAgain": "seen again",
}


@change.command()
def create(
    account: AccountArgument,
    driver: DriverOption,
    fields: SetOption = None,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """The Portal has a new driver, or a deleted one again (rehired)."""
    _state("create", account, driver, fields, data, as_json=as_json)


@change.command()
def update(
    account: AccountArgument,
    driver: DriverOption,
    fields: SetOption = None,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """The Portal states these fields otherwise; an empty text takes a field back."""
    _state("update", account, driver, fields, data, as_json=as_json)


@change.command()
def delete(
    account: AccountArgument, driver: DriverOption, data: DataOption = None, *, as_json: JsonOption = False
) -> None:
    """The Portal has deleted the driver."""
    _state("delete", account, driver, None, data, as_json=as_json)


def _state(
    action: str, account: str, driver: str, fields: list[str] | None, data: DataOption, *, as_json: bool
) -> None:
    body = {"action": action, "driver": driver, "profile": _profile(fields or [])}
    answer = ask(data, lambda services: services.post(f"/accounts/{account}/changes", body))
    if as_json:
        print_json(answer)
    else:
        out.print(f"driver {driver} of {account}: {answer['change']}", markup=False)


def _profile(fields: list[str]) -> dict[str, str]:
    pairs = [field.partition("=") for field in fields]
    if wrong := next((field for field, (_, sign, _) in zip(fields, pairs, strict=True) if not sign), None):
        raise typer.BadParameter(f"--set needs FIELD=TEXT, not {wrong!r}")
    return {name.strip(): text for name, _, text in pairs}
