"""Reconciliations: what begins with a complete scan, how it is counted while it goes on, and how it ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from domain.account import Account, Mode, ReconciliationRequested
from domain.driver_link import DriverLink
from domain.identity import AccountId, PortalDriverId, Target, reconciliation_stream
from domain.outcomes import RosterScanned
from domain.reconciliation import Finding, ReconciliationCompleted, ReconciliationRefused, finding_of
from domain.store import Event, Store, Unit, Where
from services.accounts.handlers import accounts_of
from services.decider.batch import Links
from services.decider.read_models import DesiredRow, ReconciliationRow, RunningReconciliation
from services.decider.rosters import unmanaged_identifiers

_TOGETHER = 10
"""Reconciliations that are read together, where the next one to go on with is looked for."""


class ReconciliationOrigin(TypedDict):
    """The fields that every fact about a reconciliation starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    target: str
    request: int
    scan: int


def begun(store: Store, reports: Iterable[Event]) -> Iterator[RunningReconciliation]:
    """The reconciliations that begin, or begin again, with these scans. Raises `StoreFailed`."""
    scans = [report for report in reports if isinstance(report, RosterScanned)]
    if not scans:
        return
    where = {"account": sorted({scan.account for scan in scans})}
    accounts = accounts_of(store, where["account"])
    last = {(row.account, row.target): row for row in store.select(ReconciliationRow, where)}
    in_hand = {(row.account, row.target): row for row in store.select(RunningReconciliation, where)}
    for scan in scans:
        place = scan.account, scan.target
        request = _request(scan, last.get(place), in_hand.get(place))
        if _is_superseded(request, scan, accounts.get(scan.account)):
            continue
        begun_now = _begun(scan, request, accounts.get(scan.account), last.get(place))
        if not _is_by_its_plan(in_hand.get(place), begun_now):
            in_hand[place] = begun_now
            yield begun_now


def _request(scan: RosterScanned, last: ReconciliationRow | None, running: RunningReconciliation | None) -> int:
    """The request that this reconciliation is for.

    Of those before the scan the latest, unless a reconciliation was for it already.
    """
    latest = max(scan.request, running.request if running else 0)
    return latest if latest > (last.answered if last else 0) else 0


def _is_superseded(request: int, scan: RosterScanned, account: Account | None) -> bool:
    """Whether there is a later request, so that by which plan this one had to go is not known any more.

    The later one has a scan of its own, with which its reconciliation begins.
    """
    return account is not None and 0 < request < account.reconciliations.get(Target(scan.target), 0)


def _is_by_its_plan(running: RunningReconciliation | None, begun_now: RunningReconciliation) -> bool:
    """Whether the reconciliation in hand is for the same request, and what it does was found to be the plan.

    It goes on then: part of the plan is done, so that nothing could be found to be it any more.
    """
    if running is None or running.plan or not begun_now.plan:
        return False
    return (running.request, running.policy_generation) == (begun_now.request, begun_now.policy_generation)


def _begun(
    scan: RosterScanned, request: int, account: Account | None, last: ReconciliationRow | None
) -> RunningReconciliation:
    return RunningReconciliation(
        account=scan.account,
        target=scan.target,
        reconciliation=last.version + 1 if last else 1,
        after=0,
        scan=scan.originator_version,
        policy_generation=scan.policy_generation,
        request=request,
        plan=_plan(account, Target(scan.target), request),
        drivers=scan.drivers,
        found={},
        drifted={},
        at_odds={},
    )


def _plan(account: Account | None, target: Target, request: int) -> str:
    """By which plan the reconciliation of a request has to go; another mode since then has made it void."""
    return account.plans.get(target, "") if account and account.reconciliations.get(target) == request else ""


def bound(store: Store, events: Iterable[Event]) -> Iterator[RunningReconciliation]:
    """The reconciliations that had begun before their request was heard of, each with its plan.

    Raises `StoreFailed`.
    """
    for event in events:
        if isinstance(event, ReconciliationRequested) and event.plan:
            place = {"account": event.account, "target": event.target}
            begun_before = store.select(RunningReconciliation, {**place, "request": event.originator_version})
            yield from (replace(work, plan=event.plan) for work in begun_before)


def next_in_hand(
    store: Store, target: Target, behind: str, is_ours: Callable[[str], bool]
) -> RunningReconciliation | None:
    """The next reconciliation on this target that can go on now.

    Of our accounts in the order of their names behind this one.

    One with a plan cannot before that is compared, and one that knows more of its account than we do has to wait. Only
    as many are read as are looked at. Raises `StoreFailed`.
    """
    for start in dict.fromkeys((behind, "")):
        for page in _pages(store, target, start):
            ours = [work for work in page if is_ours(work.account)]
            known = accounts_of(store, (work.account for work in ours))
            going_on = (work for work in ours if not is_ahead(work, known.get(work.account)))
            if found := next(going_on, None):
                return found
    return None


