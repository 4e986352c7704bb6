"""Reconciliations: requested by people, watched while they go on, and told of afterwards.

What reconciliations have found, from their own histories; and of the last one the drivers whom it did not find in sync.

How far a reconciliation has come that somebody has requested, and what keeps it from going on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, assert_never

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Account, AccountEvent, Mode, ReconciliationRequested
from domain.account import Request as Person
from domain.driver_link import DriftFound, DriverLink, Explained
from domain.event import Event
from domain.identity import AccountId, Key, PortalDriverId, Target, account_stream, reconciliation_stream, scan_stream
from domain.outcomes import DriverLookedUp
from domain.reconciliation import Finding, ReconciliationCompleted, ReconciliationRefused, finding_of, found_by
from domain.store import Record, Store, Watermark, Where
from services.accounts.handlers import Asking, account_of
from services.api.explanation_text import moment, named
from services.api.installation import Installation
from services.api.messages import Answer, RequestReconciliation, received
from services.api.naming import driver_named, number_named, target_named
from services.api.readiness import Hindrance, Readiness, advice_on, readiness_of
from services.decider.batch import load_links
from services.decider.read_models import (
    CatchUp,
    DesiredRow,
    LinkRow,
    ReconciliationRow,
    RosterScanRow,
    desired_of,
    parked_for,
)
from services.projector.read_models import LookUp, ScanProgress

_NOT_IN_STEP = ("pending", "parked", "held", "kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport(Answer):
    """What one reconciliation has found; the counts are those of `ReconciliationCompleted`.

    `by` is who requested it, empty if nobody did. One that `is_refused` was to go by `plan` and would have been
    `would_be`, so it found nothing and did nothing.
    """

    account: str
    target: str
    number: int
    at: datetime
    request: int
    by: str
    is_refused: bool = False
    plan: str = ""
    would_be: str = ""
    drivers: int = 0
    found: Mapping[str, int] = field(default_factory=dict)
    drifted: Mapping[str, int] = field(default_factory=dict)
    at_odds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDriver(Answer):
    """A portal driver as a reconciliation found it on a target, with the fields that had drifted.

    `at_odds` are those of them that had in the reconciliation before too; `reason` says why it is parked, if it is.
    """

    target: str
    driver: str
    key: str
    finding: str
    drifted: Sequence[str]
    at_odds: Sequence[str]
    reason: str

    @classmethod
    def of(cls, link: DriverLink, finding: Finding, drift: DriftFound | None = None) -> Self:
        """The driver of this link, found so, and with this drift."""
        return cls(
            target=str(link.target),
            driver=link.driver,
            key=link.key or "",
            finding=str(finding),
            drifted=drift.fields if drift else (),
            at_odds=drift.at_odds if drift else (),
            reason=parked_for(link),
        )


def past_reconciliations(
    decider: Store, accounts: Store, account: AccountId, targets: Collection[Target], last: int
) -> list[ReconciliationReport]:
    """The last reconciliations on each of these targets, at most so many, the newest first. Raises `StoreFailed`."""
    facts = _facts(decider, account, targets)
    newest = [fact for history in facts for fact in history[-last:]]
    people = _people(accounts, account, {fact.request for fact in newest})
    reports = [_to_report(fact, people.get(fact.request, "")) for fact in newest]
    return sorted(reports, key=lambda report: (report.at, report.number, report.target), reverse=True)


def reconciliation_for(
    decider: Store, accounts: Store, account: AccountId, target: Target, request: int
) -> ReconciliationReport | None:
    """The first reconciliation that was for this request, or for a later one; None if there is none.

    Raises `StoreFailed`.
    """
    (history,) = _facts(decider, account, [target])
    fact = next((fact for fact in history if fact.request >= request), None)
    return _to_report(fact, _people(accounts, account, {fact.request}).get(fact.request, "")) if fact else None


def found_drivers(decider: Store, account: AccountId, target: Target, *, behind: str, limit: int) -> list[FoundDriver]:
    """The next drivers, at most so many, for whom the last reconciliation decided something.

    Or who are not in sync now.

    Raises `StoreFailed`.
    """
    place: Where = {"account": account, "target": str(target)}
    reconciliation = next((row.version for row in decider.select(ReconciliationRow, place)), 0)
    if not reconciliation:
        return []
    groups: list[Where] = [{**place, "state": _NOT_IN_STEP}, {**place, "reconciliation": reconciliation}]
    selected = [decider.select(LinkRow, each, order_by="driver", after=behind, limit=limit) for each in groups]
    rows = {row.driver: row for group in selected for row in group}
    return _found(decider, [rows[driver] for driver in sorted(rows)[:limit]], reconciliation)


def looked_up(decider: Store, account: AccountId, target: Target, driver: PortalDriverId, request: int) -> FoundDriver:
    """How this driver was found when it was looked up after this request. Raises `StoreFailed`."""
    link = load_links(decider, [(account, target, driver)])[account, target][driver]
    facts = _decided_for(decider, link, request)
    drift = next((fact for fact in facts if isinstance(fact, DriftFound)), None)
    return FoundDriver.of(link, found_by(facts[0]) if facts else _standing(link), drift)


def _decided_for(decider: Store, link: DriverLink, request: int) -> list[Explained]:
    """What was decided for a link because somebody had it looked up."""
    history = decider.histories([link.id]).get(link.id, ())
    facts = [fact for fact in history if isinstance(fact, Explained)]
    return [
        fact
        for fact in facts
        if (fact.rationale.get("trigger"), fact.rationale.get("ref")) == ("reconciliation", str(request))
    ]


def _found(decider: Store, rows: Sequence[LinkRow], reconciliation: int) -> list[FoundDriver]:
    """The drivers of these links: as the reconciliation found them or, where it decided nothing, as they stand."""
    links = load_links(decider, (_place(row) for row in rows))
    in_order = [links[account, target][driver] for account, target, driver in map(_place, rows)]
    return [_found_by(row, link, reconciliation) for row, link in zip(rows, in_order, strict=True)]


def _place(row: LinkRow) -> tuple[AccountId, Target, PortalDriverId]:
    return AccountId(row.account), Target(row.target), PortalDriverId(row.driver)


def _found_by(row: LinkRow, link: DriverLink, reconciliation: int) -> FoundDriver:
    if row.reconciliation != reconciliation:
        return FoundDriver.of(link, _standing(link))
    return FoundDriver.of(link, Finding(row.finding), link.drift if row.drifted else None)


def _standing(link: DriverLink) -> Finding:
    return finding_of(link, is_wanted=True) or Finding.ENDED


def _facts(
    decider: Store, account: AccountId, targets: Collection[Target]
) -> list[list[ReconciliationCompleted | ReconciliationRefused]]:
    """Every reconciliation on each of these targets, in order."""
    ids = [reconciliation_stream(account, target) for target in targets]
    histories = decider.histories(ids)
    return [
        [fact for fact in histories.get(each, ()) if isinstance(fact, ReconciliationCompleted | ReconciliationRefused)]
        for each in ids
    ]


def _people(accounts: Store, account: AccountId, requests: set[int]) -> dict[int, str]:
    """Who made these requests."""
    if requests <= {0}:
        return {}
    history = account_stream(account)
    facts = accounts.histories([history]).get(history, ())
    return {fact.originator_version: fact.by for fact in facts if isinstance(fact, ReconciliationRequested)}


def _to_report(fact: ReconciliationCompleted | ReconciliationRefused, by: str) -> ReconciliationReport:
    report = ReconciliationReport(
        account=fact.account,
        target=fact.target,
        number=fact.originator_version,
        at=fact.at,
        request=fact.request,
        by=by,
    )
    match fact:
        case ReconciliationCompleted():
            return replace(report, drivers=fact.drivers, found=fact.found, drifted=fact.drifted, at_odds=fact.at_odds)
        case ReconciliationRefused():
            return replace(report, is_refused=True, plan=fact.plan, would_be=fact.would_be)
        case _:
            assert_never(fact)


class Stage(StrEnum):
    """Where a requested reconciliation is: not begun, at its scan, at its decisions, over, or kept from going on."""

    WAITING = "waiting"
    READING = "reading"
    DECIDING = "deciding"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationProgress(Answer):
    """How far a reconciliation is within its stage: `done` of about `of` drivers, 0 of 0 where nobody knows.

    `trouble` says what keeps it from going on, and what would help; empty if nothing does.
    """

    target: str
    stage: Stage
    done: int = 0
    of: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A reconciliation that was requested at this version of the account: of one driver, or of everybody."""

    account: AccountId
    target: Target
    request: int
    driver: PortalDriverId | None = None

    @property
    def place(self) -> dict[str, str]:
        """What to look for in the decider's tables."""
        return {"account": self.account, "target": str(self.target)}


