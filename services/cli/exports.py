"""`driverlink events export`: events as a file, whole or not at all."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Annotated, Any, Final

import typer

from domain.identity import Target
from services.cli.client import CommandRefused, DataOption, Json, account_id, reached
from services.cli.moments import moment_of
from services.cli.printing import print_note, progress_bar, to_json


class ExportForm(StrEnum):
    """What a file of events is."""

    JSONL = "jsonl"
    PARQUET = "parquet"


_PATIENCE: Final = 30.0
"""Seconds for which an export that has begun waits for services that have gone away."""

_AGAIN: Final = 0.5
"""Seconds between two attempts."""

_STDOUT: Final = "-"


def export(
    account: Annotated[str | None, typer.Option(help="Only this account's.", callback=account_id)] = None,
    target: Annotated[Target | None, typer.Option(help="Only those on this target.")] = None,
    log: Annotated[
        str | None,
        typer.Option(
            help=f"accounts, changes, decisions, {', '.join(f'outcomes-{each}' for each in Target)}, webhooks."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="For this long (90s, 15m, 1h, 2d), or from this date or time on (ISO 8601).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this long ago, or this date or time.")] = None,
    *,
    without_personal_data: Annotated[
        bool, typer.Option("--without-personal-data", help="Leave out profiles, and who did something and why.")
    ] = False,
    form: Annotated[ExportForm, typer.Option("--format", help="One event a line, or columns.")] = ExportForm.JSONL,
    output: Annotated[str, typer.Option("--output", metavar="FILE", help="Where to; - is standard output.")] = _STDOUT,
    after: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Only what comes behind this, which an export prints at its end."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Export the events of every log up to now, the oldest first.

    A file is there whole, or not at all: it is written beside, and renamed at the end. If the services go away
    meanwhile, the export goes on where it was. At the end it prints a cursor, with which the next export has only what
    came since. With personal data it takes the role operator, or more. Columns need the extra `parquet` of the package.

    Examples:
        driverlink events export --without-personal-data --output events.jsonl
        driverlink events export --account acme --since 7d --format parquet --output acme.parquet
        driverlink events export --log decisions --without-personal-data | gzip > decisions.jsonl.gz
    """
    query = {
        "account": account,
        "target": target,
        "log": log,
        "since": moment_of(since),
        "until": moment_of(until),
    }
    if form is ExportForm.PARQUET:
        _check_parquet()
    write = _write_jsonl if form is ExportForm.JSONL else _write_parquet
    path = "/events/export-without-personal-data" if without_personal_data else "/events/export"
    pages = _Pages(data, path, query, after)
    if output == _STDOUT and form is ExportForm.PARQUET and sys.stdout.isatty():
        raise typer.BadParameter("columns are not for a terminal: name a file with --output, or use --format jsonl")
    is_quiet = output == _STDOUT and sys.stdout.isatty()
    with progress_bar(is_quiet=is_quiet) as progress, _opened(output) as file:
        bar = progress.add_task("events", total=None, note="")

        def shown() -> Iterator[Sequence[Json]]:
            for page in pages:
                progress.update(bar, completed=pages.done, total=max(pages.total, 1), note=f"{pages.events} exported")
                yield page

        write(file, shown())
    where = "" if output == _STDOUT else f" to {output}"
    print_note(f"exported {pages.events} events{where}; what comes next: --after {pages.cursor}")


class _Pages:
    """The events of an export, page by page, and how far it is; it goes on where it was when the services come back."""

    def __init__(self, data: Path | None, path: str, query: Mapping[str, str | None], after: str | None) -> None:
        self._data = data
        self._path = path
        self._query = query
        self.cursor = after
        self.done = self.total = self.events = 0

    def __iter__(self) -> Iterator[Sequence[Json]]:
        """Raises `CommandRefused`."""
        gone_at: float | None = None
        begun = False
        while True:
            try:
                for page in self._answered():
                    begun, gone_at = True, None
                    self.events += len(page)
                    yield page
            except CommandRefused:
                gone_at = gone_at or monotonic()
                if not begun or monotonic() - gone_at > _PATIENCE:
                    raise
            else:
                if begun and self.done >= self.total:
                    return
                raise CommandRefused("the services have ended the export before its end: run it again")
            sleep(_AGAIN)

    def _answered(self) -> Iterator[Sequence[Json]]:
        """The pages of one response: a page is whole once it is known what is behind it."""
        events: list[Json] = []
        for line in reached(self._data).lines("GET", self._path, None, **self._query, cursor=self.cursor):
            if "event" in line:
                events.append(line["event"])
                continue
            progress = line["progress"]
            self.done, self.total, self.cursor = progress["done"], progress["total"], progress["cursor"]
            yield events
            events = []


