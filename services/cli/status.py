"""`driverlink status`, `events` and `explain`."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.identity import Target
from services.cli.client import (
    MOST_AT_ONCE,
    AccountArgument,
    CommandRefused,
    DataOption,
    Json,
    JsonOption,
    Services,
    account_id,
    account_pages,
    ask,
)
from services.cli.exports import export
from services.cli.listing import (
    FOUND,
    ExitCodeOption,
    LimitOption,
    Output,
    OutputOption,
    SortOption,
    UtcOption,
    WatchOption,
    ago,
    field,
    print_list,
    print_more,
    time_of,
    watched,
)
from services.cli.moments import AsOfOption, moment_of
from services.cli.printing import moment, out, print_json, print_json_pages, print_note, print_table

_PAGE = 500
_WHOLE_PAGE = 5000
"""Links in a page of the API that may have another one behind it."""

_FOLLOW_EVERY = 1.0
"""Seconds between looks for new events."""


class State(StrEnum):
    """The state of a driver on a target; an unmanaged driver is a target driver that no portal driver is linked to."""

    IN_SYNC = "in_sync"
    PENDING = "pending"
    PARKED = "parked"
    HELD = "held"
    KEPT = "kept"
    ENDED = "ended"
    UNMANAGED = "unmanaged"


def status(
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT", help="Only this account; by default all.", show_default=False, callback=account_id
        ),
    ] = None,
    data: DataOption = None,
    *,
    state: Annotated[
        State | None, typer.Option("--state", help="List the drivers of one account that are in this state.")
    ] = None,
    target: Annotated[Target | None, typer.Option(help="With --state: only on this target.")] = None,
    output: OutputOption = Output.TABLE,
    sort: SortOption = None,
    limit: LimitOption = None,
    watch: WatchOption = False,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    exit_code: ExitCodeOption = False,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the state of accounts and their targets.

    The account with the worst comes first. A line for each target of an account: how many drivers are in sync, how many
    are on their way, and what waits for a person. With `-o wide` it has every figure, and when the targets were
    compared with the Portal. Name an account and a --state to list its drivers, or a time to see how it stood then.

    Examples:
        driverlink status
        driverlink status acme --watch
        driverlink status acme --state parked --target motive
        driverlink status acme --as-of 2026-05-31T08:30
        driverlink status acme --state parked --as-of 2d
        driverlink status --exit-code -o csv
    """
    form = Output.JSON if as_json else output
    _check(account, state, target, as_of)
    is_bad, then = False, moment_of(as_of)
    if state is not None:
        _list_state(str(account), state, target, data, form, then)
        return

    def show() -> None:
        nonlocal is_bad
        # The worst come first: who wants but the first lines need not wait for the others.
        first = None if account or sort or exit_code or form is not Output.TABLE else limit or _MOST_ROWS
        found, total, notes = ask(data, lambda services: _fetch_status(services, account, first, then))
        is_bad = any(_trouble(row)[0] for row in _target_rows(found)) or any("not running" in note for note in notes)
        _print_status(found, notes, form, sort=sort, limit=limit, is_one=account is not None)
        if len(found) < total:
            print_more(len(found), f" of {total} accounts")

    watched(show, is_on=watch)
    if exit_code and is_bad:
        raise typer.Exit(FOUND)


def _check(account: str | None, state: State | None, target: Target | None, as_of: str | None) -> None:
    """Raise `typer.BadParameter` where options do not go together."""
    if target is not None and state is None:
        raise typer.BadParameter("--target needs --state")
    if account is None and (state is not None or as_of is not None):
        raise typer.BadParameter(f"{'--state' if state is not None else '--as-of'} needs an account")


_MOST_ROWS = 50
"""Lines of the table, where no limit is asked for."""


def _target_rows(found: Sequence[Json]) -> list[Json]:
    """A row for each target of each account: the account with the worst of them first, its targets by name."""

    def worst_first(account: Json) -> tuple[int, int, str]:
        waits, comes = max(map(_trouble, account["targets"]))
        return -waits, -comes, account["account"]

    return [
        {**target, "account": each["account"], "is_on": each["is_on"], "drivers": each["drivers"]}
        for each in sorted(found, key=worst_first)
        for target in sorted(each["targets"], key=lambda target: target["target"])
    ]


