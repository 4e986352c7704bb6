"""How findings look, and what is seen meanwhile."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmarks.findings import Finding

out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)

Done = Callable[[int], None]
"""Is told how much is done by now."""

Telling = Callable[[str, int], Done]
"""Is told what begins, and how much there is to do."""


@contextmanager
def bars() -> Iterator[Telling]:
    """A bar for each long phase, on standard error."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err) as progress:

        def begin(what: str, total: int) -> Done:
            task = progress.add_task(what, total=total)
            return lambda done: progress.update(task, completed=done)

        yield begin


def print_findings(findings: Sequence[Finding]) -> None:
    """The table, and below it the figures behind it."""
    table = Table("what", "ours", "beside", "by", "budget", "met", header_style="bold")
    for each in findings:
        beside, by = ("", "") if each.beside is None else (_shown(each.beside), _shown(each.measured))
        budget = f"{each.budget.bound} {_shown(each.budget.limit)} {each.budget.unit}"
        met = "yes" if each.is_met else "[red]no" if each.is_judged else "[red]not judged"
        table.add_row(each.what, f"{_shown(each.ours)} {each.unit}", beside, by, budget, met)
    out.print(table)
    for group, figures in _groups(findings).items():
        out.print(f"\n{group}", style="bold")
        for name, figure in figures.items():
            out.print(f"  {_shown(figure):>10}  {name}", markup=False)


def print_minutes(minutes: Mapping[str, float]) -> None:
    """How long each part has taken, and all of them."""
    out.print(f"\n{sum(minutes.values()):.0f} minutes", style="bold")
    for what, each in minutes.items():
        out.print(f"  {each:>10.1f}  {what}", markup=False)


def write_json(path: Path, content: object) -> None:
    """The same for scripts, in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def print_profile(what: str, text: str) -> None:
    """Where the time went of what was looked at."""
    out.print(f"\n{what}", style="bold")
    out.print(text, markup=False, soft_wrap=True)


def _groups(findings: Sequence[Finding]) -> Mapping[str, Mapping[str, float]]:
    """The figures by what they explain: those of one measurement together."""
    groups: dict[str, dict[str, float]] = {}
    for each in findings:
        groups.setdefault(each.what.partition(":")[0], {}).update(each.behind)
    return {name: figures for name, figures in groups.items() if figures}


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.3g}"
