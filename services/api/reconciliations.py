"""`/v1/accounts/{account}/reconciliations`: request them, see how far one is, and what it found."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self, assert_never

from domain.account import ReconciliationRequested
from domain.driver_link import DriftFound, DriverLink, Explained
from domain.identity import AccountId, Key, PortalDriverId, Target, account_stream, reconciliation_stream, scan_stream
from domain.outcomes import DriverLookedUp
from domain.reconciliation import Finding, ReconciliationCompleted, ReconciliationRefused, finding_of, found_by
from domain.store import Store, Where
from services.accounts.handlers import Asker
from services.api.explanation_text import named
from services.api.installation import PATIENCE, Installation, RunningServices
from services.api.naming import NamedTarget, driver_named, number_named, target_named
from services.api.readiness import Hindrance, advice_on, hindrance_of_reconciliation, readiness_of
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import LARGEST_INTEGER, ByPerson, Moment, Named, ResponseBody
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
from services.runtime.consumer import Consumed, PartitionOf
from services.runtime.context import log_of

_NOT_IN_SYNC = ("pending", "parked", "held", "kept")


class ReconciliationReport(ResponseBody):
    """What one reconciliation has found; the counts are those of `ReconciliationCompleted`.

    `by` is who requested it, empty for a daily one. One that `is_refused` was to go by `plan` and would have been
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


class FoundDriver(ResponseBody):
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
    """The last reconciliations on each of these targets, at most `last`, the newest first. Raises `StoreFailed`."""
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
    """The next drivers, at most `limit`, that the last reconciliation decided about or that are not in sync.

    Raises `StoreFailed`.
    """
    place: Where = {"account": account, "target": str(target)}
    reconciliation = next((row.version for row in decider.select(ReconciliationRow, place)), 0)
    if not reconciliation:
        return []
    groups: list[Where] = [{**place, "state": _NOT_IN_SYNC}, {**place, "reconciliation": reconciliation}]
    selected = [decider.select(LinkRow, each, order_by="driver", after=behind, limit=limit) for each in groups]
    rows = {row.driver: row for group in selected for row in group}
    page = [rows[driver] for driver in sorted(rows)[:limit]]
    links = load_links(decider, ((account, target, PortalDriverId(row.driver)) for row in page)).get(
        (account, target), {}
    )
    found = []
    for row in page:
        link, is_decided = links[PortalDriverId(row.driver)], row.reconciliation == reconciliation
        finding = Finding(row.finding) if is_decided else _finding(link)
        found.append(FoundDriver.of(link, finding, link.drift if is_decided and row.drifted else None))
    return found


def looked_up(decider: Store, account: AccountId, target: Target, driver: PortalDriverId, request: int) -> FoundDriver:
    """How this driver was found when it was looked up after this request. Raises `StoreFailed`."""
    link = load_links(decider, [(account, target, driver)])[account, target][driver]
    facts = [
        fact
        for fact in decider.histories([link.id]).get(link.id, ())
        if isinstance(fact, Explained)
        and (fact.rationale.get("trigger"), fact.rationale.get("ref")) == ("reconciliation", str(request))
    ]
    drift = next((fact for fact in facts if isinstance(fact, DriftFound)), None)
    return FoundDriver.of(link, found_by(facts[0]) if facts else _finding(link), drift)


def _finding(link: DriverLink) -> Finding:
    """How a driver stands that a reconciliation did not decide about."""
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
            found = {"drivers": fact.drivers, "found": fact.found, "drifted": fact.drifted, "at_odds": fact.at_odds}
            return report.model_copy(update=found)
        case ReconciliationRefused():
            return report.model_copy(update={"is_refused": True, "plan": fact.plan, "would_be": fact.would_be})
        case _:
            assert_never(fact)


_PAGE = 500
"""Drivers in one response."""

_MOST_RECONCILIATIONS = 1000


class NothingToReconcile(Exception):
    """No reconciliation can be made now; the message says why, and what would help."""


router = new_router("reconciliations", prefix="/accounts/{account}/reconciliations")


class RequestReconciliation(ByPerson):
    """A reconciliation on a target, or on all; of one driver, or of all of them."""

    target: Target | None = None
    driver: Named | None = None


class RequestedReconciliation(ResponseBody):
    """A reconciliation on one target; `request` is the version of the account at which it was requested."""

    target: str
    request: int


class RequestedReconciliations(ResponseBody):
    """What was requested on each target; `left_out` says why nothing was on the others."""

    account: str
    driver: str | None
    requests: list[RequestedReconciliation]
    left_out: dict[str, str]


class FoundDriverPage(ResponseBody):
    """Some of the drivers that were found; `next` is the `after` of the next page, None at the end."""

    drivers: list[FoundDriver]
    next: str | None


