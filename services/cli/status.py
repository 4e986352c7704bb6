"""`driverlink status`, `events` and `explain`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.identity import Target
from services.cli.client import AccountArgument, CommandRefused, DataOption, JsonOption, Services, account_id, ask
from services.cli.printing import err, moment, out, print_json, print_note, print_table

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
        str | None, typer.Argument(help="Only this account; by default all.", show_default=False, callback=account_id)
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
        _list_state(account, state, target, data, as_json=as_json)
        return
    found, letters = ask(data, lambda services: _fetch_status(services, account))
    if as_json:
        print_json(found)
        return
    columns = ("account", "sync", "drivers", "target", "mode", "in sync", "pending", "parked", "held", "kept")
    rows = [_status_row(each, target) for each in found for target in each["targets"]]
    print_table((*columns, "undecided", "unmanaged", "note"), rows)
    _print_queues(found)
    _print_reconciliations([(each["account"], target) for each in found for target in each["targets"]])
    _print_portal([each for each in found if each["portal"]])
    if not found:
        err.print("nothing to show yet: accounts appear here once one was added and the services run")
    if letters:
        print_note(f"{letters} dead {'letter' if letters == 1 else 'letters'}: see `driverlink dead-letters list`")


def _print_reconciliations(places: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """When the targets were compared with the Portal last, and when they will be next, where they are at all."""
    reconciled = [
        (account, target["target"], moment(target["reconciled_at"]) or "never", moment(target["reconciliation_due_at"]))
        for account, target in places
        if target["reconciled_at"] or target["reconciliation_due_at"]
    ]
    if reconciled:
        print_table(("account", "target", "last reconciliation", "next reconciliation"), reconciled)


def _print_portal(accounts: Sequence[Mapping[str, Any]]) -> None:
    """How the Portal's API is read, where it is."""
    if accounts:
        rows = [(each["account"], *_portal_row(each["portal"])) for each in accounts]
        print_table(("account", "Portal read", "lines", "refused", "note"), rows)


def _portal_row(portal: Mapping[str, Any]) -> tuple[object, ...]:
    failing = f"since {moment(portal['failing_since'])}: {portal['failure']}" if portal["failure"] else ""
    return (moment(portal["read_at"]) or "never", portal["drivers"], portal["refused"], failing)


async def _fetch_status(services: Services, account: str | None) -> tuple[list[dict[str, Any]], int]:
    """The state of the accounts, and the number of dead letters."""
    found = await services.get("/status", account=account)
    return found, (await services.get("/dead-letters/count"))["letters"]


def _list_state(account: str | None, state: State, target: Target | None, data: DataOption, *, as_json: bool) -> None:
    if account is None:
        raise typer.BadParameter("--state needs an account")
    path = f"/accounts/{account}/links"
    found = ask(data, lambda services: services.get(path, state=state, target=target))
    if as_json:
        print_json(found)
        return
    if not found:
        print_note(f"no driver of {account} is {state}" + (f" on {target}" if target else ""))
        return
    columns = ("target", "driver", "key", "state", "reason", "detail")
    print_table(columns, [[each[column] for column in columns] for each in found])


def _status_row(account: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[object, ...]:
    counts = (target[name] for name in ("held", "kept", "undecided", "unmanaged"))
    parked = ", ".join(f"{count} {reason}" for reason, count in sorted(target["parked"].items()))
    sync = "on" if account["is_on"] else "off"
    start = (account["account"], sync, account["drivers"], target["target"], target["mode"])
    return (*start, target["in_sync"], target["pending"], parked or 0, *counts, _note(account, target))


def _print_queues(accounts: Sequence[Mapping[str, Any]]) -> None:
    for line in filter(None, map(_queued, accounts)):
        print_note(line)


def _queued(account: Mapping[str, Any]) -> str:
    """What waits between the services for an account; empty if nothing does."""
    targets = account["targets"]
    parts = [(account["waiting"], "undecided for the decider", "change")]
    parts += [(each["unsent"], f"for {each['target']}'s projector", "decision") for each in targets]
    parts += [(each["unheard"], f"of {each['target']} for the decider", "answer") for each in targets]
    waits = [
        f"{count} {what} waits {where}" if count == 1 else f"{count} {what}s wait {where}"
        for count, where, what in parts
        if count
    ]
    return f"{account['account']}: {', '.join(waits)}" if waits else ""


def _note(account: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    if target["outage"]:
        return f"no calls are made: {target['outage']}"
    if target["failure"]:
        return f"its roster cannot be read: {target['failure']}"
    if account["is_on"] and target["mode"] != "off" and not target["is_scanned"]:
        return "its roster is not read yet"
    return "a reconciliation is under way" if target["is_reconciling"] else ""


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
        str | None, typer.Option(help="accounts, changes, decisions, outcomes-driveri, outcomes-motive.")
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
    query: dict[str, Any] = {
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
        else:
            _print_event(event)
    if not is_any and driver_id is not None:
        raise CommandRefused(f"no matching event mentions the Driveri DriverID {driver_id}")
    if not is_any:
        print_note("no event matches" if _is_filtered(query) else "nothing has happened yet")


def _is_filtered(query: Mapping[str, Any]) -> bool:
    return any(query[name] for name in ("account", "driver", "target", "type", "log", "since", "until"))


def _events(data: Path | None, query: dict[str, Any], *, is_following: bool) -> Iterator[dict[str, Any]]:
    while True:
        page = _page(data, query, is_patient=is_following and "cursor" in query)
        yield from page["events"]
        query["cursor"] = page["cursor"]
        if page["is_end"]:
            if page["is_over"] or not is_following:
                return
            time.sleep(_FOLLOW_EVERY)


def _page(data: Path | None, query: dict[str, Any], *, is_patient: bool) -> dict[str, Any]:
    """The next page; while following, it waits for the services to start again."""
    while True:
        try:
            return dict(ask(data, lambda services: services.get("/events", **query)))
        except CommandRefused:
            if not is_patient:
                raise
            time.sleep(_FOLLOW_EVERY)


def _print_event(event: Mapping[str, Any]) -> None:
    where = " ".join(each for each in (event["account"], event["target"], event["driver"]) if each)
    rationale = event["data"].get("rationale") or {}
    why = " ".join(str(rationale[name]) for name in ("situation", "trigger", "ref") if rationale.get(name))
    out.print(f"{moment(event['at'])}  {event['type']:16} {where}  {event['unreadable'] or why}".rstrip(), markup=False)


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
        _print_candidates(answer["candidates"], driver)
    else:
        for line in answer["lines"]:
            out.print(line, markup=False)
    if "candidates" in answer:
        raise typer.Exit(1)


def _print_candidates(candidates: list[dict[str, Any]], driver: str) -> None:
    err.print(f"{driver} matches several drivers; repeat with one of their ids:", markup=False)
    columns = ("driver", "name", "ref_id", "driveri_driver_id")
    print_table(columns, [[each[column] for column in columns] for each in candidates])