def unwritten(readiness: Readiness) -> Hindrance | None:
    """Why a reconciliation would come to nothing now: nothing is synchronised there, or no calls are made.

    None if it would.
    """
    if readiness.account.mode(readiness.target) is Mode.OFF:
        return readiness.hindrance()
    return readiness.stoppage()


def reconciliation_progress(decider: Store, projector: Store, asked: Requested) -> ReconciliationProgress:
    """How far the reconciliation of everybody has come. Raises `StoreFailed`."""
    if any(row.answered >= asked.request for row in decider.select(ReconciliationRow, asked.place)):
        return _at(asked, Stage.DONE)
    return _stopped(decider, asked) or _deciding(decider, asked) or _reading(decider, projector, asked)


def look_up_progress(decider: Store, projector: Store, asked: Requested, *, may_repeat: bool) -> ReconciliationProgress:
    """How far the reconciliation of one driver has come. Raises `StoreFailed`."""
    record = _looked_up(projector, asked)
    if record is None:
        where: Where = {"account": asked.account, "request": asked.request}
        is_heard = any(projector.count(LookUp, where).values())
        return _stopped(decider, asked) or _at(asked, Stage.READING if is_heard else Stage.WAITING)
    event = record.event
    if isinstance(event, DriverLookedUp) and event.reason:
        failure = f"{event.reason}: {event.detail}"
        return _at(asked, Stage.STOPPED, trouble=_told(_not_looked_up(asked, failure)))
    is_decided = _has_heard(decider, record, projector.log.name, may_repeat=may_repeat)
    return _at(asked, Stage.DONE if is_decided else Stage.DECIDING)


