"""`/status`, `/progress` and `/accounts/{account}/links`: how accounts stand with their targets, and what waits."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from fastapi import APIRouter

from domain.account import Mode
from domain.identity import Key, Target
from domain.reconciliation import next_reconciliation
from domain.store import Store, Where
from services.accounts.handlers import AccountRow, account_of, to_account
from services.api.backlog import LeftToDo, Waiting, left_to_do, waiting
from services.api.installation import Installed, KnownAccount, logs_of
from services.api.naming import NamedTarget
from services.api.readiness import Readiness, readiness_of_all
from services.api.schema import Moment
from services.decider.read_models import (
    DesiredRow,
    LinkRow,
    ObservedRow,
    RunningReconciliation,
)
from services.decider.rosters import unmanaged_by_place, unmanaged_identifiers
from services.intake.read_models import ReadingRow
from services.runtime.context import utc_now

router = APIRouter(tags=["status"])

_PAGE = 500
_BY_STATE = ("account", "target", "state", "reason")
_MOST_NAMED = 1000
"""Accounts that one query names; where there are more, all are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """How an account stands with a target. The counts are of portal drivers, `unmanaged` of target drivers.

    `is_scanned`: the roster was read whole, at `scanned_at`, under the account's present policy generation. `failure`
    says why it cannot be read, since `failing_since`; empty if it can. `outage` says why no calls are made, since
    `stopped_since`; empty if they are. `is_reconciling`: a reconciliation goes through the drivers. The last one ended
    at `reconciled_at`, and the next daily one begins at `reconciliation_due_at`; None where there is none. `unsent` are
    decisions that the projector, and `unheard` outcomes that the decider has not consumed yet. `kept` are rejected
    deletes; `undecided` the drivers that the Portal wants and that are not decided yet.
    """

    target: str
    mode: str
    is_scanned: bool
    scanned_at: Moment | None
    failure: str
    failing_since: Moment | None
    outage: str
    stopped_since: Moment | None
    is_reconciling: bool
    reconciled_at: Moment | None
    reconciliation_due_at: Moment | None
    in_sync: int
    pending: int
    parked: Mapping[str, int]
    held: int
    kept: int
    ended: int
    undecided: int
    unmanaged: int
    unsent: int = 0
    unheard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalStatus:
    """When an account's list was read whole last, None if never, and why it cannot be read since then; empty if it can.

    `drivers` are the lines of that list, `refused` those of them that could not be taken over.
    """

    read_at: Moment | None
    drivers: int
    refused: int
    failure: str
    failing_since: Moment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """How an account stands: `drivers` counts those that the Portal wants in all.

    `waiting` are changes of the Portal that the decider has not consumed yet, of at most `waiting.MOST`. `portal` is
    None where the account is not read by the Portal's API.
    """

    account: str
    tier: str
    is_on: bool
    drivers: int
    targets: tuple[TargetStatus, ...]
    waiting: int = 0
    portal: PortalStatus | None = None


def status(decider: Store, accounts: Iterable[str] | None = None) -> list[AccountStatus]:
    """How these accounts stand, or all that are known, in the order of ids; unknown ones are left out.

    By a number of queries that no number of accounts changes. Raises `StoreFailed`.
    """
    where: Where = {} if accounts is None else {"account": sorted(set(accounts))}
    rows = decider.select(AccountRow, where, order_by="account")
    figures = _figures(decider, where)
    readiness = readiness_of_all(decider, map(to_account, rows), where)
    return [_account_status(row, readiness(row.account), figures) for row in rows]


def with_waiting(found: AccountStatus, waits: Waiting) -> AccountStatus:
    """How an account stands, with what waits for it between the services."""
    targets = tuple(
        replace(
            each,
            unsent=waits.decisions.get((found.account, each.target), 0),
            unheard=waits.outcomes.get((found.account, each.target), 0),
        )
        for each in found.targets
    )
    return replace(found, waiting=waits.changes.get(found.account, 0), targets=targets)


