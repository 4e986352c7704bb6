"""`driverlink reconcile` and `driverlink reconciliations`: start and wait for them, print their reports."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress, TaskID

from services.api.explanation_text import field_name, listed, named
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
    TargetOption,
    ask,
    reached,
)
from services.cli.listing import (
    Form,
    Output,
    listing,
    watched,
)
from services.cli.printing import moment, out, print_json, print_note, print_table, progress_bar
from services.cli.status import link_pages

_INTERRUPTED = 130


def reconcile(
    account: AccountArgument,
    person: PersonOption = None,
    note: NoteOption = "",
    *,
    target: TargetOption = None,
    driver: OneDriverOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the report, or only request it.")] = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reconcile the targets with the Portal now.

    A reconciliation scans a target's whole roster and decides about every driver again: it reverts changes that were
    made on the target, creates missing drivers, and sends deletes through the guard. It also runs once a day on its
    own. Targets whose mode is off are skipped.

    The services do the work, so it goes on after Ctrl-C; `driverlink reconciliations` shows later what it found. With
    --driver only that driver is looked up, by two or three calls instead of a full scan.

    Exit status 0: the reconciliations are done or, with --no-wait, requested; 1: one of them is not possible now.

    Examples:
        driverlink reconcile acme --as maria
        driverlink reconcile acme --as maria --target motive --driver 200006
    """
    body = {"by": person, "note": note, "target": target, "driver": driver}
    try:
        result = ask(data, lambda services: _reconcile(services, account, body, waits=wait, is_quiet=as_json))
    except KeyboardInterrupt:
        print_note(f"the reconciliation goes on; see later what it found: `driverlink reconciliations {account}`")
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        print_json(result)
    else:
        _print_result(result)
    if result["stopped"]:
        raise CommandRefused(" ".join(result["stopped"].values()))


def _reconcile(services: Services, account: str, body: Json, *, waits: bool, is_quiet: bool) -> Json:
    """What was requested and, after waiting, its results."""
    asked = services.command(f"/accounts/{account}/reconciliations", body)
    ended = (
        wait_for_reconciliations(services, account, asked["requests"], driver=asked["driver"], is_quiet=is_quiet)
        if waits
        else []
    )
    return {
        **asked,
        "is_awaited": waits,
        "reconciliations": [each["report"] for each in ended if each.get("report")],
        "drivers": [each["driver"] for each in ended if each.get("driver")],
        "stopped": {each["target"]: each["trouble"] for each in ended if each["trouble"]},
    }


def _print_result(result: Json) -> None:
    for name, sentence in result["left_out"].items():
        print_note(f"not on {name}: {sentence}")
    if not result["is_awaited"]:
        targets = " and ".join(each["target"] for each in result["requests"])
        drivers = f"driver {result['driver']}" if result["driver"] else "all drivers"
        out.print(f"requested a reconciliation of {drivers} of {result['account']} on {targets}", markup=False)
    if result["reconciliations"]:
        _print_reports(result["reconciliations"])
        for line in filter(None, map(overridden, result["reconciliations"])):
            out.print(line, markup=False)
    if result["drivers"]:
        print_table(DRIVER_COLUMNS, map(driver_row, result["drivers"]))


@listing
def reconciliations(
    account: AccountArgument,
    *,
    target: TargetOption = None,
    last: Annotated[
        int, typer.Option(min=1, max=1000, help="How many reconciliations to list for each target, the newest first.")
    ] = 10,
    details: Annotated[
        bool,
        typer.Option(
            "--details", help="List unmanaged drivers, and drivers that the last reconciliation did not find in sync."
        ),
    ] = False,
    data: DataOption = None,
    form: Form,
) -> None:
    """List past reconciliations and what they found.

    One line for each, with the number of drivers for each finding. --details, and --json always, also list the drivers
    that the last reconciliation of each target decided about or that are not in sync now, and unmanaged drivers.

    Examples:
        driverlink reconciliations acme
        driverlink reconciliations acme --target motive --last 1 --details
        driverlink reconciliations acme --sort -drifted -o csv
    """
    query = {"target": target, "last": last}

    def show() -> None:
        services = reached(data)
        reports = _reports(services, account, query)
        if form.output is Output.TABLE and not reports:
            print_note(
                f"no reconciliation of {account} has finished yet; start one: "
                f"`driverlink reconcile {account} --as PERSON`"
            )
            return
        whole = partial(_to_document, services, account)
        form.print(reports, _REPORT_CELLS, document=whole)
        if form.output in (Output.TABLE, Output.WIDE):
            _print_two_writers(reports)
            if details:
                _print_details(services, account, reports)

    watched(show, is_on=form.watch)


def _to_document(services: Services, account: str, reports: Sequence[Json]) -> Json:
    drivers = [each for name in _targets(reports) for page in _pages(services, account, name) for each in page]
    unmanaged = [each for name in _targets(reports) for each in _unmanaged(services, account, name)]
    return {"reconciliations": reports, "drivers": drivers, "unmanaged": unmanaged}


def _print_details(services: Services, account: str, reports: Sequence[Json]) -> None:
    for name in _targets(reports):
        for page in _pages(services, account, name):
            print_table(DRIVER_COLUMNS, map(driver_row, page))
        unmanaged = _unmanaged(services, account, name)
        print_table(("target", "unmanaged"), [(each["target"], each["key"]) for each in unmanaged])


def _reports(services: Services, account: str, query: Mapping[str, Any]) -> list[Json]:
    return list(services.get(f"/accounts/{account}/reconciliations", **query))


