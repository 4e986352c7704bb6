"""Reconciliations: what begins with a complete scan, how it is counted while it goes on, and how it ends."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from domain.account import Account, Mode, ReconciliationRequested, UndoRequested, scope_of
from domain.driver_link import DeleteHeld, LinkEvent, UndoRefused
from domain.identity import AccountId, PortalDriverId, Target, reconciliation_stream
from domain.outcomes import RosterScanned
from domain.reconciliation import Finding, ReconciliationCompleted, ReconciliationRefused, finding_of
from domain.store import Event, Store, Unit
from services.accounts.handlers import accounts_of
from services.decider.batch import Links
from services.decider.read_models import (
    DesiredRow,
    ReconciliationRow,
    RunningReconciliation,
    project_reconciliations,
    unmanaged_identifiers,
)
from services.runtime.read_models import projected


class ReconciliationOrigin(TypedDict):
    """The fields that every fact about a reconciliation starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    target: str
    request: int
    scan: int


def begun(store: Store, scans: Sequence[RosterScanned]) -> Iterator[RunningReconciliation]:
    """The reconciliations that begin, or begin again, with these scans. Raises `StoreFailed`."""
    where = {"account": sorted({scan.account for scan in scans})}
    accounts = accounts_of(store, where["account"])
    last = {(row.account, row.target): row for row in store.select(ReconciliationRow, where)}
    in_hand = {(row.account, row.target): row for row in store.select(RunningReconciliation, where)}
    for scan in scans:
        place = scan.account, scan.target
        begun_now = _begun(scan, accounts.get(scan.account), last.get(place), in_hand.get(place))
        if begun_now:
            in_hand[place] = begun_now
            yield begun_now


def _begun(
    scan: RosterScanned,
    account: Account | None,
    last: ReconciliationRow | None,
    running: RunningReconciliation | None,
) -> RunningReconciliation | None:
    """The reconciliation that begins with a scan; None if another one goes on, or begins later, in its place."""
    # It is for the latest request before the scan, unless a reconciliation was for that already.
    request = max(scan.request, running.request if running else 0)
    request = request if request > (last.answered if last else 0) else 0
    newest = account.reconciliations.get(Target(scan.target)) if account else None
    if newest and 0 < request < newest:
        # By which plan this one had to go is not known any more; the later request has a scan of its own.
        return None
    # Another mode since the request has made its plan void.
    is_newest = account is not None and request == newest
    plan = account.plans.get(Target(scan.target), "") if account and is_newest else ""
    undo = account.undos.get(Target(scan.target)) if account and is_newest else None
    is_same = running and (running.request, running.policy_generation) == (request, scan.policy_generation)
    if running and plan and is_same and not running.plan:
        # The one in hand was found to do what this plan says, and part of that is done: it goes on.
        return None
    return RunningReconciliation(
        account=scan.account,
        target=scan.target,
        reconciliation=last.version + 1 if last else 1,
        after=0,
        scan=scan.originator_version,
        policy_generation=scan.policy_generation,
        request=request,
        plan=plan,
        drivers=scan.drivers,
        found={},
        drifted={},
        at_odds={},
        undo=asdict(undo) if undo else None,
    )


def bound(store: Store, events: Iterable[Event]) -> Iterator[RunningReconciliation]:
    """The reconciliations that began before their request was consumed here, each with its plan.

    Raises `StoreFailed`.
    """
    for event in events:
        if isinstance(event, ReconciliationRequested) and event.plan:
            place = {"account": event.account, "target": event.target}
            begun_before = store.select(RunningReconciliation, {**place, "request": event.originator_version})
            undo = asdict(scope_of(event)) if isinstance(event, UndoRequested) else None
            yield from (replace(work, plan=event.plan, undo=undo) for work in begun_before)


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
            if link.drift and link.drift.reconciliation == work.reconciliation:
                at_odds.update(link.drift.at_odds)
    return replace(work, after=page[-1].position, found=dict(found), drifted=dict(drifted), at_odds=dict(at_odds))


def undone(
    work: RunningReconciliation, page: Sequence[DesiredRow], events: Sequence[LinkEvent]
) -> RunningReconciliation:
    """The same of one that undoes something, by what was decided of this page."""
    found = Counter(work.found)
    refused = {event.driver for event in events if isinstance(event, UndoRefused)}
    held = {event.driver for event in events if isinstance(event, DeleteHeld)}
    done = {event.driver for event in events} - refused - held
    found.update({str(Finding.UNDONE): len(done), str(Finding.NOT_UNDONE): len(refused), str(Finding.HELD): len(held)})
    return replace(work, after=page[-1].position, found=dict(+found))


def completed(store: Store, work: RunningReconciliation, now: datetime) -> Unit:
    """What is stored when every driver was looked at. Raises `StoreFailed`."""
    unmanaged = 0 if work.undo else len(unmanaged_identifiers(store, work.account, Target(work.target)))
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
    unit = projected(store, project_reconciliations, [(0, fact)])
    unit.events.append(fact)
    unit.remove(RunningReconciliation, {"account": work.account, "target": work.target})
    return unit
