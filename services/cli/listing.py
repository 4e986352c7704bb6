"""How lists are shown: as a table, wide, JSON, YAML or CSV; sorted, cut, and watched."""

import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import wraps
from inspect import Signature, signature
from typing import Annotated, Any, Final, ParamSpec

import typer

from services.cli.client import Json, JsonOption
from services.cli.printing import for_scripts, moment, out, print_json, print_note, print_table

P = ParamSpec("P")

_WATCH_EVERY: Final = 2.0
"""Seconds between two looks of `--watch`."""

_DAY: Final = 86_400


def in_utc(is_on: bool) -> bool:  # noqa: FBT001 - typer's signature of a callback
    """Let every time of this command be printed in UTC."""
    if is_on:
        os.environ["TZ"] = "UTC"
        time.tzset()
        ago.is_relative = False  # type: ignore[attr-defined]
    return is_on


class Output(StrEnum):
    """The form of a list."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="The form: a table, a wide one with every column, or for scripts.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Print at most this many.", show_default=False)]
SortOption = Annotated[
    str | None, typer.Option("--sort", metavar="COLUMN", help="Sort by this column; -COLUMN turns it round.")
]
WatchOption = Annotated[bool, typer.Option("--watch", "-w", help="Look again every two seconds, until Ctrl-C.")]
UtcOption = Annotated[bool, typer.Option("--utc", help="Print every time in full, in UTC.", callback=in_utc)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a person wants a list."""

    output: Output
    sort: str | None
    limit: int | None
    watch: bool

    def print(self, found: Sequence[Json], columns: Mapping[str, Callable[[Json], object]], **more: Any) -> None:  # noqa: ANN401 - those of `print_list`
        """Print a list so; see `print_list`."""
        print_list(found, columns, output=self.output, sort=self.sort, limit=self.limit, **more)


def _form(
    *,
    output: OutputOption = Output.TABLE,
    sort: SortOption = None,
    limit: LimitOption = None,
    watch: WatchOption = False,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    as_json: JsonOption = False,
) -> Form:
    return Form(output=Output.JSON if as_json else output, sort=sort, limit=limit, watch=watch)


def listing(command: Callable[P, None]) -> Callable[..., None]:
    """The same command with the options of every list, which it gets as its argument `form`."""
    options = signature(_form, eval_str=True).parameters
    own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "form"]

    @wraps(command)
    def with_options(**given: Any) -> None:  # noqa: ANN401 - what typer has parsed
        form = _form(**{name: given.pop(name) for name in options})
        command(**{**given, "form": form})  # type: ignore[call-arg]  # typer calls by name

    described = Signature([*own, *options.values()])
    vars(with_options).update(
        __signature__=described, __annotations__={name: each.annotation for name, each in described.parameters.items()}
    )
    return with_options


ExitCodeOption = Annotated[bool, typer.Option("--exit-code", help="Exit with 3 where there is anything.")]

FOUND: Final = 3
"""The exit status with `--exit-code` where there is something to do."""


def ago(text: str | None, now: datetime | None = None) -> str:
    """A moment: `5 min ago` or `in 3 h` within a day, else, and for scripts, as `moment` has it; blank for none."""
    if not text:
        return ""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(text)).total_seconds()
    if abs(seconds) >= _DAY or for_scripts.get() or not getattr(ago, "is_relative", True):
        return moment(text)
    units = ((3600, "h"), (60, "min"), (1, "s"))
    size, unit = next((each for each in units if abs(seconds) >= each[0]), (1, "s"))
    spoken = f"{int(abs(seconds) // size)} {unit}"
    return f"in {spoken}" if seconds < 0 else f"{spoken} ago"


def print_list(
    found: Sequence[Json],
    columns: Mapping[str, Callable[[Json], object]],
    *,
    output: Output = Output.TABLE,
    sort: str | None = None,
    limit: int | None = None,
    wide: Mapping[str, Callable[[Json], object]] | None = None,
    document: Callable[[Sequence[Json]], Any] = list,
    empty: str = "",
) -> None:
    """Print a list; `columns` make the cells, `wide` those of a wide table and of CSV besides.

    `empty` is said in place of a table without lines. `document` makes of what is shown what JSON and YAML print.
    """
    if empty and not found and output is Output.TABLE:
        print_note(empty)
        return
    every = {**columns, **(wide or {})}
    found = sorted_by(found, every, sort)
    shown = found[:limit]
    match output:
        case Output.JSON:
            print_json(document(shown))
        case Output.YAML:
            import yaml  # noqa: PLC0415 - only where it is asked for

            yaml.safe_dump(document(shown), sys.stdout, allow_unicode=True, sort_keys=False)
        case Output.CSV:
            _print_csv(shown, every)
        case Output.TABLE | Output.WIDE:
            cells = every if output is Output.WIDE else columns
            print_table([*cells], [[cell(each) for cell in cells.values()] for each in shown])
            if len(shown) < len(found):
                print_more(len(shown), f" of {len(found)}")


def print_more(shown: int, of: str = "") -> None:
    """Say that a list was cut."""
    print_note(f"the first {shown}{of}; see more by another --limit")


def _print_csv(found: Sequence[Json], columns: Mapping[str, Callable[[Json], object]]) -> None:
    import csv  # noqa: PLC0415 - only where it is asked for

    writer = csv.writer(sys.stdout)
    writer.writerow(name.replace(" ", "_") for name in columns)
    before = for_scripts.set(True)
    try:
        writer.writerows([_plain(cell(each)) for cell in columns.values()] for each in found)
    finally:
        for_scripts.reset(before)


def sorted_by(
    found: Sequence[Json], columns: Mapping[str, Callable[[Json], object]], sort: str | None
) -> Sequence[Json]:
    """The list by a column, where one is asked for. Raises `typer.BadParameter`."""
    if not sort:
        return found
    name = sort.removeprefix("-").replace("_", " ")
    if name not in columns:
        raise typer.BadParameter(f"there is no column {name!r}; there are: {', '.join(columns)}")

    def value(each: Json) -> tuple[int, float, str]:
        raw = each.get(name.replace(" ", "_"))
        if not isinstance(raw, int | float | str):
            raw = columns[name](each)
        return (0, float(raw), "") if isinstance(raw, int | float) else (1, 0.0, str(raw or "").casefold())

    return sorted(found, key=value, reverse=sort.startswith("-"))


def _plain(cell: object) -> object:
    """A cell for CSV; text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(cell, str) and re.match(r"[=@\t\r]|[+-](?![0-9 .()-]*$)", cell):
        return f"'{cell}"
    return "" if cell is None else cell


def field(name: str) -> Callable[[Json], object]:
    """A cell that is a field as it stands."""
    return lambda each: each[name]


def time_of(name: str) -> Callable[[Json], object]:
    """A cell that is a moment."""
    return lambda each: ago(each[name])


def watched(show: Callable[[], None], *, is_on: bool) -> None:
    """Show something once, or again and again until Ctrl-C."""
    if not is_on:
        show()
        return
    try:
        while True:
            if out.is_terminal:
                out.clear()
            show()
            sys.stdout.flush()
            time.sleep(_WATCH_EVERY)
    except KeyboardInterrupt:
        return
