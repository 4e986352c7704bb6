"""`/v1/overview`, `/v1/status`, `/v1/progress` and the links of accounts: how they stand, and what waits."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Query

from domain.account import Mode
from domain.identity import Key, Target
from domain.matching import key_identifier
from domain.reconciliation import next_reconciliation
from domain.store import FILLED, Store, Where
from services.accounts.handlers import KNOWN, AccountRow, account_of, accounts_of, to_account
from services.api.accounts import visible_accounts
from services.api.as_of import AsOf, moment_of, rewound
from services.api.backlog import LeftToDo, left_to_do, waiting
from services.api.installation import Installation
from services.api.naming import NamedTarget
from services.api.readiness import Readiness, readiness_of_all
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import Malformed, Moment, ResponseBody
from services.decider.read_models import (
    DesiredRow,
    LinkRow,
    ObservedRow,
    OutageRow,
    RunningReconciliation,
    ScanFailureRow,
    unmanaged_by_place,
    unmanaged_identifiers,
)
from services.intake.read_models import ReadingRow
from services.runtime.context import utc_now

router = new_router("status")

_PAGE = 500
_BY_STATE = ("account", "target", "state", "reason")
_BY = ("account",)
MOST_ACCOUNTS = 500
"""Accounts in one response; ask for more behind the last of them."""

MOST_LINKS = 5_000
"""Links in one response; ask for more behind the last of them."""

_TOGETHER = 20_000
"""Drivers whose keys are held at a time; of an account with more, those of one target."""


class TargetStatus(ResponseBody):
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


class PortalStatus(ResponseBody):
    """When an account's list was read whole last, None if never, and why it cannot be read since then; empty if it can.

    `drivers` are the lines of that list, `refused` those of them that could not be accepted.
    """

    read_at: Moment | None
    drivers: int
    refused: int
    failure: str
    failing_since: Moment | None


class AccountStatus(ResponseBody):
    """How an account stands: `drivers` counts those that the Portal wants in all.

    `waiting` are changes of the Portal that the decider has not consumed yet, of at most `backlog.MOST`. `portal` is
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

    The number of queries does not grow with the accounts, only by a few with every 20,000 drivers; the keys of no more
    drivers than these are held at a time. Raises `StoreFailed`.
    """
    where: Where = {} if accounts is None else {"account": sorted(set(accounts))}
    rows = decider.select(AccountRow, {**where, **KNOWN}, order_by="account")
    figures = _figures(decider, where)
    readiness = readiness_of_all(decider, map(to_account, rows), where)
    return [
        AccountStatus(
            account=row.account,
            tier=row.tier,
            is_on=row.is_on,
            drivers=figures.wanted.get(row.account, 0),
            targets=tuple(_target_status(each, figures) for each in readiness(row.account).values()),
        )
        for row in rows
    ]


def unmanaged(decider: Store, account: str, target: Target, after: str = "", limit: int | None = None) -> list[Key]:
    """The active target drivers that no link has as its key, in the order of their identifiers, behind this key."""
    found = sorted(unmanaged_identifiers(decider, account, target))
    start = bisect_right(found, key_identifier(target, Key(after))) if after else 0
    wanted, keys = found[start : None if limit is None else start + limit], list[Key]()
    for place in range(0, len(wanted), _PAGE):
        where: Where = {"account": account, "target": str(target), "identifier": wanted[place : place + _PAGE]}
        keys += (Key(row.key) for row in decider.select(ObservedRow, where, order_by="identifier"))
    return keys


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
        unmanaged=_unmanaged_by_place(decider, where),
        reconciling={(row.account, row.target) for row in decider.select(RunningReconciliation, where)},
    )


def _unmanaged_by_place(decider: Store, where: Where) -> Counter[tuple[str, str]]:
    shown = decider.count(ObservedRow, {**where, "active": True}, by=["account"])
    found = Counter[tuple[str, str]]()
    for part in _parts({str(account): drivers for (account,), drivers in shown.items()}):
        found += unmanaged_by_place(decider, part)
    return found


def _parts(drivers: Mapping[str, int]) -> Iterator[Where]:
    """Conditions that name all of these accounts, each for as many as have few enough drivers together."""
    together: list[str] = []
    room = _TOGETHER
    for account, many in drivers.items():
        if many > _TOGETHER:
            yield from ({"account": account, "target": str(target)} for target in Target)
            continue
        if many > room:
            yield {"account": together}
            together, room = [], _TOGETHER
        together.append(account)
        room -= many
    if together:
        yield {"account": together}


def _undecided(
    decider: Store, desired_drivers: Mapping[str, int], states: Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
) -> Counter[tuple[str, str]]:
    """The wanted drivers without a link. Every link has a desired state, so mostly the numbers alone show them."""
    links = {place: sum(counts.values()) for place, counts in states.items()}
    lacking = {
        (account, str(target))
        for account in desired_drivers
        for target in Target
        if links.get((account, str(target)), 0) != desired_drivers[account]
    }
    found = Counter[tuple[str, str]]()
    for part in _parts({account: desired_drivers[account] for account, _ in sorted(lacking)}):
        linked = decider.count(LinkRow, part, by=["account", "target", "driver"]).keys()
        of_part = {column: wanted for column, wanted in part.items() if column != "target"}
        wanted = decider.count(DesiredRow, {**of_part, "is_wanted": True}, by=["account", "driver"])
        targets = [str(part["target"])] if "target" in part else [*map(str, Target)]
        found.update(
            (str(account), target)
            for account, driver in wanted
            for target in targets
            if (str(account), target) in lacking and (account, target, driver) not in linked
        )
    return found


def _target_status(readiness: Readiness, figures: _Figures) -> TargetStatus:
    account, target, scan = readiness.account, readiness.target, readiness.scan
    place = (str(account.account), str(target))
    counts = figures.states.get(place, {})
    states: Counter[str] = Counter()
    for (state, _), links in counts.items():
        states[state] += links
    due_at = None
    if scan and readiness.is_scanned and account.mode(target) is not Mode.OFF:
        # A daily reconciliation follows the first scan under the present policy generation.
        due_at = next_reconciliation(account.account, target, account.reconcile_at, datetime.fromisoformat(scan.at))
    return TargetStatus(
        target=str(target),
        mode=str(account.modes.get(target, "off")),
        is_scanned=readiness.is_scanned,
        scanned_at=datetime.fromisoformat(scan.at) if scan else None,
        failure=readiness.failure.failure if readiness.failure else "",
        failing_since=datetime.fromisoformat(readiness.failure.at) if readiness.failure else None,
        outage=f"{readiness.outage.reason}: {readiness.outage.detail}" if readiness.outage else "",
        stopped_since=datetime.fromisoformat(readiness.outage.at) if readiness.outage else None,
        is_reconciling=place in figures.reconciling,
        reconciled_at=datetime.fromisoformat(readiness.reconciliation.at) if readiness.reconciliation else None,
        reconciliation_due_at=due_at,
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
    return {
        row.account: PortalStatus(
            read_at=_moment(row.at),
            drivers=row.drivers,
            refused=row.refused,
            failure=row.failure,
            failing_since=_moment(row.failing_since),
        )
        for row in intake.select(ReadingRow, where)
    }


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


class UnmanagedDriver(ResponseBody):
    """A target driver that no link claims, in the shape of a link."""

    target: str
    key: str
    driver: str = ""
    state: str = "unmanaged"
    reason: str = ""
    detail: str = "no portal driver is linked to it"


class ServicesDown(ResponseBody):
    """A line for each service that does not run, with how to start it."""

    down: list[str]


@router.get("/services")
async def show_services(installation: Installed) -> ServicesDown:
    """Show which services do not run."""
    return ServicesDown(down=await installation.readers.call(installation.running.down))


@router.get("/progress")
async def show_progress(installation: Installed) -> LeftToDo:
    """Show how much the services have left to do."""
    readers = installation.readers
    return await readers.call(
        left_to_do, installation.registry, readers.stores, in_place=installation.partition_of is None, clock=utc_now
    )


@router.get("/status")
async def show_status(
    installation: Installed,
    account: str | None = None,
    after: Annotated[str, Query(description="The account behind which to go on.")] = "",
    as_of: AsOf = None,
) -> list[AccountStatus]:
    """Show how an account stands with its targets, or every account: the next 500, in the order of ids.

    As of a moment only one account can be shown, without what waited between the services then.
    """
    readers = installation.readers
    if at := moment_of(installation, as_of):
        if account is None:
            raise Malformed("name an account: its whole log is read to know how it stood then")
        known = await readers.call(account_of, readers.accounts, account)
        async with rewound(installation, known.account, at) as past:
            return await readers.call(status, past, [known.account])
    accounts: Sequence[str]
    if account is not None:
        accounts = [(await readers.call(account_of, readers.accounts, account)).account]
    else:
        rows = await readers.call(
            readers.decider.select, AccountRow, KNOWN, order_by="account", after=after, limit=MOST_ACCOUNTS
        )
        accounts = [row.account for row in rows]
    return await _status_of(installation, accounts)


class Overview(ResponseBody):
    """Some of the accounts that the caller may see: first those that need a person, worst first, then the others.

    An account needs a person where no calls are made, its roster or the Portal's list cannot be read, or drivers are
    parked or held. `total` counts all accounts, `need_person` those of them that do; `coming` were added, and the
    services do not know them yet. `next` is the `after` of the next page, None at the end.
    """

    accounts: list[AccountStatus]
    total: int
    need_person: int
    coming: list[str]
    next: str | None


@router.get("/overview")
async def show_overview(
    caller: Called,
    installation: Installed,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MOST_ACCOUNTS)] = 100,
) -> Overview:
    """Show how accounts stand with their targets, those first that need a person: nothing is counted of the others."""
    readers = installation.readers
    visible = await readers.call(visible_accounts, readers.accounts, caller.principal)
    known = {*await readers.call(_ids, readers.decider)}
    needs = await readers.call(_needs, readers.decider, readers.intake)
    order = sorted((needs.get(each, 0), each) for each in visible if each in known)
    start = bisect_right(order, (needs.get(after, 0), after)) if after else 0
    shown = [account for _, account in order[start : start + limit]]
    found = {each.account: each for each in await _status_of(installation, shown)}
    return Overview(
        accounts=[found[each] for each in shown if each in found],
        total=len(order),
        need_person=sum(need < 0 for need, _ in order),
        coming=[each for each in visible if each not in known],
        next=shown[-1] if start + limit < len(order) else None,
    )


def _ids(store: Store) -> list[str]:
    return sorted(str(account) for (account,) in store.count(AccountRow, KNOWN, by=["account"]))


def _needs(decider: Store, intake: Store) -> Mapping[str, int]:
    """The accounts that need a person: those where something stopped (-2) come before those where drivers wait (-1).

    Each is found by an index, or a table, that has nothing of the others.
    """
    waiting_drivers: Sequence[Where] = ({"reason": FILLED}, {"hold": FILLED})
    needs = {str(account): -1 for where in waiting_drivers for (account,) in decider.count(LinkRow, where, by=_BY)}
    stopped = [account for kind in (OutageRow, ScanFailureRow) for (account,) in decider.count(kind, by=_BY)]
    readings = intake.count(ReadingRow, by=["account", "failure"])
    stopped += [account for account, failure in readings if failure]
    return needs | {str(account): -2 for account in stopped}


async def _status_of(installation: Installation, accounts: Sequence[str]) -> list[AccountStatus]:
    """How these accounts stand with what waits between the services, in the order of ids.

    Their tier, whether sync is on, and the modes are as they are stored, whether or not the decider knows that yet.
    """
    readers = installation.readers
    found = await readers.call(status, readers.decider, accounts)
    stored = await readers.call(accounts_of, readers.accounts, accounts)
    portals = await readers.call(portal_statuses, readers.intake, accounts)
    waits = await readers.call(
        waiting, readers.intake, readers.decider, readers.projectors, partition_of=installation.partition_of
    )
    return [
        each.model_copy(
            update={
                **({"tier": str(account.tier), "is_on": account.is_on} if account else {}),
                "waiting": waits.changes.get(each.account, 0),
                "portal": portals.get(each.account),
                "targets": tuple(
                    target.model_copy(
                        update={
                            **({"mode": str(account.modes.get(Target(target.target), Mode.OFF))} if account else {}),
                            "unsent": waits.decisions.get((each.account, target.target), 0),
                            "unheard": waits.outcomes.get((each.account, target.target), 0),
                        }
                    )
                    for target in each.targets
                ),
            }
        )
        for each in found
        for account in [stored.get(each.account)]
    ]


@router.get("/accounts/{account}/links")
async def list_links(
    known: KnownAccount,
    installation: Installed,
    target: NamedTarget | None = None,
    state: str | None = None,
    after: Annotated[str, Query(description="A target and a driver, or key, with a slash between them.")] = "",
    as_of: AsOf = None,
) -> list[LinkRow] | list[UnmanagedDriver]:
    """List the links of an account, or the unmanaged drivers of its targets: the next 5,000, target by target."""
    targets = [target] if target else [*Target]
    if at := moment_of(installation, as_of):
        async with rewound(installation, known.account, at) as past:
            return await _links(installation, past, known.account, targets, state, after)
    return await _links(installation, installation.readers.decider, known.account, targets, state, after)


async def _links(
    installation: Installation, decider: Store, account: str, targets: Iterable[Target], state: str | None, after: str
) -> list[LinkRow] | list[UnmanagedDriver]:
    found: list[LinkRow] = []
    unlinked: list[UnmanagedDriver] = []
    readers, (begun, _, last) = installation.readers, after.partition("/")
    for each in sorted(targets):
        behind, room = last if each == begun else "", MOST_LINKS - len(found) - len(unlinked)
        if each < begun or not room:
            continue
        if state == "unmanaged":
            keys = await readers.call(lambda *asked: [*unmanaged(*asked)], decider, account, each, behind, room)
            unlinked += (UnmanagedDriver(target=str(each), key=key) for key in keys)
        else:
            where: Where = {"account": account, "target": str(each), **({"state": state} if state else {})}
            found += await readers.call(decider.select, LinkRow, where, order_by="driver", after=behind, limit=room)
    return unlinked or found