def _pages(store: Store, target: Target, behind: str) -> Iterator[list[RunningReconciliation]]:
    """The reconciliations on a target that go by no plan, of accounts behind this one, a few at a time."""
    where: Where = {"target": str(target), "plan": ""}
    while page := store.select(RunningReconciliation, where, order_by="account", after=behind, limit=_TOGETHER):
        yield page
        behind = page[-1].account


def is_ahead(work: RunningReconciliation, account: Account | None) -> bool:
    """Whether a reconciliation knows more of its account than we do."""
    target = Target(work.target)
    return (
        account is None
        or work.policy_generation > account.policy_generation.get(target, 0)
        or work.request > account.reconciliations.get(target, 0)
    )


def counted(work: RunningReconciliation, page: Sequence[DesiredRow], links: Links) -> RunningReconciliation:
    """The reconciliation behind this page of desired states, whose links stand so now."""
    found, drifted, at_odds = Counter(work.found), Counter(work.drifted), Counter(work.at_odds)
    for desired in page:
        link = links[PortalDriverId(desired.driver)]
        finding = finding_of(link, is_wanted=desired.is_wanted)
        found.update([str(finding)] if finding else [])
        if finding is Finding.DRIFTED:
            drifted.update(link.pending.fields if link.pending else [])
            at_odds.update(_at_odds(link, work.reconciliation))
    return replace(work, after=page[-1].position, found=dict(found), drifted=dict(drifted), at_odds=dict(at_odds))


def _at_odds(link: DriverLink, reconciliation: int) -> list[str]:
    return link.drift.at_odds if link.drift and link.drift.reconciliation == reconciliation else []


def completed(store: Store, work: RunningReconciliation, now: datetime) -> Unit:
    """What is stored when everybody was looked at. Raises `StoreFailed`."""
    unmanaged = len(unmanaged_identifiers(store, work.account, Target(work.target)))
    found = {**work.found, str(Finding.UNMANAGED): unmanaged} if unmanaged else work.found
    fact = ReconciliationCompleted(
        **_origin(work, now),
        drivers=work.drivers,
        found=_sorted(found),
        drifted=_sorted(work.drifted),
        at_odds=_sorted(work.at_odds),
    )
    return _ended(store, work, fact)


def refused(store: Store, work: RunningReconciliation, *, plan: str, would_be: str, now: datetime) -> Unit:
    """What is stored when the reconciliation had to go by a plan, and would be another one: it is over.

    Raises `StoreFailed`.
    """
    return _ended(store, work, ReconciliationRefused(**_origin(work, now), plan=plan, would_be=would_be))


def dropped(store: Store, work: RunningReconciliation, account: Account, now: datetime) -> Unit:
    """What is stored when a reconciliation cannot go on, because its account has another policy generation.

    Raises `StoreFailed`.

    The scan under the new one begins another, for the same request. Where no scan follows, and where there was a plan,
    which was not made under these rules, it is recorded as refused, so that the person who requested it sees its end.
    """
    if work.plan or (work.request and account.mode(Target(work.target)) is Mode.OFF):
        return refused(store, work, plan=work.plan, would_be="", now=now)
    unit = Unit()
    unit.remove(RunningReconciliation, {"account": work.account, "target": work.target})
    return unit


def _origin(work: RunningReconciliation, now: datetime) -> ReconciliationOrigin:
    return {
        "originator_id": reconciliation_stream(AccountId(work.account), Target(work.target)),
        "originator_version": work.reconciliation,
        "at": now,
        "account": work.account,
        "target": work.target,
        "request": work.request,
        "scan": work.scan,
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _ended(store: Store, work: RunningReconciliation, fact: ReconciliationCompleted | ReconciliationRefused) -> Unit:
    place = {"account": work.account, "target": work.target}
    last = next(iter(store.select(ReconciliationRow, place)), None)
    unit = Unit()
    unit.events.append(fact)
    unit.remove(RunningReconciliation, place)
    unit.keep([reconciliation_after(last, fact)])
    return unit


def reconciliation_after(
    last: ReconciliationRow | None, fact: ReconciliationCompleted | ReconciliationRefused
) -> ReconciliationRow:
    """The row of the last reconciliation after this fact about one; `last` is the one before."""
    row = ReconciliationRow(
        account=fact.account,
        target=fact.target,
        version=fact.originator_version,
        scan=fact.scan,
        request=fact.request,
        answered=max(fact.request, last.answered if last else 0),
        at=fact.at.isoformat(),
        is_refused=isinstance(fact, ReconciliationRefused),
        drivers=0,
        found={},
        drifted={},
        at_odds={},
    )
    if isinstance(fact, ReconciliationRefused):
        return row
    return replace(row, drivers=fact.drivers, found=fact.found, drifted=fact.drifted, at_odds=fact.at_odds)
