"""`driverlink archives`: old history, copied to files that prove what they have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from domain.hash_chain import HistoryArchived
from services.api.installation import Signer
from services.cli.client import CommandRefused, DataOption, Json, JsonOption, OwnedFolderOption, ask
from services.cli.listing import Form, ago, field, listing, watched
from services.cli.maintenance import alone, is_database
from services.cli.moments import moment_of
from services.cli.printing import out, print_json, print_note, print_table, progress_bar
from services.runtime.context import utc_now
from services.wiring.archiving import DuePart, archive_history, deletable_archives, delete_archives, due_parts
from services.wiring.distributed import Distributed
from services.wiring.embedded import signer_of
from services.wiring.settings import ArchiveSettings, DistributedSettings, EmbeddedSettings, read_settings

archives = typer.Typer(no_args_is_help=True)

_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "log": field("log"),
    "from": lambda archive: archive["after"] + 1,
    "to": field("through"),
    "events": field("events"),
    "erased": field("erased"),
    "file": field("file"),
    "written": lambda archive: ago(archive["at"]),
}


@archives.command()
def create(
    *,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Archive events until then: this long ago (30d), or a date or time (ISO 8601); else what "
            "DRIVERLINK_ARCHIVE_AFTER_DAYS says.",
            show_default=False,
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the files; else only show what would be.")] = False,
    data: OwnedFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy old events of every log to archive files, each under a signed root.

    They are written to DRIVERLINK_ARCHIVE_FOLDER; nothing is removed from the stores. A file that is not there any more
    is written again. Without --apply nothing is written. After a kill, run it again: it goes on. Stop every other
    process of the installation first. Without --data it works on the database of DRIVERLINK_DATABASE_URL, where that is
    set.

    Examples:
        driverlink archives create --before 365d
        driverlink archives create --before 2026-01-01 --apply
    """
    now, folder = utc_now(), _folder()
    until = _until(before, now)
    made: Sequence[HistoryArchived] = ()
    with alone(data) as (stores, _):
        due = due_parts(stores, folder, until)
        if apply:
            with progress_bar(is_quiet=as_json) as progress:
                bar = progress.add_task("events", total=sum(part.events for part in due), note="")

                def on_step(fact: HistoryArchived) -> None:
                    progress.update(bar, advance=fact.events + fact.erased)

                made = archive_history(stores, _signer(data), folder, until, now, on_step)
    if as_json:
        parts = [*map(_shown, made)] if apply else [asdict(part) for part in due]
        print_json({"before": until.isoformat(), "folder": str(folder), "is_written": apply, "archives": parts})
    elif apply:
        events = sum(fact.events for fact in made)
        out.print(f"wrote {len(made)} archives with {events} events to {folder}", markup=False, soft_wrap=True)
    else:
        _print_due(due, folder)


@archives.command()
def delete(
    before: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Delete archives of which every event is older than this: 3650d, or a date or time (ISO 8601).",
            show_default=False,
        ),
    ],
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Delete the files; else only show which.")] = False,
    data: OwnedFolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete archive files from DRIVERLINK_ARCHIVE_FOLDER, and write none of that history again.

    Nothing is removed from the stores. After a kill, run it again: it goes on. Stop every other process of the
    installation first. Without --data it works on the database of DRIVERLINK_DATABASE_URL, where that is set.

    Examples:
        driverlink archives delete --before 3650d
        driverlink archives delete --before 2016-01-01 --apply
    """
    now, folder = utc_now(), _folder()
    until = _until(before, now)
    with alone(data) as (stores, _):
        found = delete_archives(stores, folder, until, now) if apply else deletable_archives(stores, until)
    if as_json:
        shown = [*map(_shown, found)]
        print_json({"before": until.isoformat(), "folder": str(folder), "is_deleted": apply, "archives": shown})
        return
    for fact in found:
        out.print(fact.file, markup=False, soft_wrap=True)
    if found and not apply:
        print_note(f"nothing was deleted: with --apply they are removed from {folder}")
    elif not found:
        print_note("no archive is that old")


@archives.command("list")
@listing
def list_all(data: DataOption = None, *, form: Form) -> None:
    """List the archive files that were written.

    `driverlink verify --archive FOLDER` checks them.

    Examples:
        driverlink archives list
    """

    def show() -> None:
        found = ask(data, lambda services: services.get("/archives"))["archives"]
        form.print(found, _COLUMNS, empty="no archives yet: write some with `driverlink archives create`")

    watched(show, is_on=form.watch)


def _folder() -> Path:
    folder = read_settings(ArchiveSettings).archive_folder
    if folder is None:
        raise CommandRefused("set DRIVERLINK_ARCHIVE_FOLDER to the folder of the archives")
    return folder


def _until(before: str | None, now: datetime) -> datetime:
    """The moment until which events are archived, in UTC unless it says otherwise."""
    if named := moment_of(before):
        until = datetime.fromisoformat(named)
        return until if until.tzinfo else until.replace(tzinfo=UTC)
    days = read_settings(ArchiveSettings).archive_after_days
    if days is None:
        raise CommandRefused("say until when with --before, or set DRIVERLINK_ARCHIVE_AFTER_DAYS")
    return now - timedelta(days=days)


def _signer(data: Path | None) -> Signer | None:
    if is_database(data):
        return Distributed(read_settings(DistributedSettings)).signer()
    return signer_of(read_settings(EmbeddedSettings, data=data).data)


def _shown(fact: HistoryArchived) -> Json:
    names = ("log", "after", "through", "root", "events", "erased", "file", "sha256")
    return {name: getattr(fact, name) for name in names}


def _print_due(due: Sequence[DuePart], folder: Path) -> None:
    """What would be archived, a line for each log."""
    if not due:
        print_note("nothing is to be archived until then")
        return
    lines = []
    for log in dict.fromkeys(part.log for part in due):
        parts = [part for part in due if part.log == log]
        lines.append((log, parts[0].after + 1, parts[-1].through, sum(part.events for part in parts), len(parts)))
    print_table(("log", "from", "to", "events", "files"), lines)
    if not all(part.is_signed for part in due):
        print_note("a root is signed first over what is under none")
    print_note(f"nothing was written: with --apply it goes to {folder}")
