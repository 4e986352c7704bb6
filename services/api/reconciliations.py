"""`/accounts/{account}/reconciliations`: request them, watch how far they are, and see what they found."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Self, assert_never

from fastapi import APIRouter

from domain.account import Account, Mode, ReconciliationRequested
from domain.driver_link import DriftFound, DriverLink, Explained
from domain.identity import AccountId, Key, PortalDriverId, Target, account_stream, reconciliation_stream, scan_stream
from domain.outcomes import DriverLookedUp
from domain.reconciliation import Finding, ReconciliationCompleted, ReconciliationRefused, finding_of, found_by
from domain.store import Event, Record, Store, Watermark, Where
from services.api.explanation_text import moment, named
from services.api.installation import Installation, Installed, KnownAccount
from services.api.naming import NamedTarget, driver_named, number_named, target_named
from services.api.readiness import Hindrance, Readiness, advice_on, readiness_of
from services.api.schema import LARGEST_INTEGER, ByPerson, Moment, Named
from services.decider.batch import load_links
from services.decider.read_models import (
    DesiredRow,
    LinkRow,
    ReconciliationRow,
    RosterScanRow,
    RunningReconciliation,
    desired_of,
    parked_for,
)
from services.projector.read_models import LookUp, ScanProgress

_NOT_IN_STEP = ("pending", "parked", "held", "kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport:
    """What one reconciliation has found; the counts are those of `ReconciliationCompleted`.

    `by` is who requested it, empty if nobody did. One that `is_refused` was to go by `plan` and would have been
    `would_be`, so it found nothing and did nothing.
    """

    account: str
    target: str
    number: int
    at: Moment
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
class FoundDriver:
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
    """The next drivers, at most `limit`, for which the last reconciliation decided something.

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
class ReconciliationProgress:
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
    work = next(iter(decider.select(RunningReconciliation, asked.place)), None)
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
"""Drivers in one response."""

_MOST_RECONCILIATIONS = 1000


class NothingToReconcile(Exception):
    """No reconciliation can be made now; the message says why, and what would help."""


router = APIRouter(prefix="/accounts/{account}/reconciliations", tags=["reconciliations"])


class RequestReconciliation(ByPerson):
    """A reconciliation on a target, or on all; of one driver, or of all of them."""

    target: Target | None = None
    driver: Named | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedReconciliation:
    """A reconciliation on one target; `request` is the version of the account at which it was requested."""

    target: str
    request: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedReconciliations:
    """What was requested on each target; `left_out` says why nothing was on the others."""

    account: str
    driver: str | None
    requests: list[RequestedReconciliation]
    left_out: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDriverPage:
    """Some of the drivers that were found; `next` is the `after` of the next page, None at the end."""

    drivers: list[FoundDriver]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedProgress(ReconciliationProgress):
    """How far a reconciliation of everybody is; `report`: what it found, once that is `done`."""

    report: ReconciliationReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProgress(ReconciliationProgress):
    """How far the reconciliation of one driver is, which is `done`; `driver`: how it was found."""

    driver: FoundDriver


@router.post("")
async def request_reconciliation(
    body: RequestReconciliation, known: KnownAccount, installation: Installed
) -> RequestedReconciliations:
    """Request a reconciliation."""
    readers, account = installation.readers, known.account
    known.role_of(body.by)
    targets = [body.target] if body.target else [*Target]
    hindrances = await readers.call(_hindrances, readers.decider, known, targets)
    _check(hindrances)
    driver = await driver_named(readers, account, body.driver) if body.driver else None
    requests = [
        RequestedReconciliation(
            target=str(target), request=await _request(installation, account, body.by, target, driver)
        )
        for target, hindrance in hindrances.items()
        if hindrance is None
    ]
    installation.accounts_service.notify()
    left_out = {str(target): hindrance.sentence for target, hindrance in hindrances.items() if hindrance}
    return RequestedReconciliations(account=account, driver=driver, requests=requests, left_out=left_out)