@router.post("")
async def request_reconciliation(
    body: RequestReconciliation, known: KnownAccount, caller: Called, installation: Installed
) -> RequestedReconciliations:
    """Request a reconciliation."""
    readers, account = installation.readers, known.account
    asker = caller.asks(body.by, body.note)
    if asker.role is None:
        known.role_of(asker.by)
    targets = [body.target] if body.target else [*Target]
    ready = await readers.call(readiness_of, readers.decider, account)
    hindrances = {
        target: hindrance
        for target in targets
        if (hindrance := hindrance_of_reconciliation(replace(ready[target], account=known, is_known=True)))
    }
    if len(hindrances) == len(targets):
        raise NothingToReconcile(str(hindrances[targets[0]]))
    driver = await driver_named(readers, account, body.driver) if body.driver else None
    requests = []
    for target in targets:
        if target not in hindrances:
            version = await _request(installation, account, asker, target, driver)
            requests.append(RequestedReconciliation(target=str(target), request=version))
    installation.accounts_service.notify()
    left_out = {str(target): hindrance.sentence for target, hindrance in hindrances.items()}
    return RequestedReconciliations(account=account, driver=driver, requests=requests, left_out=left_out)


async def _request(
    installation: Installation, account: AccountId, by: Asker, target: Target, driver: PortalDriverId | None
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
    """The keys by which a driver is looked up: that of its link, and the desired one."""
    link = load_links(decider, [(account, target, driver)])[account, target][driver]
    rows = decider.select(DesiredRow, {"account": account, "driver": driver})
    return list(dict.fromkeys(key for key in (link.key, *(desired_of(row, target).key for row in rows)) if key))


@router.get("")
async def list_reconciliations(
    known: KnownAccount, installation: Installed, target: NamedTarget | None = None, last: str = "10"
) -> list[ReconciliationReport]:
    """List the last reconciliations on each target, the newest first."""
    number = number_named("last", last, _MOST_RECONCILIATIONS)
    readers, targets = installation.readers, [target] if target else [*Target]
    return await readers.call(past_reconciliations, readers.decider, readers.accounts, known.account, targets, number)


@router.get("/drivers")
async def list_found_drivers(
    known: KnownAccount, installation: Installed, target: str = "", after: str = ""
) -> FoundDriverPage:
    """List the drivers for which the last reconciliation decided something, or which are not in sync now."""
    found = await installation.readers.call(
        found_drivers, installation.readers.decider, known.account, target_named(target), behind=after, limit=_PAGE
    )
    return FoundDriverPage(drivers=found, next=found[-1].driver if len(found) == _PAGE else None)


class Stage(StrEnum):
    """Where it is: not begun, at its scan, compared with its plan, at its decisions, over, or kept from going on.

    One by a plan is void once sync was turned off, the mode was set, or another request came.
    """

    WAITING = "waiting"
    READING = "reading"
    COMPARING = "comparing"
    DECIDING = "deciding"
    DONE = "done"
    STOPPED = "stopped"
    VOID = "void"


class ReconciliationProgress(ResponseBody):
    """How far a reconciliation is within its stage: `done` of about `of` drivers, 0 of 0 where that is not known.

    `trouble` says what keeps it from going on, and what would help; empty if nothing does. Once it is done, `report`
    says what one of everybody found, and `driver` how one driver was found.
    """

    target: str
    stage: Stage
    done: int = 0
    of: int = 0
    trouble: str = ""
    report: ReconciliationReport | None = None
    driver: FoundDriver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A reconciliation that was requested at this version of the account: of one driver, or of everybody.

    `plan` is what the account's last request has to go by, empty once that is void; None: this one goes by no plan.
    """

    account: AccountId
    target: Target
    request: int
    driver: PortalDriverId | None = None
    plan: str | None = None

    @property
    def place(self) -> dict[str, str]:
        """What to look for in the decider's tables."""
        return {"account": self.account, "target": str(self.target)}

    def at(
        self, stage: Stage, *, done: int = 0, of: int = 0, trouble: Hindrance | None = None
    ) -> ReconciliationProgress:
        """That it is at this stage."""
        return ReconciliationProgress(
            target=str(self.target), stage=stage, done=done, of=of, trouble=str(trouble) if trouble else ""
        )


@router.get("/progress")
async def show_reconciliation(
    known: KnownAccount,
    installation: Installed,
    target: str = "",
    request: str = "",
    driver: str = "",
    *,
    by_plan: bool = False,
) -> ReconciliationProgress:
    """Show how far a reconciliation is and, once it is done, what it found."""
    named_target = target_named(target)
    requested = Requested(
        account=known.account,
        target=named_target,
        request=number_named("request", request, LARGEST_INTEGER),
        driver=PortalDriverId(driver) if driver else None,
        plan=known.plans.get(named_target, "") if by_plan else None,
    )
    return await installation.readers.call(_progress, installation, requested)


def _progress(installation: Installation, asked: Requested) -> ReconciliationProgress:
    readers = installation.readers
    decider, projector = readers.decider, readers.projectors[asked.target]
    if asked.driver is None:
        progress = reconciliation_progress(decider, projector, asked)
    else:
        progress = look_up_progress(decider, projector, asked, partition_of=installation.partition_of)
    if progress.stage is Stage.DONE and asked.driver is None:
        report = reconciliation_for(decider, readers.accounts, asked.account, asked.target, asked.request)
        return progress.model_copy(update={"report": report})
    if progress.stage is Stage.DONE and asked.driver is not None:
        driver = looked_up(decider, asked.account, asked.target, asked.driver, asked.request)
        return progress.model_copy(update={"driver": driver})
    return _unless_down(progress, installation.running)


def _unless_down(progress: ReconciliationProgress, running: RunningServices) -> ReconciliationProgress:
    """The same, or stopped where a service that it waits for does not run."""
    projector = f"projector-{progress.target}"
    needed = {
        Stage.WAITING: ("accounts", "decider", projector),
        Stage.READING: (projector, "decider"),
        Stage.COMPARING: ("decider",),
        Stage.DECIDING: ("decider",),
    }.get(progress.stage)
    if needed and (lines := running.down(*needed, seconds=PATIENCE)):
        trouble = f"{'; '.join(lines)}. What was requested is stored, and goes on when it runs."
        return progress.model_copy(update={"stage": Stage.STOPPED, "trouble": trouble})
    return progress


def reconciliation_progress(decider: Store, projector: Store, asked: Requested) -> ReconciliationProgress:
    """How far the reconciliation of everybody has come. Raises `StoreFailed`."""
    if any(row.answered >= asked.request for row in decider.select(ReconciliationRow, asked.place)):
        return asked.at(Stage.DONE)
    running = next(
        (row for row in decider.select(RunningReconciliation, asked.place) if row.request >= asked.request), None
    )
    if asked.plan == "" and (running is None or running.request != asked.request):
        return asked.at(Stage.VOID)
    if hindrance := _stopped(decider, asked):
        return asked.at(Stage.STOPPED, trouble=hindrance)
    if running:
        drivers = sum(decider.count(DesiredRow, {"account": asked.account}).values())
        stage = Stage.COMPARING if running.plan else Stage.DECIDING
        return asked.at(stage, done=min(sum(running.found.values()), drivers), of=drivers)
    scanning = projector.select(ScanProgress, {"account": asked.account})
    if not scanning:
        return asked.at(Stage.WAITING)
    # A scan is about as long as the last one.
    expected = next((row.drivers for row in decider.select(RosterScanRow, asked.place)), 0)
    return asked.at(Stage.READING, done=scanning[0].drivers, of=expected)


def look_up_progress(
    decider: Store, projector: Store, asked: Requested, *, partition_of: PartitionOf | None
) -> ReconciliationProgress:
    """How far the reconciliation of one driver has come. Raises `StoreFailed`."""
    history = scan_stream(asked.account, asked.target)
    for record in projector.records([history]).get(history, ()):
        event = record.event
        if isinstance(event, DriverLookedUp) and (event.driver, event.request) == (asked.driver, asked.request):
            if event.reason:
                failure = f"{event.reason}: {event.detail}"
                sentence = f"Driver {asked.driver} cannot be looked up in {named(asked.target)} ({failure})."
                advice = advice_on(failure, asked.account, asked.target)
                return asked.at(Stage.STOPPED, trouble=Hindrance(sentence=sentence, advice=advice))
            is_decided = Consumed(decider, log_of(projector.log.name), partition_of).has(record)
            return asked.at(Stage.DONE if is_decided else Stage.DECIDING)
    if hindrance := _stopped(decider, asked):
        return asked.at(Stage.STOPPED, trouble=hindrance)
    where: Where = {"account": asked.account, "request": asked.request}
    return asked.at(Stage.READING if any(projector.count(LookUp, where).values()) else Stage.WAITING)


def _stopped(decider: Store, asked: Requested) -> Hindrance | None:
    """What keeps it from going on, as far as the decider knows of the request."""
    readiness = readiness_of(decider, asked.account)[asked.target]
    if readiness.account.version < asked.request:
        return None
    again = ". It is tried again automatically, and the reconciliation goes on as soon as it can be."
    return hindrance_of_reconciliation(readiness) or readiness.unread(again)