def _pages(services: Services, account: str, target: str) -> Iterator[list[Json]]:
    """The drivers that the last reconciliation of a target did not find in sync, page by page."""
    after: str | None = ""
    while after is not None:
        page = services.get(f"/accounts/{account}/reconciliations/drivers", target=target, after=after)
        if page["drivers"]:
            yield page["drivers"]
        after = page["next"]


def _unmanaged(services: Services, account: str, target: str) -> list[Json]:
    pages = link_pages(services, account, "unmanaged", target)
    return [{"target": each["target"], "key": each["key"]} for page in pages for each in page]


def _targets(reports: Sequence[Json]) -> list[str]:
    return sorted({report["target"] for report in reports})


def _print_reports(reports: Sequence[Json]) -> None:
    """Print the reports, and what `_print_two_writers` does."""
    print_table(COLUMNS, map(report_row, reports))
    _print_two_writers(reports)


def _print_two_writers(reports: Sequence[Json]) -> None:
    """Print of the newest report of each target whether there are two writers."""
    newest = {report["target"]: report for report in sorted(reports, key=lambda report: report["number"])}
    for line in filter(None, (two_writers(newest[name]) for name in sorted(newest))):
        out.print(line, markup=False)


_LOOK_EVERY: Final = 0.3
"""Seconds between looks at the progress of reconciliations."""

_OVER = ("done", "stopped")
_WORDS: Mapping[str, str] = {
    "waiting": "waiting",
    "reading": "reading",
    "comparing": "comparing with its plan",
    "deciding": "deciding",
    "done": "done",
    "stopped": "cannot go on",
}


def wait_for_reconciliations(
    services: Services, account: str, requests: Sequence[Json], *, driver: str | None = None, is_quiet: bool
) -> list[Json]:
    """The results of these requests (target, request), in their order, once each is done or cannot go on.

    Raises `CommandRefused`.
    """
    path = f"/accounts/{account}/reconciliations/progress"
    with progress_bar(is_quiet=is_quiet) as progress:
        bars = [progress.add_task(_described(each["target"], "waiting"), total=None, note="") for each in requests]
        while True:
            found = [
                services.get(path, target=each["target"], request=each["request"], driver=driver) for each in requests
            ]
            for bar, each in zip(bars, found, strict=True):
                _show(progress, bar, each)
            if all(each["stage"] in _OVER for each in found):
                return found
            time.sleep(_LOOK_EVERY)


def _show(progress: Progress, bar: TaskID, found: Json) -> None:
    is_over = found["stage"] in _OVER
    note = ""
    if found["done"]:
        about = "about " if found["stage"] == "reading" else ""
        note = f"{found['done']} of {about}{found['of']}" if found["of"] else f"{found['done']}"
    progress.update(
        bar,
        description=_described(found["target"], found["stage"]),
        total=1 if is_over else found["of"] or None,
        completed=1 if is_over else found["done"],
        note=note,
    )


def _described(target: str, stage: str) -> str:
    return f"{target}: {_WORDS[stage]}"


COLUMNS = (
    "when",
    "target",
    "reconciliation",
    "requested by",
    "read",
    "in sync",
    "drifted",
    "missing",
    "unmanaged",
    "conflict",
    "held",
    "other",
    "at odds",
)
DRIVER_COLUMNS = ("target", "driver", "key", "finding", "drifted", "at odds", "reason")

_COUNTED = ("in_sync", "drifted", "missing", "unmanaged", "conflict", "held")
"""The findings that have a column of their own."""

Answer = Mapping[str, Any]


def report_row(report: Answer) -> tuple[object, ...]:
    """A report as a line of its table."""
    start = (
        moment(report["at"]),
        report["target"],
        report["number"],
        report["by"] or "-",
    )
    if report["is_refused"]:
        return (*start, *[""] * (len(_COUNTED) + 1), "refused: another plan", "")
    found = report["found"]
    others = {name: count for name, count in found.items() if name not in _COUNTED}
    counts = [found.get(name, 0) for name in _COUNTED]
    return (*start, report["drivers"], *counts, _counts(others) or 0, _counts(report["at_odds"]) or 0)


def _report_cell(at: int) -> Callable[[Json], object]:
    """A cell of that line."""
    return lambda report: report_row(report)[at]


_REPORT_CELLS: Mapping[str, Callable[[Json], object]] = {name: _report_cell(at) for at, name in enumerate(COLUMNS)}


def driver_row(found: Answer) -> tuple[object, ...]:
    """A driver that a reconciliation did not find in sync, as a line of its table."""
    fields = (", ".join(map(field_name, found[name])) for name in ("drifted", "at_odds"))
    return (
        found["target"],
        found["driver"],
        found["key"],
        found["finding"].replace("_", " "),
        *fields,
        found["reason"],
    )


def overridden(report: Answer) -> str:
    """How many drivers had drifted, by field; empty if none had."""
    if not report["drifted"]:
        return ""
    name, fields = named(report["target"]), _drivers(report["drifted"])
    return f"Overwritten in {name}, because it had been changed there: {fields}."


def two_writers(report: Answer) -> str:
    """What to know and do where another writer changes the same fields again and again; empty otherwise."""
    if not report["at_odds"]:
        return ""
    name, account, fields = named(report["target"]), report["account"], _drivers(report["at_odds"])
    return (
        f"Two writers at odds in {name}: another writer changed {fields} since the last reconciliation. "
        f"Find it, and have these fields changed in the Portal only. The drivers: "
        f"`driverlink reconciliations {account} --details`"
    )


def _drivers(fields: Mapping[str, int]) -> str:
    return listed(
        f"the {field_name(field)} of {count} {'driver' if count == 1 else 'drivers'}"
        for field, count in sorted(fields.items())
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(counts.items()))
