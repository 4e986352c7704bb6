"""`/v1/accounts/{account}/reconciliations`: request them, and see what they found; `progress` shows how far one is."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from typing import Self, assert_never

from domain.account import ReconciliationRequested
from domain.driver_link import DriftFound, DriverLink, Explained
from domain.identity import AccountId, Key, PortalDriverId, Target, account_stream, reconciliation_stream
from domain.reconciliation import Finding, ReconciliationCompleted, ReconciliationRefused, finding_of, found_by
from domain.store import Store, Where
from services.accounts.handlers import Asker
from services.api.installation import Installation
from services.api.naming import NamedTarget, driver_named, number_named, target_named
from services.api.readiness import hindrance_of_reconciliation, readiness_of
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import ByPerson, Moment, Named, ResponseBody
from services.decider.batch import load_links
from services.decider.read_models import (
    DesiredRow,
    LinkRow,
    ReconciliationRow,
    desired_of,
    parked_for,
)

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
