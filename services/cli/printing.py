"""How answers look: tables for people, JSON for scripts; notes and errors go to standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def print_json(answer: Any) -> None:  # noqa: ANN401 - JSON
    """One JSON document on one line, for scripts."""
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A plain table; a blank cell stands for nothing."""
    table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    Console(highlight=False, emoji=False, width=None if out.is_terminal else 200).print(table)


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
