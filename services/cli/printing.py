"""How answers look: tables for people, JSON for scripts; notes and errors go to standard error.

Everything for people goes through here, so that what strangers wrote cannot do anything to a terminal (`visible`), and
so that an output that is not UTF-8 shows an escape in place of a character that it does not have.

What is said of an argument that is none of its choices.

What becomes of a command whose output cannot be written: one clear line, and no trace of where it was.

Log lines: one event each, with keys and values, to standard error.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import TextIOWrapper
from typing import Any, TextIO, cast

import structlog
import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from structlog.typing import EventDict
from typer.core import TyperGroup

from domain.cleaning import is_storable


def visible(text: str) -> str:
    """The text on one line, with an escape for whatever a terminal would act upon, or nobody would see."""
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class VisibleConsole(Console):
    """A console that shows every text line by line as `visible`; its own colours are its own."""

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 - as rich has it
        """See `Console.print`."""
        super().print(*map(_shown, objects), **options)


def _shown(what: object) -> object:
    return _visible_lines(what) if isinstance(what, str) else what


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


def escape_what_cannot_be_encoded() -> None:
    """Let an output that has no character for something show an escape, whatever its encoding is."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, TextIOWrapper):
            output.reconfigure(errors="backslashreplace")


def _is_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


_WIDE = 200
"""Columns of a table that nobody sees on a terminal."""

_ENDLESS = 10_000
"""More columns than any table needs."""


def print_json(answer: Any) -> None:  # noqa: ANN401 - JSON
    """One JSON document on one line, for scripts."""
    sys.stdout.write(to_json(answer) + "\n")


def to_json(answer: Any, *, indent: int | None = None) -> str:  # noqa: ANN401 - JSON
    """The same as text: with escapes where the output is not UTF-8, or a text holds half of a character."""
    told = json.dumps(answer, ensure_ascii=not _is_unicode(out), indent=indent)
    return told if is_storable(told) else json.dumps(answer, indent=indent)


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


def moment(text: str | None) -> str:
    """A moment of JSON for people: to the second, in UTC; blank for none."""
    return (text or "")[:19].replace("T", " ")


def print_note(text: str) -> None:
    """Something by the way."""
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


_LIBRARYS_OWN = "Value error, "


class ChoosyGroup(TyperGroup):
    """The commands, without the words that the library puts before such a message."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # noqa: ANN401 - the library's signature
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            wrong.message = wrong.message.removeprefix(_LIBRARYS_OWN)
            raise


class _Watched:
    """An output that remembers why it could not be written: an `OSError` alone does not say what it is about."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write to the output; raises `OSError`."""
        with self._remembering():
            return self._output.write(text)

    def flush(self) -> None:
        """Let everything that was written get out; raises `OSError`."""
        with self._remembering():
            self._output.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else an output has
        return getattr(self._output, name)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            self.failure = failure
            raise


@contextmanager
def delivered() -> Iterator[None]:
    """See to it that what is printed within gets out: if it cannot, say so in one line, and end with status 1.

    Whoever reads only the beginning, and closes the pipe, is told nothing.
    """
    output = sys.stdout
    if cast("TextIO | None", output) is None:
        yield
        return
    watched = _Watched(output)
    try:
        with redirect_stdout(cast("TextIO", watched)):
            yield
    finally:
        _see_it_out(watched)


def _see_it_out(watched: _Watched) -> None:
    with suppress(OSError):
        watched.flush()
    if watched.failure is None:
        return
    _let_go(watched)
    if not isinstance(watched.failure, BrokenPipeError):
        err.print(f"driverlink: the output cannot be written: {watched.failure.strerror}", markup=False)
    sys.exit(1)


def _let_go(watched: _Watched) -> None:
    """Let what is left of the output go nowhere: the interpreter would try once more at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, watched.fileno())
    os.close(nowhere)


def configure_logging(*, is_verbose: bool) -> None:
    """Show warnings, or everything."""
    level = logging.INFO if is_verbose else logging.WARNING
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _all_visible,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # the others print local variables, and with them secrets and personal data
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # it says many times a second that a broker is away, and at its finest quotes records, with personal data
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _all_visible(_: object, __: str, event: EventDict) -> EventDict:
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}