def _trouble(row: Json) -> tuple[int, int]:
    """How many drivers wait for a person there, most where nothing goes to it at all, and how many are on their way."""
    is_stopped = bool(row["outage"] or row["failure"])
    waits = sum(row["parked"].values()) + row["held"]
    return (2_000_000_000 if is_stopped else waits), row["pending"] + row["undecided"]


def _needs(row: Json) -> str:
    """What waits for a person."""
    parts = [f"{count} {reason}" for reason, count in sorted(row["parked"].items())]
    return ", ".join([*parts, *([f"{row['held']} held"] if row["held"] else [])])


def _note(row: Json) -> str:
    if row["outage"]:
        return "no calls"
    if row["failure"]:
        return "roster unread"
    if row["is_on"] and row["mode"] != "off" and not row["is_scanned"]:
        return "roster not read yet"
    return "reconciling" if row["is_reconciling"] else ""


_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    "account": field("account"),
    "sync": lambda row: "on" if row["is_on"] else "off",
    "target": field("target"),
    "mode": field("mode"),
    "in sync": lambda row: f"{row['in_sync']}/{row['drivers']}",
    "pending": lambda row: row["pending"] + row["undecided"],
    "needs a person": _needs,
    "note": _note,
}
_WIDE: Mapping[str, Callable[[Json], object]] = {
    "kept": field("kept"),
    "undecided": field("undecided"),
    "unmanaged": field("unmanaged"),
    "last reconciliation": lambda row: ago(row["reconciled_at"]) or "never",
    "next reconciliation": time_of("reconciliation_due_at"),
}


def _print_status(
    found: list[Json], notes: list[str], form: Output, *, sort: str | None, limit: int | None, is_one: bool
) -> None:
    if form in (Output.JSON, Output.YAML):
        print_list(found, {"account": field("account")}, output=form, sort=sort, limit=limit)
        return
    for note in notes:
        print_note(note)
    rows = _target_rows(found)
    most = limit or (_MOST_ROWS if form is Output.TABLE else None)
    if rows or form is Output.CSV:
        print_list(rows, _COLUMNS, output=form, sort=sort, limit=most, wide=_WIDE)
    if form is not Output.CSV:
        _print_more(found, rows[:most], is_one=is_one)


def _print_more(found: Sequence[Json], rows: Sequence[Json], *, is_one: bool) -> None:
    """What the lines of the table do not say."""
    if not found and not is_one:
        print_note("nothing to show yet: accounts appear here once one was added and the services run")
    for row in rows:
        if trouble := row["outage"] or row["failure"]:
            what = "no calls are made" if row["outage"] else "the roster cannot be read"
            print_note(f"{row['account']}, {row['target']}: {what}: {trouble}")
    for line in filter(None, map(_queued, found[:_MOST_ROWS])):
        print_note(line)
    if is_one:
        _print_reconciliations([(each["account"], target) for each in found for target in each["targets"]])
    _print_portal([(each["account"], each["portal"]) for each in found if _is_shown(each["portal"], is_one=is_one)])


def _is_shown(portal: Json | None, *, is_one: bool) -> bool:
    """Whether it is said how the Portal is read: of one account, and where it fails."""
    return bool(portal and (is_one or portal["failure"]))


def _fetch_status(
    services: Services, account: str | None, first: int | None, then: str | None
) -> tuple[list[Json], int, list[str]]:
    """The state of the accounts, of all or of the first ones; how many there are; and what to know besides.

    That is a line for dead letters and for each service that does not run; of the past, there is nothing besides.
    """
    if then:
        past = services.get("/status", account=account, as_of=then)
        return past, len(past), [] if past else [f"account {account} was not there yet"]
    if first is None or first > MOST_AT_ONCE:
        pages = [services.get("/status", account=account)] if account else account_pages(services, "/status")
        found = [each for page in pages for each in page]
        total = len(found)
    else:
        overview = services.get("/overview", limit=first)
        found, total = overview["accounts"], overview["total"]
    letters = (services.get("/dead-letters/count"))["letters"]
    dead = f"{letters} dead {'letter' if letters == 1 else 'letters'}: see `driverlink dead-letters list`"
    return found, total, [*([dead] if letters else []), *(services.get("/services"))["down"]]


