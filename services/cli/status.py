"""`driverlink status`, `events` and `explain`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.identity import Target
from services.cli.client import AccountArgument, CommandRefused, DataOption, Json, JsonOption, Services, account_id, ask
from services.cli.printing import moment, out, print_json, print_json_pages, print_note, print_table

_PAGE = 500
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
    as_json: JsonOption = False,
) -> None:
    """Show the state of accounts and their targets.

    Counts the drivers that are in sync, pending, parked, held or unmanaged. Name an account and a --state to list them.

    Examples:
        driverlink status
        driverlink status acme --state parked --target motive
    """
    if target is not None and state is None:
        raise typer.BadParameter("--target needs --state")
    if state is not None:
        if account is None:
            raise typer.BadParameter("--state needs an account")
        _list_state(account, state, target, data, as_json=as_json)
        return
    found, notes = ask(data, lambda services: _fetch_status(services, account))
    if as_json:
        print_json(found)
        return
    columns = ("account", "sync", "drivers", "target", "mode", "in sync", "pending", "parked", "held", "kept")
    rows = [_status_row(each, target) for each in found for target in each["targets"]]
    print_table((*columns, "undecided", "unmanaged", "note"), rows)
    for line in filter(None, map(_queued, found)):
        print_note(line)
    _print_reconciliations([(each["account"], target) for each in found for target in each["targets"]])
    _print_portal([(each["account"], each["portal"]) for each in found if each["portal"]])
    if not found:
        print_note("nothing to show yet: accounts appear here once one was added and the services run")
    for note in notes:
        print_note(note)


def _fetch_status(services: Services, account: str | None) -> tuple[list[Json], list[str]]:
    """The state of the accounts, and a line for dead letters and for each service that does not run."""
    found = services.get("/status", account=account)
    letters = (services.get("/dead-letters/count"))["letters"]
    dead = f"{letters} dead {'letter' if letters == 1 else 'letters'}: see `driverlink dead-letters list`"
    return found, [*([dead] if letters else []), *(services.get("/services"))["down"]]


def link_pages(services: Services, account: str, state: str, target: str | None) -> Iterator[list[Json]]:
    """The drivers of an account that are in a state on a target, or on any, page by page."""
    after = ""
    while page := services.get(f"/accounts/{account}/links", state=state, target=target, after=after):
        yield page
        after = f"{page[-1]['target']}/{page[-1]['driver'] or page[-1]['key']}"


def _list_state(account: str, state: State, target: Target | None, data: DataOption, *, as_json: bool) -> None:
    def show(services: Services) -> None:
        pages, is_any = link_pages(services, account, state, target), False
        if as_json:
            print_json_pages(pages)
            return
        for page in pages:
            is_any = True
            columns = ("target", "driver", "key", "state", "reason", "detail")
            print_table(columns, [[each[column] for column in columns] for each in page])
        if not is_any:
            print_note(f"no driver of {account} is {state}" + (f" on {target}" if target else ""))

    ask(data, show)


def _status_row(account: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[object, ...]:
    counts = (target[name] for name in ("held", "kept", "undecided", "unmanaged"))
    parked = ", ".join(f"{count} {reason}" for reason, count in sorted(target["parked"].items()))
    sync = "on" if account["is_on"] else "off"
    start = (account["account"], sync, account["drivers"], target["target"], target["mode"])
    if target["outage"]:
        note = f"no calls are made: {target['outage']}"
    elif target["failure"]:
        note = f"its roster cannot be read: {target['failure']}"
    elif account["is_on"] and target["mode"] != "off" and not target["is_scanned"]:
        note = "its roster is not read yet"
    else:
        note = "a reconciliation is under way" if target["is_reconciling"] else ""
    return (*start, target["in_sync"], target["pending"], parked or 0, *counts, note)


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
        (account, target["target"], moment(target["reconciled_at"]) or "never", moment(target["reconciliation_due_at"]))
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
            moment(portal["read_at"]) or "never",
            portal["drivers"],
            portal["refused"],
            f"since {moment(portal['failing_since'])}: {portal['failure']}" if portal["failure"] else "",
        )
        for account, portal in portals
    ]
    if rows:
        print_table(("account", "Portal read", "lines", "refused", "note"), rows)


def events(
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
        typer.Option(help=f"accounts, changes, decisions, {', '.join(f'outcomes-{each}' for each in Target)}."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="From this date or time on (ISO 8601, UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this date or time; with -f it ends then.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until Ctrl-C.")] = False,
    data: DataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one event a line, as JSON.")] = False,
) -> None:
    """Print the log: changes, decisions, outcomes and what people asked for.

    The oldest event comes first. Options narrow it down, and can be combined.

    Examples:
        driverlink events --account acme --type DeleteHeld
        driverlink events --driver 200006 --follow
    """
    query: Json = {
        "account": account,
        "driver": driver,
        "driver_id": driver_id,
        "target": target,
        "type": event_type,
        "log": log,
        "since": since,
        "until": until,
        "limit": _PAGE,
    }
    is_any = False
    for event in _events(data, query, is_following=follow):
        is_any = True
        if as_json:
            print_json(event)
            continue
        where = " ".join(each for each in (event["account"], event["target"], event["driver"]) if each)
        rationale = event["data"].get("rationale") or {}
        why = " ".join(str(rationale[name]) for name in ("situation", "trigger", "ref") if rationale.get(name))
        line = f"{moment(event['at'])}  {event['type']:16} {where}  {event['unreadable'] or why}"
        out.print(line.rstrip(), markup=False)
    if not is_any and driver_id is not None:
        raise CommandRefused(f"no matching event mentions the Driveri DriverID {driver_id}")
    if not is_any:
        is_filtered = any((account, driver, target, event_type, log, since, until))
        print_note("no event matches" if is_filtered else "nothing has happened yet")


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
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="The Portal's id, a RefID or a Driveri DriverID.")],
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Explain one driver: its state on each target, what was done, and why.

    Exit status 1: several drivers match; their ids are printed.

    Examples:
        driverlink explain acme 200006
        driverlink explain acme DRV-7001 --json
    """
    answer = ask(data, lambda services: services.get(f"/accounts/{account}/explanation", driver=driver))
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