@contextmanager
def _opened(output: str) -> Iterator[IO[bytes] | None]:
    """A file that takes its place whole at the end; None for standard output. Raises `CommandRefused`."""
    if output == _STDOUT:
        yield None
        return
    path = Path(output)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as failure:
        raise CommandRefused(f"{output} cannot be written: {failure.strerror}") from None
    finally:
        with suppress(OSError):
            beside.unlink()


def _write_jsonl(file: IO[bytes] | None, pages: Iterator[Sequence[Json]]) -> None:
    for page in pages:
        if file is None:
            sys.stdout.write("".join([to_json(each) + "\n" for each in page]))
        else:
            file.write("".join([json.dumps(each, ensure_ascii=False) + "\n" for each in page]).encode())


_MOST_ROWS: Final = 10_000
"""Rows that are in memory until they are written together."""

COLUMNS: Final[Mapping[str, Callable[[Json], object]]] = {
    "log": lambda event: event["log"],
    "position": lambda event: event["position"],
    "at": lambda event: _microseconds(event["at"]) if event["at"] else None,
    "type": lambda event: event["type"],
    "account": lambda event: event["account"],
    "target": lambda event: event["target"] or None,
    "driver": lambda event: event["driver"] or None,
    "version": lambda event: event["version"],
    "reason": lambda event: event["data"].get("reason"),
    "outcome": lambda event: event["data"].get("outcome"),
    "trigger": lambda event: _rationale(event).get("trigger"),
    "ref": lambda event: _rationale(event).get("ref"),
    "data": lambda event: json.dumps(event["data"], ensure_ascii=False),
    "unreadable": lambda event: event["unreadable"] or None,
}
"""The columns of a file in parquet: `position` and `version` are numbers, `at` is a moment, all else is text."""


_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def _microseconds(moment: str) -> int:
    """Those since 1970."""
    return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(microseconds=1)


def _rationale(event: Json) -> Mapping[str, Any]:
    stated = event["data"].get("rationale")
    return stated if isinstance(stated, dict) else {}


def _check_parquet() -> None:
    """Raise `CommandRefused` where what writes columns is not installed."""
    if not (find_spec("arro3") and find_spec("arro3.io")):
        raise CommandRefused("columns need libraries that are not here: install driverlink[parquet]")


def _write_parquet(file: IO[bytes] | None, pages: Iterator[Sequence[Json]]) -> None:
    from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema
    from arro3.io import write_parquet

    kinds = {name: DataType.int64() if name in ("position", "version") else DataType.utf8() for name in COLUMNS}
    kinds["at"] = DataType.timestamp("us", tz="UTC")
    schema = Schema([Field(name, kind, nullable=True) for name, kind in kinds.items()])

    def to_column(name: str, page: Sequence[Json]) -> Array:
        values = [COLUMNS[name](event) for event in page]
        return Array(values, DataType.int64()).cast(kinds[name]) if name == "at" else Array(values, kinds[name])

    def to_batch(page: Sequence[Json]) -> RecordBatch:
        return RecordBatch([to_column(name, page) for name in COLUMNS], schema=schema)

    failures: list[BaseException] = []

    def batches() -> Iterator[RecordBatch]:
        try:
            yield from map(to_batch, filter(None, pages))
        except BaseException as failure:
            # The writer would make a failure of its own of it.
            failures.append(failure)
            raise

    try:
        reader = RecordBatchReader.from_batches(schema, batches())
        write_parquet(reader, file or sys.stdout.buffer, compression="zstd(3)", max_row_group_size=_MOST_ROWS)
    except BaseException:
        if failures:
            raise failures[0] from None
        raise