def _at(asked: Requested, stage: Stage, *, done: int = 0, of: int = 0, trouble: str = "") -> ReconciliationProgress:
    return ReconciliationProgress(target=str(asked.target), stage=stage, done=done, of=of, trouble=trouble)


def _stopped(decider: Store, asked: Requested) -> ReconciliationProgress | None:
    """What keeps it from going on, as far as the decider has heard of the request."""
    readiness = readiness_of(decider, asked.account)[asked.target]
    if readiness.account.version < asked.request:
        return None
    hindrance = unwritten(readiness) or _unread(readiness)
    return _at(asked, Stage.STOPPED, trouble=_told(hindrance)) if hindrance else None


def _unread(readiness: Readiness) -> Hindrance | None:
    if readiness.failure is None:
        return None
    since, failure = moment(datetime.fromisoformat(readiness.failure.at)), readiness.failure.failure
    sentence = (
        f"The roster of {named(readiness.target)} cannot be read since {since} ({failure}). "
        "It is tried again by itself, and the reconciliation goes on as soon as it can be."
    )
    return Hindrance(sentence=sentence, advice=advice_on(failure, readiness.account.account, readiness.target))


def _not_looked_up(asked: Requested, failure: str) -> Hindrance:
    sentence = f"Driver {asked.driver} cannot be looked up in {named(asked.target)} ({failure})."
    return Hindrance(sentence=sentence, advice=advice_on(failure, asked.account, asked.target))