def link_pages(
    services: Services, account: str, state: str, target: str | None, then: str | None = None
) -> Iterator[list[Json]]:
    """The drivers of an account that are in a state on a target, or on any, or were then, page by page."""
    after, path = "", f"/accounts/{account}/links"
    while page := services.get(path, state=state, target=target, after=after, as_of=then):
        yield page
        if len(page) < _WHOLE_PAGE:
            return
        after = f"{page[-1]['target']}/{page[-1]['driver'] or page[-1]['key']}"


_LINK_COLUMNS: Mapping[str, Callable[[Json], object]] = {
    name: field(name) for name in ("target", "driver", "key", "state", "reason", "detail")
}


def _list_state(
    account: str, state: State, target: Target | None, data: DataOption, form: Output, then: str | None
) -> None:
    def show(services: Services) -> None:
        pages, is_any = link_pages(services, account, state, target, then), False
        if form is Output.JSON:
            print_json_pages(pages)
            return
        if form in (Output.CSV, Output.YAML):
            print_list([each for page in pages for each in page], _LINK_COLUMNS, output=form)
            return
        for page in pages:
            is_any = True
            print_list(page, _LINK_COLUMNS)
        if not is_any:
            print_note(
                f"no driver of {account} {'was' if then else 'is'} {state}" + (f" on {target}" if target else "")
            )

    ask(data, show)


def _queued(account: Mapping[str, Any]) -> str:
    """What waits between the services for an account; empty if nothing does."""
    targets = account["targets"]
    parts = [(account["waiting"], "change", "", "the decider")]
    parts += [(each["unsent"], "decision", "", f"{each['target']}'s projector") for each in targets]
    parts += [(each["unheard"], "answer", f" of {each['target']}", "the decider") for each in targets]
    waits = [
        f"{count} {what}{whose} waits for {awaited}" if count == 1 else f"{count} {what}s{whose} wait for {awaited}"
        for count, what, whose, awaited in parts
        if count
    ]
    return f"{account['account']}: {', '.join(waits)}" if waits else ""


def _print_reconciliations(targets: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """When each target was last compared with the Portal, and when it will be next, where it is at all."""
    reconciled = [
        (account, target["target"], ago(target["reconciled_at"]) or "never", ago(target["reconciliation_due_at"]))
        for account, target in targets
        if target["reconciled_at"] or target["reconciliation_due_at"]
    ]
    if reconciled:
        print_table(("account", "target", "last reconciliation", "next reconciliation"), reconciled)


def _print_portal(portals: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """How the Portal's API is read, of each account where it is."""
    rows = [
        (
            account,
            ago(portal["read_at"]) or "never",
            portal["drivers"],
            portal["refused"],
            f"since {ago(portal['failing_since'])}: {portal['failure']}" if portal["failure"] else "",
        )
        for account, portal in portals
    ]
    if rows:
        print_table(("account", "Portal read", "lines", "refused", "note"), rows)


events = typer.Typer(invoke_without_command=True)
events.command()(export)


@events.callback()
def list_events(
    context: typer.Context,
    account: Annotated[str | None, typer.Option(help="Only this account's.", callback=account_id)] = None,
    driver: Annotated[str | None, typer.Option(help="Only those about the driver with this Portal id.")] = None,
    driver_id: Annotated[str | None, typer.Option(help="Only those about this Driveri DriverID.")] = None,
    target: Annotated[Target | None, typer.Option(help="Only those on this target.")] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option("--type", help="Such as CreateDecided or DriverLink.CreateDecided; repeat it for more."),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            help=f"accounts, changes, decisions, {', '.join(f'outcomes-{each}' for each in Target)}, webhooks."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="For this long (90s, 15m, 1h, 2d), or from this date or time on (ISO 8601).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this date or time; with -f it ends then.")] = None,
    *,
    reason: Annotated[str | None, typer.Option(help="Only with this reason, such as conflict or down.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only calls that ended so: confirmed, exists, missing, refused or deferred.")
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(help="Only what this started: change, scan, answer, reconciliation, retry, undo or approval."),
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="PERSON", help="Only what this person asked for.")] = None,
    correlation: Annotated[
        str | None,
        typer.Option(
            metavar="TRIGGER/REF",
            help="With --account and --driver: one trigger, such as change/3, and all that followed.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Print at most this many of the newest.")] = 200,
    utc: UtcOption = False,  # noqa: ARG001 - its callback has done the work
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one event a line, as JSON.")] = False,
) -> None:
    """Print the log: changes, decisions, outcomes and what people asked for; or export it.

    The newest event comes first. With --follow and with --json every event that matches is printed, the oldest first.
    Options narrow it down, and can be combined.

    Examples:
        driverlink events --since 1h
        driverlink events --account acme --type DeleteHeld
        driverlink events --driver 200006 --follow
        driverlink events --account acme --driver 200006 --correlation change/3
        driverlink events --outcome refused --since 1d
    """
    if context.invoked_subcommand:
        return
    query: Json = {
        "account": account,
        "driver": driver,
        "driver_id": driver_id,
        "target": target,
        "type": event_type,
        "log": log,
        "since": moment_of(since),
        "until": until,
        "reason": reason,
        "outcome": outcome,
        "trigger": trigger,
        "by": by,
        "correlation": correlation,
    }
    is_any = False
    if follow or as_json:
        found = _events(data, {**query, "limit": _PAGE}, is_following=follow)
    else:
        newest = {**query, "order": "newest", "limit": min(limit, _PAGE)}
        found = islice(_events(data, newest, is_following=False), limit)
    for event in found:
        is_any = True
        (print_json if as_json else _print_event)(event)
    if not is_any and driver_id is not None:
        raise CommandRefused(f"no matching event mentions the Driveri DriverID {driver_id}")
    if not is_any:
        is_filtered = any(query.values())
        print_note("no event matches" if is_filtered else "nothing has happened yet")


