"""`driverlink plan` and `driverlink apply`: what a reconciliation or an opt-in would do, and doing exactly that.

`driverlink undo` does both for what undoes decisions.

A plan is printed with a bar while it is made, then tables by target and action, and its hash at the end.
"""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID

from domain.identity import Target
from services.api.explanation_text import field_names
from services.cli.client import (
    AccountArgument,
    CommandRefused,
    DataOption,
    Json,
    JsonOption,
    NoteOption,
    OneDriverOption,
    PersonOption,
    Services,
    ask,
    is_confirmed,
)
from services.cli.listing import FOUND, ExitCodeOption
from services.cli.moments import moment_of
from services.cli.printing import err, out, print_json, print_note, print_table, progress_bar

TargetOption = Annotated[Target | None, typer.Option(help="Only this target; by default all synchronised targets.")]


def _hash(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", text):
        raise typer.BadParameter(f"the hash of a plan is 16 digits and letters, as `plan` prints it; not {text!r}")
    return text


HashOption = Annotated[
    str, typer.Option("--plan", metavar="HASH", parser=_hash, help="The hash of the plan, as `plan` prints it.")
]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the reconciliation has ended.")]


def plan(
    account: AccountArgument,
    *,
    target: TargetOption = None,
    driver: OneDriverOption = None,
    exit_code: ExitCodeOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a reconciliation would do, without doing it.

    Where sync is off, it shows what turning it on would do. The roster of each target is read, and every decision is
    made but neither stored nor sent. The hash at the end identifies exactly this plan, for `driverlink apply`; the plan
    of one driver has none, because it cannot be applied.

    Examples:
        driverlink plan acme
        driverlink plan acme --target motive --driver 200006
        driverlink plan acme --exit-code > plan.txt
    """
    query = {"target": target, "driver": driver}
    if as_json:
        summary = ask(data, lambda services: gather_plan(services, account, query))
        print_json(summary)
    else:
        summary = ask(data, lambda services: print_plan(services, account, query, PlanPrinter()))
    if exit_code and any(count for actions in summary["counts"].values() for count in actions.values()):
        raise typer.Exit(FOUND)


def apply(
    account: AccountArgument,
    digest: HashOption,
    person: PersonOption = None,
    note: NoteOption = "",
    *,
    target: TargetOption = None,
    wait: WaitOption = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Apply a plan exactly as shown, or refuse.

    The plan is made again, once now and once after the full scan that the reconciliation begins with; if it differs,
    nothing is done. The hash is that of a whole plan: of all targets, or of the one named by --target. Where sync is
    off this turns it on, which only the account's Master User can do.

    Examples:
        driverlink apply acme --plan 3f2a9c1e5b7d8046 --as maria
    """
    body: dict[str, Any] = {"by": person, "note": note, "plan": digest, "target": target}
    applied = ask(data, lambda services: apply_plan(services, account, body, waits=wait))
    (print_json if as_json else print_applied)(applied)


def undo(
    account: AccountArgument,
    digest: Annotated[
        str | None,
        typer.Option("--plan", metavar="HASH", parser=_hash, help="Undo exactly what the plan of this hash shows."),
    ] = None,
    person: PersonOption = None,
    note: NoteOption = "",
    *,
    decision: Annotated[
        str | None,
        typer.Option(metavar="ID", help="One decision: TARGET/DRIVER/VERSION, or the id of its event."),
    ] = None,
    reconciliation: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="What a reconciliation decided; name its --target.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Everything decided since then: 1h is an hour ago, else a date or time."),
    ] = None,
    target: TargetOption = None,
    driver: OneDriverOption = None,
    wait: WaitOption = True,
    exit_code: ExitCodeOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what undoing decisions would do; with --plan, undo exactly that, or refuse.

    Each driver gets back what it had on the target before, and is then set aside as `undone`: nothing brings the undone
    values back until the Portal changes the driver, or `issues retry` releases it. A driver is left out, with the
    reason, where the world has moved on: it was decided again, changed in the Portal or on the target, or an identifier
    went to somebody else.

    Examples:
        driverlink undo acme --reconciliation 12 --target motive
        driverlink undo acme --decision driveri/200006/7
        driverlink undo acme --since 2026-03-02T08:00Z --driver 200006
        driverlink undo acme --reconciliation 12 --target motive --plan 3f2a9c1e5b7d8046 --as maria
    """
    stated = [each for each in (decision, reconciliation, since) if each is not None]
    if len(stated) != 1:
        raise typer.BadParameter("say what to undo by exactly one of --decision, --reconciliation and --since")
    wanted = {
        "decision": decision,
        "reconciliation": reconciliation,
        "since": moment_of(since),
        "target": target,
        "driver": driver,
    }
    path = f"/accounts/{account}/plan/undo"
    if digest is not None:
        body = {"by": person, "note": note, "plan": digest, **wanted}
        applied = ask(data, lambda services: apply_plan(services, account, body, waits=wait, path=path))
        (print_json if as_json else print_applied)(applied)
        return
    query = {name: None if value is None else str(value) for name, value in wanted.items()}
    if as_json:
        summary = ask(data, lambda services: gather_plan(services, account, query, path))
        print_json(summary)
    else:
        summary = ask(data, lambda services: print_plan(services, account, query, PlanPrinter(), path))
    if exit_code and any(count for actions in summary["counts"].values() for count in actions.values()):
        raise typer.Exit(FOUND)


Query = Mapping[str, str | None]


class Bar:
    """The progress of something long, on standard error if that is a terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    def show(self, doing: str, done: int, total: int) -> None:
        """Show the progress; a total of 0 is unknown."""
        if self._progress is None:
            self._progress = progress_bar(is_quiet=not err.is_terminal)
            self._progress.start()
            self._bar = self._progress.add_task("", note="")
        if self._bar is not None:
            note = f"{done} of {total}" if total else f"{done}"
            self._progress.update(self._bar, description=doing, completed=done, total=total or None, note=note)

    def end(self) -> None:
        """Stop, so that others can print."""
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
            columns = ("driver", "name", "key", "desired key", "fields", "reason")
            rows = [
                (
                    *(step[column] for column in ("driver", "name", "key", "desired_key")),
                    ", ".join(step["fields"]),
                    step["reason"],
                )
                for step in steps[:room]
            ]
            print_table(columns, rows, title=title)
            out.print()
        self._shown[group] += len(steps)

    def end(self, summary: Json) -> None:
        """Print the summary."""
        hidden = sum(many - self._most for many in self._shown.values() if many > self._most) if self._most else 0
        if hidden:
            print_note(f"and {hidden} more: driverlink plan {summary['account']}")
        for line in _sentences(summary):
            out.print(line, markup=False)
        for target, fields in summary["unsaid"].items():
            print_note(
                f"warning: no driver from the Portal has these fields: {field_names(fields)}. {target} matches by "
                "them, so drivers that exist there already may be created again; import an export with these columns "
                "first"
            )


def print_plan(services: Services, account: str, query: Query, printer: PlanPrinter, path: str = "") -> Json:
    """Print a plan as it is made; its summary. Raises `CommandRefused`."""
    summary: Json = {}
    for line in followed(services, "GET", account, query=query, path=path):
        if "steps" in line:
            printer.take(line["steps"])
        summary = line.get("plan", summary)
    printer.end(summary)
    return summary


def gather_plan(services: Services, account: str, query: Query, path: str = "") -> Json:
    """A plan with all its steps, for scripts. Raises `CommandRefused`."""
    summary: Json = {}
    steps: list[Json] = []
    for line in followed(services, "GET", account, query=query, path=path):
        steps += line.get("steps", [])
        summary = line.get("plan", summary)
    return {**summary, "steps": steps}


def followed(
    services: Services,
    method: str,
    account: str,
    *,
    body: Mapping[str, Any] | None = None,
    query: Query | None = None,
    path: str = "",
) -> Iterator[Json]:
    """The lines of a dry run, apart from its progress: a bar shows that. Raises `CommandRefused`."""
    path = path or f"/accounts/{account}/plan"
    with bar() as shown, closing(services.lines(method, path, body, **(query or {}))) as lines:
        for line in lines:
            progress = line.get("progress")
            if progress:
                shown.show(f"{progress['doing']} {progress['target']}", progress["done"], progress["total"])
            else:
                shown.end()
                yield line


def _sentences(summary: Json) -> Iterator[str]:
    """The end of a plan for people."""
    for target, counts in summary["counts"].items():
        summed = ", ".join(f"{many} {action}" for action, many in counts.items()) or "nothing to do"
        mode = summary["modes"][target]
        yield f"{target}: {summed}" + (" (mode observe: nothing would be sent)" if mode == "observe" else "")
    for target in summary["left_out"]:
        yield f"{target}: left out, its mode is off"
    if summary["digest"]:
        yield f"plan {summary['digest']}"
    else:
        yield "a plan of one driver cannot be applied"


_MOST_SHOWN = 20
"""Drivers shown for each target and action before the question."""

_LOOK_EVERY = 0.5
"""Seconds between two looks at a reconciliation."""

_DOING = {
    "waiting": "reading the roster",
    "reading": "reading the roster",
    "comparing": "comparing with the plan",
    "deciding": "deciding",
}


def print_applied(applied: Json) -> None:
    """Print what was requested and, after waiting, what the reconciliations found."""
    out.print(f"requested by this plan: {applied['account']} on {', '.join(applied['requested'])}", markup=False)
    rows = [
        (target, what.replace("_", " "), many)
        for target, found in applied["found"].items()
        for what, many in found.items()
    ]
    if applied["found"]:
        print_table(("target", "found", "drivers"), rows)


def apply_plan(services: Services, account: str, body: Mapping[str, Any], *, waits: bool, path: str = "") -> Json:
    """Request what a plan says; with `waits`, wait for its end. Raises `CommandRefused`.

    Answers `account`, `requested` (by target, the version of the request) and `found` (by target, what was found).
    """
    requested: dict[str, int] = {}
    for line in followed(services, "POST", account, body=body, path=path):
        requested = line.get("requested", requested)
    found: dict[str, Mapping[str, int]] = {}
    progress_path = f"/accounts/{account}/reconciliations/progress"
    with bar() as shown:
        for target, request in requested.items() if waits else ():
            while True:
                progress = services.get(progress_path, target=target, request=request, by_plan="true")
                if progress["stage"] not in _DOING:
                    break
                shown.show(f"{_DOING[progress['stage']]} {target}", progress["done"], progress["of"])
                time.sleep(_LOOK_EVERY)
            report = progress["report"]
            if report is None or report["request"] != request or report["is_refused"]:
                raise CommandRefused(refusal(account, target, request, progress))
            found[target] = report["found"]
    return {"account": account, "requested": requested, "found": found}


def opt_in(services: Services, account: str, person: str | None, note: str) -> Json:
    """Show what turning sync on would do, ask, and apply it. Raises `CommandRefused`; `typer.Exit` after a no."""
    summary = print_plan(services, account, {"by": person}, PlanPrinter(_MOST_SHOWN))
    if not is_confirmed(f"Turn Sync Drivers on for {account}, and apply exactly this plan?"):
        print_note("Sync Drivers stays off")
        raise typer.Exit(1)
    return apply_plan(services, account, {"by": person, "note": note, "plan": summary["digest"]}, waits=True)


def refusal(account: str, target: str, request: int, progress: Json) -> str:
    """Why a plan was not applied on a target, and what to do."""
    where, report = f"{account} on {target}", progress["report"]
    if progress["stage"] == "stopped":
        return (
            f"{where}: {progress['trouble']} The reconciliation is still requested by this plan, see "
            f"`driverlink issues list {account}`"
        )
    if report is None or report["request"] != request:
        return f"{where}: another request came in between, so the plan is void; look again: `driverlink plan {account}`"
    if not report["plan"]:
        return f"{where}: sync or its mode was turned off meanwhile, so the plan is void"
    return (
        f"{where}: the plan has changed ({report['would_be'] or 'unknown'} instead of {report['plan']}), "
        f"so nothing was done there; look at it again: `driverlink plan {account}`"
    )
