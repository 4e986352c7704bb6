"""What people ask: how everything stands, what happened, and why.

How every account stands with its targets, in numbers.

How far intake is with the Portal's API, for accounts that are read by it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Mode
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.reconciliation import next_reconciliation
from domain.store import Store, Where
from services.accounts.handlers import AccountRow, account_of, to_account
from services.api.backlog import Waiting, left_to_do, waiting
from services.api.events import Filters, filters_of, read_events
from services.api.explanations import Explanation, explain
from services.api.installation import Installation, logs_of
from services.api.messages import Answer, Malformed
from services.api.naming import Candidate, find_drivers, find_stated, is_stated, likely_drivers, target_named
from services.api.readiness import Readiness, readiness_of_all
from services.decider.read_models import (
    CatchUp,
    DesiredRow,
    LinkRow,
    ObservedRow,
    unmanaged_by_place,
    unmanaged_identifiers,
)
from services.intake.handlers import UnknownDriver
from services.intake.read_models import ReadingRow
from services.runtime.context import utc_now

_MOST_EVENTS = 1000
_UNDER_WAY = timedelta(seconds=10)
"""How long an event may be under way from when it happens until it is stored."""


class AskingRoutes:
    """Everything that only reads."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._readers = installation.readers

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/progress", self._progress),
            Route("/status", self._status),
            Route("/events", self._events),
            Route("/accounts/{account}/links", self._links),
            Route("/accounts/{account}/explanation", self._explain),
        ]

    async def _progress(self, _: Request) -> Response:
        left = await self._readers.call(
            left_to_do,
            logs_of(self._readers).values(),
            self._readers.decider,
            self._readers.projectors,
            in_place=not self._installation.may_repeat,
            clock=utc_now,
        )
        return JSONResponse(left.to_json())

    async def _status(self, request: Request) -> Response:
        named = request.query_params.get("account")
        name = None if named is None else await self._known(named)
        found = await self._readers.call(status, self._readers.decider, None if name is None else [name])
        portals = await self._readers.call(portal_statuses, self._readers.intake, None if name is None else [name])
        read = {account: each.to_json() for account, each in portals.items()}
        waits = await self._readers.call(self._waiting)
        told = [with_waiting(each, waits) for each in found]
        return JSONResponse([{**each.to_json(), "portal": read.get(each.account)} for each in told])

    def _waiting(self) -> Waiting:
        return waiting(
            self._readers.intake,
            self._readers.decider,
            self._readers.projectors,
            may_repeat=self._installation.may_repeat,
        )

    async def _events(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query.get("limit", "200"))
        filters, cursor = await self._filters(query), query.get("cursor")
        known = logs_of(self._readers)
        logs = [query["log"]] if "log" in query else list(known)
        if unknown := next((name for name in logs if name not in known), None):
            raise Malformed(f"there is no log {unknown}; there are: {', '.join(known)}")
        streams = {name: known[name] for name in logs}
        page = await self._readers.call(read_events, streams, filters, cursor, limit)
        return JSONResponse({**page.to_json(), "is_over": page.is_end and _is_over(filters)})

    async def _filters(self, query: QueryParams) -> Filters:
        """Which events are asked for. Raises `Malformed`, `UnknownAccount`, `UnknownDriver`."""
        named = query.get("account")
        filters = filters_of(query, None if named is None else await self._known(named))
        driver = filters.driver
        intake = self._readers.intake
        if driver is not None and not await self._readers.call(is_stated, intake, driver, filters.account):
            raise await self._unknown(driver, filters.account)
        return filters

    async def _unknown(self, driver: str, account: str | None) -> UnknownDriver:
        """What is said of a driver whom the Portal never stated."""
        if account is None:
            return UnknownDriver(f"the Portal never stated a driver {driver} in any account")
        alike = await self._readers.call(likely_drivers, self._readers.intake, account, driver)
        return UnknownDriver(f"the Portal never stated a driver {driver} in account {account}{alike}")

    async def _links(self, request: Request) -> Response:
        account, query = await self._known(request.path_params["account"]), request.query_params
        if "target" in query:
            target_named(query["target"])
        if query.get("state") == "unmanaged":
            return JSONResponse(await self._readers.call(self._unmanaged, account, query.get("target")))
        wanted = {name: query[name] for name in ("target", "state") if name in query}
        rows = await self._readers.call(self._readers.decider.select, LinkRow, {"account": account, **wanted})
        return JSONResponse([asdict(row) for row in rows])

    def _unmanaged(self, account: str, target: str | None) -> list[dict[str, str]]:
        nothing = {"driver": "", "state": "unmanaged", "reason": "", "detail": "no portal driver is linked to it"}
        return [
            {"target": str(each), "key": key, **nothing}
            for each in Target
            if target in (None, str(each))
            for key in unmanaged(self._readers.decider, account, each)
        ]

    async def _explain(self, request: Request) -> Response:
        account, text = await self._known(request.path_params["account"]), request.query_params.get("driver", "")
        found = await self._found(account, text)
        if len(found) > 1:
            return JSONResponse({"candidates": [each.to_json() for each in found]})
        driver = PortalDriverId(found[0].driver if found else text)
        explanation = await self._readers.call(self._explained, account, driver)
        if not explanation.is_known:
            raise await self._unknown(text, account)
        return JSONResponse({"explanation": explanation.to_json(), "lines": list(explanation.lines())})

    async def _found(self, account: AccountId, text: str) -> list[Candidate]:
        """Whom a person means; where the decider knows nobody yet, intake may."""
        found = await self._readers.call(find_drivers, self._readers.decider, account, text)
        return found or await self._readers.call(find_stated, self._readers.intake, account, text)

    def _explained(self, account: AccountId, driver: PortalDriverId) -> Explanation:
        return explain(
            account,
            driver,
            accounts=self._readers.accounts,
            intake=self._readers.intake,
            decider=self._readers.decider,
            projectors=self._readers.projectors,
        )

    async def _known(self, name: str) -> AccountId:
        account = await self._readers.call(account_of, self._readers.accounts, name)
        return account.account


