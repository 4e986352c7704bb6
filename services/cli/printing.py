"""How output looks: tables for people, JSON for scripts; notes and errors go to standard error.

Everything for people goes through here, so that text from outside cannot act on a terminal (`visible`), and an output
that is not UTF-8 shows an escape in place of a character that it does not have.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from domain.cleaning import is_storable


def visible(text: str) -> str:
    """The text on one line, with an escape for each character that a terminal would act upon or not show."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class VisibleConsole(Console):
    """A console that shows every text line by line as `visible`; its own colours are its own."""

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 - as rich has it
        """See `Console.print`."""
        super().print(*(_visible_lines(each) if isinstance(each, str) else each for each in objects), **options)


def _visible_lines(text: str) -> str:
    """The text with its own line breaks, each line as `visible`."""
    return "\n".join(map(visible, text.split("\n")))


class _VisibleColumn(TextColumn):
    """A text beside a progress bar."""

    def render(self, task: Task) -> Text:
        """See `TextColumn.render`."""
        text = super().render(task)
        text.plain = visible(text.plain)
        return text


out = VisibleConsole(highlight=False, soft_wrap=True, emoji=False)
err = VisibleConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def _is_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


_WIDE = 200
"""Columns of a table that is not for a terminal."""

_ENDLESS = 10_000
"""More columns than any table needs."""


def print_json(answer: Any) -> None:  # noqa: ANN401 - JSON
    """One JSON document on one line, for scripts."""
    sys.stdout.write(to_json(answer) + "\n")


def print_json_pages(pages: Iterable[Sequence[Any]]) -> None:
    """One JSON list on one line, of which no more than a page is held."""
    before = "["
    for page in pages:
        sys.stdout.write(before + to_json(page)[1:-1])
        before = ", "
    sys.stdout.write("[]\n" if before == "[" else "]\n")


def to_json(answer: Any, *, indent: int | None = None) -> str:  # noqa: ANN401 - JSON
    """The same as text: with escapes where the output is not UTF-8, or a text holds half of a character.

    Characters that a terminal would act upon, or not show, have escapes too.
    """
    text = json.dumps(answer, ensure_ascii=not _is_unicode(out), indent=indent)
    return _UNSAFE.sub(_escaped, text) if is_storable(text) else json.dumps(answer, indent=indent)


_UNSAFE = re.compile(r"[^\n -~]")
"""What may be a character that a terminal would act upon; in JSON it only stands within texts."""


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A plain table; a blank cell stands for nothing.

    Where a terminal is too narrow for its words, each row is a list of its cells, one below the other.
    """
    cells = [["" if cell is None else escape(visible(str(cell))) for cell in row] for row in rows]
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
        *map(visible, columns),
        title=escape(_visible_lines(title)) or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
        show_header=bool(columns),
    )
    for row in rows:
        table.add_row(*row)
    return table


for_scripts: ContextVar[bool] = ContextVar("for_scripts", default=False)
"""Whether moments are printed for scripts: in ISO 8601, in UTC."""


def moment(text: str | None, *, is_zoned: bool = False) -> str:
    """A moment of JSON for people, to the second, in local time, with its zone in a sentence; blank for none."""
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    if for_scripts.get():
        return at.astimezone(UTC).isoformat(timespec="seconds")
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S{' %Z' if is_zoned else ''}}"


def print_note(text: str) -> None:
    """A remark, on standard error."""
    err.print(text, markup=False)


def progress_bar(*, is_quiet: bool) -> Progress:
    """A bar for long work, on standard error; nothing at all for scripts."""
    return Progress(
        SpinnerColumn("dots" if _is_unicode(err) else "line"),
        _VisibleColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        _VisibleColumn("{task.fields[note]}", markup=False),
        console=err,
        disable=is_quiet,
        transient=False,
    )