def unmanaged(decider: Store, account: str, target: Target) -> Iterator[Key]:
    """The active target drivers that no link has as its key, in the order of their identifiers."""
    found = sorted(unmanaged_identifiers(decider, account, target))
    for start in range(0, len(found), _PAGE):
        where: Where = {"account": account, "target": str(target), "identifier": found[start : start + _PAGE]}
        yield from (Key(row.key) for row in decider.select(ObservedRow, where, order_by="identifier"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What is counted of all accounts at once: by account, by account and target, and by state and reason too."""

    wanted: Mapping[str, int]
    states: Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
    undecided: Mapping[tuple[str, str], int]
    unmanaged: Mapping[tuple[str, str], int]
    reconciling: Collection[tuple[str, str]]


def _figures(decider: Store, where: Where) -> _Figures:
    states: defaultdict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    for (account, target, state, reason), links in decider.count(LinkRow, where, by=_BY_STATE).items():
        states[str(account), str(target)][str(state), str(reason)] = links
    desired_drivers: defaultdict[str, dict[bool, int]] = defaultdict(dict)
    for (account, is_wanted), drivers in decider.count(DesiredRow, where, by=["account", "is_wanted"]).items():
        desired_drivers[str(account)][bool(is_wanted)] = drivers
    return _Figures(
        wanted={account: counts.get(True, 0) for account, counts in desired_drivers.items()},
        states=states,
        undecided=_undecided(
            decider, {account: sum(counts.values()) for account, counts in desired_drivers.items()}, states
        ),
        unmanaged=unmanaged_by_place(decider, where),
        reconciling={(row.account, row.target) for row in decider.select(RunningReconciliation, where)},
    )


def _undecided(
    decider: Store, desired_drivers: Mapping[str, int], states: Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
) -> Counter[tuple[str, str]]:
    """The wanted drivers without a link. Every link has a desired state, so that mostly the numbers alone tell."""
    links = {place: sum(counts.values()) for place, counts in states.items()}
    places = {
        (account, str(target))
        for account in desired_drivers
        for target in Target
        if links.get((account, str(target)), 0) != desired_drivers[account]
    }
    if not places:
        return Counter()
    # Of as many accounts as these may be, a list of names would not fit into one query.
    names = sorted({account for account, _ in places})
    where: Where = {"account": names} if len(names) <= _MOST_NAMED else {}
    linked = {tuple(map(str, each)) for each in decider.count(LinkRow, where, by=["account", "target", "driver"])}
    wanted = decider.count(DesiredRow, {**where, "is_wanted": True}, by=["account", "driver"])
    return Counter(
        (str(account), target)
        for account, driver in wanted
        for target in map(str, Target)
        if (account, target) in places and (account, target, driver) not in linked
    )


def _account_status(row: AccountRow, readiness: Mapping[Target, Readiness], figures: _Figures) -> AccountStatus:
    return AccountStatus(
        account=row.account,
        tier=row.tier,
        is_on=row.is_on,
        drivers=figures.wanted.get(row.account, 0),
        targets=tuple(_target_status(readiness[target], figures) for target in Target),
    )


def _due_at(readiness: Readiness) -> datetime | None:
    """When the next daily reconciliation begins: there is none before the first scan under the present terms."""
    account, scan = readiness.account, readiness.scan
    if scan is None or not readiness.is_scanned or account.mode(readiness.target) is Mode.OFF:
        return None
    return next_reconciliation(account.account, readiness.target, account.reconcile_at, datetime.fromisoformat(scan.at))


def _target_status(readiness: Readiness, figures: _Figures) -> TargetStatus:
    account, target = readiness.account, readiness.target
    place = (str(account.account), str(target))
    counts = figures.states.get(place, {})
    states: Counter[str] = Counter()
    for (state, _), links in counts.items():
        states[state] += links
    return TargetStatus(
        target=str(target),
        mode=str(account.modes.get(target, "off")),
        is_scanned=readiness.is_scanned,
        scanned_at=datetime.fromisoformat(readiness.scan.at) if readiness.scan else None,
        failure=readiness.failure.failure if readiness.failure else "",
        failing_since=datetime.fromisoformat(readiness.failure.at) if readiness.failure else None,
        outage=f"{readiness.outage.reason}: {readiness.outage.detail}" if readiness.outage else "",
        stopped_since=datetime.fromisoformat(readiness.outage.at) if readiness.outage else None,
        is_reconciling=place in figures.reconciling,
        reconciled_at=datetime.fromisoformat(readiness.reconciliation.at) if readiness.reconciliation else None,
        reconciliation_due_at=_due_at(readiness),
        in_sync=states["in_sync"],
        pending=states["pending"],
        parked={reason: links for (state, reason), links in counts.items() if state == "parked"},
        held=states["held"],
        kept=states["kept"],
        ended=states["ended"],
        undecided=figures.undecided.get(place, 0),
        unmanaged=figures.unmanaged.get(place, 0),
    )


def portal_statuses(intake: Store, accounts: Collection[str] | None = None) -> Mapping[str, PortalStatus]:
    """Those of these accounts, or of all, that are read by the Portal's API. Raises `StoreFailed`."""
    if accounts is not None and not accounts:
        return {}
    where: Where = {} if accounts is None else {"account": sorted(accounts)}
    return {row.account: _status(row) for row in intake.select(ReadingRow, where)}


def _status(row: ReadingRow) -> PortalStatus:
    return PortalStatus(
        read_at=_moment(row.at),
        drivers=row.drivers,
        refused=row.refused,
        failure=row.failure,
        failing_since=_moment(row.failing_since),
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmanagedDriver:
    """A target driver that no link claims, in the shape of a link."""

    target: str
    key: str
    driver: str = ""
    state: str = "unmanaged"
    reason: str = ""
    detail: str = "no portal driver is linked to it"


@router.get("/progress")
async def show_progress(installation: Installed) -> LeftToDo:
    """Show how much the services have left to do."""
    readers = installation.readers
    return await readers.call(
        left_to_do,
        logs_of(readers).values(),
        readers.decider,
        readers.projectors,
        in_place=not installation.may_repeat,
        clock=utc_now,
    )


@router.get("/status")
async def show_status(installation: Installed, account: str | None = None) -> list[AccountStatus]:
    """Show how an account, or every account, stands with its targets."""
    readers = installation.readers
    name = None if account is None else (await readers.call(account_of, readers.accounts, account)).account
    accounts = None if name is None else [name]
    found = await readers.call(status, readers.decider, accounts)
    portals = await readers.call(portal_statuses, readers.intake, accounts)
    waits = await readers.call(
        waiting, readers.intake, readers.decider, readers.projectors, may_repeat=installation.may_repeat
    )
    return [replace(with_waiting(each, waits), portal=portals.get(each.account)) for each in found]


@router.get("/accounts/{account}/links")
async def list_links(
    known: KnownAccount, installation: Installed, target: NamedTarget | None = None, state: str | None = None
) -> list[LinkRow] | list[UnmanagedDriver]:
    """List the links of an account, or the unmanaged drivers of its targets."""
    readers = installation.readers
    if state == "unmanaged":
        return await readers.call(_unmanaged_drivers, readers.decider, known.account, [target] if target else [*Target])
    wanted = {"target": target and str(target), "state": state}
    where = {column: value for column, value in wanted.items() if value is not None}
    return await readers.call(readers.decider.select, LinkRow, {"account": known.account, **where})


def _unmanaged_drivers(decider: Store, account: str, targets: Iterable[Target]) -> list[UnmanagedDriver]:
    return [
        UnmanagedDriver(target=str(target), key=key)
        for target in targets
        for key in unmanaged(decider, account, target)
    ]