def _told(hindrance: Hindrance) -> str:
    return f"{hindrance.sentence} {hindrance.advice}".rstrip()


def _deciding(decider: Store, asked: Requested) -> ReconciliationProgress | None:
    work = next(iter(decider.select(CatchUp, asked.place)), None)
    if work is None or work.request < asked.request:
        return None
    drivers = sum(decider.count(DesiredRow, {"account": asked.account}).values())
    return _at(asked, Stage.DECIDING, done=min(sum(work.found.values()), drivers), of=drivers)


def _reading(decider: Store, projector: Store, asked: Requested) -> ReconciliationProgress:
    """At its scan, which is about as long as the last one."""
    under_way: Sequence[ScanProgress] = projector.select(ScanProgress, {"account": asked.account})
    if not under_way:
        return _at(asked, Stage.WAITING)
    expected = next((row.drivers for row in decider.select(RosterScanRow, asked.place)), 0)
    return _at(asked, Stage.READING, done=under_way[0].drivers, of=expected)


def _looked_up(projector: Store, asked: Requested) -> Record | None:
    history = scan_stream(asked.account, asked.target)
    records = projector.records([history]).get(history, ())
    return next((record for record in records if _is_of(record.event, asked)), None)


def _is_of(event: Event | None, asked: Requested) -> bool:
    return isinstance(event, DriverLookedUp) and (event.driver, event.request) == (asked.driver, asked.request)


def _has_heard(decider: Store, record: Record, stream: str, *, may_repeat: bool) -> bool:
    """Whether the decider has taken this report over: by its history where streams may repeat, else by its place."""
    if not may_repeat:
        return decider.position(stream) >= record.position
    originator, _, version = record.id.partition("/")
    return any(row.version >= int(version) for row in decider.select(Watermark, {"originator": originator}))


_PAGE = 500
"""Drivers that one request tells of."""

_MOST_RECONCILIATIONS = 1000
_MOST_VERSION = 2**63 - 1


class NothingToReconciliation(Exception):
    """No reconciliation can be made now; the message says why, and what would help."""