def _print_event(event: Json) -> None:
    where = " ".join(each for each in (event["account"], event["target"], event["driver"]) if each)
    rationale = event["data"].get("rationale") or {}
    why = " ".join(str(rationale[name]) for name in ("situation", "trigger", "ref") if rationale.get(name))
    line = f"{moment(event['at'])}  {event['type']:16} {where}  {event['unreadable'] or why}"
    out.print(line.rstrip(), markup=False)


def _events(data: Path | None, query: Json, *, is_following: bool) -> Iterator[Json]:
    """Every matching event; while following, it waits for the services to start again."""
    while True:
        try:
            page = ask(data, lambda services: services.get("/events", **query))
        except CommandRefused:
            if not is_following or "cursor" not in query:
                raise
        else:
            yield from page["events"]
            query["cursor"] = page["cursor"]
            if page["is_end"] and (page["is_over"] or not is_following):
                return
            if not page["is_end"]:
                continue
        time.sleep(_FOLLOW_EVERY)


def explain(
    account: AccountArgument,
    driver: Annotated[
        str, typer.Argument(metavar="DRIVER", help="A name, an e-mail, the Portal's id, a RefID or a DriverID.")
    ],
    data: DataOption = None,
    *,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain one driver: its state on each target, what was done, and why.

    The driver is found by an id first, then by how a word of its name, its e-mail or any id it ever had begins. Exit
    status 1: several drivers match; their names and ids are printed.

    Examples:
        driverlink explain acme 200006
        driverlink explain acme "jane doe"
        driverlink explain acme DRV-7001 --json
        driverlink explain acme 200006 --as-of 2d
    """
    then = moment_of(as_of)
    answer = ask(data, lambda services: services.get(f"/accounts/{account}/explanation", driver=driver, as_of=then))
    if as_json:
        print_json(answer.get("explanation", answer))
    elif "candidates" in answer:
        print_note(f"{driver} matches several drivers; repeat with one of their ids:")
        columns = ("driver", "name", "ref_id", "driveri_driver_id")
        print_table(columns, [[each[column] for column in columns] for each in answer["candidates"]])
    else:
        for line in answer["lines"]:
            out.print(line, markup=False)
    if "candidates" in answer:
        raise typer.Exit(1)
