"""How answers look: tables for people, JSON for scripts; notes and errors go to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

_WIDE = 200
"""Columns of a table that nobody sees on a terminal."""

_ENDLESS = 10_000
"""More columns than any table needs."""


def print_json(answer: Any) -> None:  # noqa: ANN401 - JSON
    """One JSON document on one line, for scripts."""
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A plain table; a blank cell stands for nothing.

    Where a terminal is too narrow for its words, each row is a list of its cells, one below the other.
    """
    cells = [["" if cell is None else escape(str(cell)) for cell in row] for row in rows]
    console = Console(highlight=False, emoji=False, width=None if out.is_terminal else _WIDE)
    table = _plain(columns, cells, title)
    if Measurement.get(console, console.options.update(width=_ENDLESS), table).minimum <= console.width:
        console.print(table)
        return
    for row in cells:
        console.print(_plain((), zip(columns, row, strict=True), title))
        console.print()


def _plain(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    table = Table(
        *columns,
        title=title or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
        show_header=bool(columns),
    )
    for row in rows:
        table.add_row(*row)
    return table


def moment(text: str | None) -> str:
    """A moment of JSON for people: to the second, in UTC; blank for none."""
    return (text or "")[:19].replace("T", " ")


def print_note(text: str) -> None:
    """Something by the way."""
    err.print(text, markup=False)


def progress_bar(*, is_quiet: bool) -> Progress:
    """A bar for long work, on standard error; nothing at all for scripts."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
        disable=is_quiet,
        transient=False,
    )