@router.get("")
async def list_reconciliations(
    known: KnownAccount, installation: Installed, target: NamedTarget | None = None, last: str = "10"
) -> list[ReconciliationReport]:
    """List the last reconciliations on each target, the newest first."""
    number = number_named("last", last, _MOST_RECONCILIATIONS)
    readers, targets = installation.readers, [target] if target else [*Target]
    return await readers.call(past_reconciliations, readers.decider, readers.accounts, known.account, targets, number)


@router.get("/progress")
async def show_reconciliation(
    known: KnownAccount, installation: Installed, target: str = "", request: str = "", driver: str = ""
) -> ReportedProgress | FoundProgress | ReconciliationProgress:
    """Show how far a reconciliation is and, once it is done, what it found."""
    requested = Requested(
        account=known.account,
        target=target_named(target),
        request=number_named("request", request, LARGEST_INTEGER),
        driver=PortalDriverId(driver) if driver else None,
    )
    return await installation.readers.call(_progress_of, installation, requested)


@router.get("/drivers")
async def list_found_drivers(
    known: KnownAccount, installation: Installed, target: str = "", after: str = ""
) -> FoundDriverPage:
    """List the drivers for which the last reconciliation decided something, or which are not in sync now."""
    found = await installation.readers.call(
        found_drivers, installation.readers.decider, known.account, target_named(target), behind=after, limit=_PAGE
    )
    return FoundDriverPage(drivers=found, next=found[-1].driver if len(found) == _PAGE else None)


def _hindrances(decider: Store, account: Account, targets: Sequence[Target]) -> dict[Target, Hindrance | None]:
    """What keeps a reconciliation from being made on each target, by the account as it is now."""
    known = readiness_of(decider, account.account)
    return {target: unwritten(replace(known[target], account=account, is_known=True)) for target in targets}


def _check(hindrances: Mapping[Target, Hindrance | None]) -> None:
    """Raise `NothingToReconcile` unless there is a target on which a reconciliation can be made."""
    hindering = [hindrance for hindrance in hindrances.values() if hindrance]
    if len(hindering) == len(hindrances):
        raise NothingToReconcile(f"{hindering[0].sentence} {hindering[0].advice}".rstrip())


async def _request(
    installation: Installation, account: AccountId, by: str, target: Target, driver: PortalDriverId | None
) -> int:
    """Request a reconciliation; returns the version of the account at which it was requested."""
    readers = installation.readers
    keys = await readers.call(_keys, readers.decider, account, target, driver) if driver else ()
    after = await installation.accounts_service.call_again(
        installation.accounts.ask,
        account,
        by,
        lambda person, known: person.reconciliation(known, target, driver=driver or "", keys=keys),
    )
    return after.version


def _keys(decider: Store, account: AccountId, target: Target, driver: PortalDriverId) -> Sequence[Key]:
    """By which keys a driver is looked up: that of its link, and the desired one."""
    link = load_links(decider, [(account, target, driver)])[account, target][driver]
    desired_drivers = [
        desired_of(row, target) for row in decider.select(DesiredRow, {"account": account, "driver": driver})
    ]
    return list(dict.fromkeys(key for key in (link.key, *(desired.key for desired in desired_drivers)) if key))


def _progress_of(
    installation: Installation, asked: Requested
) -> ReportedProgress | FoundProgress | ReconciliationProgress:
    readers = installation.readers
    decider, projector = readers.decider, readers.projectors[asked.target]
    if asked.driver is None:
        progress = reconciliation_progress(decider, projector, asked)
    else:
        progress = look_up_progress(decider, projector, asked, may_repeat=installation.may_repeat)
    if progress.stage is not Stage.DONE:
        return progress
    if asked.driver is not None:
        driver = looked_up(decider, asked.account, asked.target, asked.driver, asked.request)
        return FoundProgress(target=progress.target, stage=progress.stage, driver=driver)
    report = reconciliation_for(decider, readers.accounts, asked.account, asked.target, asked.request)
    return ReportedProgress(target=progress.target, stage=progress.stage, report=report)