def _is_over(filters: Filters) -> bool:
    """Whether nothing can come any more that is asked for: its time is over, and what was under way then is stored."""
    return filters.until is not None and utc_now() - filters.until >= _UNDER_WAY


def _number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_EVENTS:
        raise Malformed(f"limit is a number from 1 to {_MOST_EVENTS}, not {text!r}")
    return int(text)


_PAGE = 500
_BY_STATE = ("account", "target", "state", "reason")
_MOST_NAMED = 1000
"""Accounts that one query names; where there are more, all are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus(Answer):
    """How an account stands with a target. The counts are of portal drivers, `unmanaged` of target drivers.

    `is_scanned`: the roster was read whole, at `scanned_at`, under the account's present terms. `failure` says why it
    cannot be read, since `failing_since`; empty if it can. `outage` says why no calls are made, since `stopped_since`;
    empty if they are. `is_catching_up`: a reconciliation goes through the drivers. The last one ended at
    `reconciled_at`, and the next daily one begins at `reconciliation_due_at`; None where there is none. `unsent` are
    decisions that the projector, and `unheard` answers that the decider has not taken over yet. `kept` are rejected
    deletes; `undecided` the drivers that the Portal wants and that nobody has decided on yet.
    """

    target: str
    mode: str
    is_scanned: bool
    scanned_at: datetime | None
    failure: str
    failing_since: datetime | None
    outage: str
    stopped_since: datetime | None
    is_catching_up: bool
    reconciled_at: datetime | None
    reconciliation_due_at: datetime | None
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
class AccountStatus(Answer):
    """How an account stands: `drivers` counts those that the Portal wants in all.

    `waiting` are changes of the Portal that the decider has not taken over yet, of at most `waiting.MOST`.
    """

    account: str
    tier: str
    is_on: bool
    drivers: int
    targets: tuple[TargetStatus, ...]
    waiting: int = 0


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
    """The active target drivers that no link has as its key, in the order of their marks."""
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
    catching_up: Collection[tuple[str, str]]


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
        catching_up={(row.account, row.target) for row in decider.select(CatchUp, where)},
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
        is_catching_up=place in figures.catching_up,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalStatus(Answer):
    """When an account's list was read whole last, None if never, and why it cannot be read since then; empty if it can.

    `drivers` are the lines of that list, `refused` those of them that could not be taken over.
    """

    read_at: datetime | None
    drivers: int
    refused: int
    failure: str
    failing_since: datetime | None


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
