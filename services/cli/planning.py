"""How a plan is told: a bar while it is made, then tables by target and action, and its hash at the end."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

from rich.progress import Progress, TaskID

from services.asking.telling.words import field_names
from services.cli.printing import err, out, print_note, print_table, progress_bar
from services.cli.reaching import Services

Json = dict[str, Any]
Query = Mapping[str, str | None]

_COLUMNS = ("driver", "key", "wished key", "fields", "reason")


class Bar:
    """How far something long is, on standard error, while somebody looks at it there."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    def show(self, doing: str, done: int, total: int) -> None:
        """So much of it is done; a total of 0 is not known."""
        if self._progress is None:
            self._progress = progress_bar(is_quiet=not err.is_terminal)
            self._progress.start()
            self._bar = self._progress.add_task("", note="")
        if self._bar is not None:
            note = f"{done} of {total}" if total else f"{done}"
            self._progress.update(self._bar, description=doing, completed=done, total=total or None, note=note)

    def end(self) -> None:
        """Leave the line to others."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = None


@contextmanager
def bar() -> Iterator[Bar]:
    """A bar that is ended, whatever happens."""
    shown = Bar()
    try:
        yield shown
    finally:
        shown.end()


class PlanPrinter:
    """Prints steps as they come; `most` is how many of each action and target are shown, all unless it is given."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._shown = Counter[tuple[str, str]]()

    def take(self, steps: list[Json]) -> None:
        """Print a page of steps, which are of one target and one action."""
        group = steps[0]["target"], steps[0]["action"]
        room = len(steps) if self._most is None else self._most - self._shown[group]
        if room > 0:
            title = "" if self._shown[group] else f"{group[0]}: {group[1]}"
            print_table(_COLUMNS, [_row(step) for step in steps[:room]], title=title)
            out.print()
        self._shown[group] += len(steps)

    def end(self, summary: Json) -> None:
        """Print what it comes to."""
        hidden = sum(many - self._most for many in self._shown.values() if many > self._most) if self._most else 0
        if hidden:
            print_note(f"and {hidden} more: driverlink plan {summary['account']}")
        for line in _sentences(summary):
            out.print(line, markup=False)
        for target, fields in summary["unsaid"].items():
            print_note(_warning(target, fields))


async def told_plan(services: Services, account: str, query: Query, printer: PlanPrinter) -> Json:
    """Print a plan as it is made; its summary. Raises `CommandRefused`."""
    summary: Json = {}
    async for line in followed(services, "GET", account, query=query):
        if "steps" in line:
            printer.take(line["steps"])
        summary = line.get("plan", summary)
    printer.end(summary)
    return summary


async def gathered(services: Services, account: str, query: Query) -> Json:
    """A plan with all its steps, for scripts. Raises `CommandRefused`."""
    summary: Json = {}
    steps: list[Json] = []
    async for line in followed(services, "GET", account, query=query):
        steps += line.get("steps", [])
        summary = line.get("plan", summary)
    return {**summary, "steps": steps}


async def followed(
    services: Services, method: str, account: str, *, body: Mapping[str, Any] | None = None, query: Query | None = None
) -> AsyncIterator[Json]:
    """What a rehearsal tells, apart from how far it is: that is shown by a bar. Raises `CommandRefused`."""
    path = f"/accounts/{account}/plan"
    with bar() as shown:
        async with aclosing(services.lines(method, path, body, **(query or {}))) as lines:
            async for line in lines:
                progress = line.get("progress")
                if progress:
                    shown.show(f"{progress['doing']} {progress['target']}", progress["done"], progress["total"])
                else:
                    shown.end()
                    yield line


def _warning(target: str, fields: list[str]) -> str:
    """What the Portal does not say though drivers are recognised by it: whoever has nothing else is made again."""
    return (
        f"warning: the Portal has said of no driver: {field_names(fields)}. Nobody is recognised by that "
        f"on {target}, so whoever is there already may be created again; import an export with these columns first"
    )


def _row(step: Json) -> tuple[str, ...]:
    return step["driver"], step["key"], step["wished_key"], ", ".join(step["fields"]), step["reason"]


def _sentences(summary: Json) -> Iterator[str]:
    """The end of a plan for people."""
    for target, counts in summary["counts"].items():
        told = ", ".join(f"{many} {action}" for action, many in counts.items()) or "nothing to do"
        mode = summary["modes"][target]
        yield f"{target}: {told}" + (" (mode observe: nothing would be sent)" if mode == "observe" else "")
    for target in summary["left_out"]:
        yield f"{target}: left out, its mode is off"
    if summary["digest"]:
        yield f"plan {summary['digest']}"
    else:
        yield "a plan of one driver cannot be applied"