class ReconciliationRoutes:
    """Everything below `/accounts/{account}/reconciliations`."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._accounts = installation.accounts_service
        self._decider = installation.decider_service
        self._readers = installation.readers

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/reconciliations", self._request, methods=["POST"]),
            Route("/accounts/{account}/reconciliations", self._list, methods=["GET"]),
            Route("/accounts/{account}/reconciliations/progress", self._progress, methods=["GET"]),
            Route("/accounts/{account}/reconciliations/drivers", self._list_drivers, methods=["GET"]),
        ]

    async def _request(self, request: Request) -> Response:
        account, asked = await self._known(request), await received(request, RequestReconciliation)
        account.role_of(asked.by)
        hindrances = await self._readers.call(self._hindrances, account, [asked.target] if asked.target else [*Target])
        _check(hindrances)
        driver = await driver_named(self._readers, account.account, asked.driver) if asked.driver else None
        requests = [
            {"target": str(target), "request": await self._asked(account.account, asked.by, target, driver)}
            for target, hindrance in hindrances.items()
            if hindrance is None
        ]
        self._accounts.notify()
        left_out = {str(target): hindrance.sentence for target, hindrance in hindrances.items() if hindrance}
        return JSONResponse({"account": account.account, "driver": driver, "requests": requests, "left_out": left_out})

    def _hindrances(self, account: Account, targets: Sequence[Target]) -> dict[Target, Hindrance | None]:
        """What keeps a reconciliation from being made on each target, by the account's own word on its terms."""
        known = readiness_of(self._readers.decider, account.account)
        return {target: unwritten(replace(known[target], account=account, is_known=True)) for target in targets}

    async def _asked(self, account: AccountId, by: str, target: Target, driver: PortalDriverId | None) -> int:
        """At which version of the account this reconciliation is requested."""
        keys = await self._readers.call(self._keys, account, target, driver) if driver else ()
        after = await self._accounts.call_again(
            self._installation.accounts.ask, account, by, _reconciling(target, driver or "", keys)
        )
        return after.version

    def _keys(self, account: AccountId, target: Target, driver: PortalDriverId) -> Sequence[Key]:
        """By which keys a driver is looked up: that of its link, and the desired one."""
        store = self._readers.decider
        link = load_links(store, [(account, target, driver)])[account, target][driver]
        desired_drivers = [
            desired_of(row, target) for row in store.select(DesiredRow, {"account": account, "driver": driver})
        ]
        return list(dict.fromkeys(key for key in (link.key, *(desired.key for desired in desired_drivers)) if key))

    async def _list(self, request: Request) -> Response:
        account, query = await self._known(request), request.query_params
        last = number_named("last", query.get("last", "10"), _MOST_RECONCILIATIONS)
        targets = [target_named(query["target"])] if "target" in query else [*Target]
        accounts = self._readers.accounts
        found = await self._readers.call(
            past_reconciliations, self._readers.decider, accounts, account.account, targets, last
        )
        return JSONResponse([report.to_json() for report in found])

    async def _list_drivers(self, request: Request) -> Response:
        account, query = await self._known(request), request.query_params
        target, behind = target_named(query.get("target", "")), query.get("after", "")
        found = await self._readers.call(
            found_drivers, self._readers.decider, account.account, target, behind=behind, limit=_PAGE
        )
        after = found[-1].driver if len(found) == _PAGE else None
        return JSONResponse({"drivers": [each.to_json() for each in found], "next": after})

    async def _progress(self, request: Request) -> Response:
        account = await self._known(request)
        return JSONResponse(await self._readers.call(self._how_far, _requested(account, request.query_params)))

    def _how_far(self, asked: Requested) -> dict[str, Any]:
        """How far a reconciliation has come and, where it is over, what it found."""
        decider, projector = self._readers.decider, self._readers.projectors[asked.target]
        may_repeat = self._installation.may_repeat
        if asked.driver is None:
            progress = reconciliation_progress(decider, projector, asked)
        else:
            progress = look_up_progress(decider, projector, asked, may_repeat=may_repeat)
        return {**progress.to_json(), **(self._result(asked) if progress.stage is Stage.DONE else {})}

    def _result(self, asked: Requested) -> dict[str, Any]:
        decider, accounts = self._readers.decider, self._readers.accounts
        if asked.driver is not None:
            found = looked_up(decider, asked.account, asked.target, asked.driver, asked.request)
            return {"driver": found.to_json()}
        report = reconciliation_for(decider, accounts, asked.account, asked.target, asked.request)
        return {"report": report.to_json() if report else None}

    async def _known(self, request: Request) -> Account:
        return await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])


def _requested(account: Account, query: QueryParams) -> Requested:
    driver = query.get("driver")
    return Requested(
        account=account.account,
        target=target_named(query.get("target", "")),
        request=number_named("request", query.get("request", ""), _MOST_VERSION),
        driver=PortalDriverId(driver) if driver else None,
    )


def _check(hindrances: Mapping[Target, Hindrance | None]) -> None:
    """Raise `NothingToReconciliation` unless there is a target on which a reconciliation can be made."""
    hindering = [hindrance for hindrance in hindrances.values() if hindrance]
    if len(hindering) == len(hindrances):
        raise NothingToReconciliation(f"{hindering[0].sentence} {hindering[0].advice}".rstrip())


def _reconciling(target: Target, driver: str, keys: Sequence[str]) -> Asking:
    def reconciliation(person: Person, account: Account) -> tuple[AccountEvent, ...]:
        return person.reconciliation(account, target, driver=driver, keys=keys)

    return reconciliation
