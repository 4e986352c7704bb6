"""Sweeps: what begins with a complete walk, how it is counted while it goes on, and how it ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from domain.account import Account, Mode, SweepRequested
from domain.driver_link import DriverLink
from domain.event import Event
from domain.identity import AccountId, PortalDriverId, Target, sweep_stream
from domain.outcomes import WalkCompleted
from domain.reconciliation import Finding, SweepCompleted, SweepRefused, finding_of
from domain.store import Store, Unit, Where
from services.accounts.handlers import accounts_of
from services.decider.batch import Desk
from services.decider.read_models import CatchUp, SweepRow, WishRow, stray_marks

_TOGETHER = 10
"""Sweeps that are read together, where the next one to go on with is looked for."""


class SweepOrigin(TypedDict):
    """The fields that every fact about a sweep starts with."""

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str
    target: str
    request: int
    walk: int


def begun(store: Store, reports: Iterable[Event]) -> Iterator[CatchUp]:
    """The sweeps that begin, or begin anew, with these walks. Raises `StoreFailed`."""
    walks = [report for report in reports if isinstance(report, WalkCompleted)]
    if not walks:
        return
    where = {"account": sorted({walk.account for walk in walks})}
    accounts = accounts_of(store, where["account"])
    last = {(row.account, row.target): row for row in store.select(SweepRow, where)}
    in_hand = {(row.account, row.target): row for row in store.select(CatchUp, where)}
    for walk in walks:
        place = walk.account, walk.target
        request = _request(walk, last.get(place), in_hand.get(place))
        if _is_superseded(request, walk, accounts.get(walk.account)):
            continue
        begun_now = _begun(walk, request, accounts.get(walk.account), last.get(place))
        if not _is_by_its_plan(in_hand.get(place), begun_now):
            in_hand[place] = begun_now
            yield begun_now


def _request(walk: WalkCompleted, last: SweepRow | None, running: CatchUp | None) -> int:
    """The request that this sweep is for: of those before the walk the latest, unless a sweep was for it already."""
    latest = max(walk.request, running.request if running else 0)
    return latest if latest > (last.answered if last else 0) else 0


def _is_superseded(request: int, walk: WalkCompleted, account: Account | None) -> bool:
    """Whether there is a later request, so that by which plan this one had to go is not known any more.

    The later one has a walk of its own, with which its sweep begins.
    """
    return account is not None and 0 < request < account.sweeps.get(Target(walk.target), 0)


def _is_by_its_plan(running: CatchUp | None, begun_now: CatchUp) -> bool:
    """Whether the sweep in hand is for the same request, and what it does was found to be the plan.

    It goes on then: part of the plan is done, so that nothing could be found to be it any more.
    """
    if running is None or running.plan or not begun_now.plan:
        return False
    return (running.request, running.terms) == (begun_now.request, begun_now.terms)


def _begun(walk: WalkCompleted, request: int, account: Account | None, last: SweepRow | None) -> CatchUp:
    return CatchUp(
        account=walk.account,
        target=walk.target,
        sweep=last.version + 1 if last else 1,
        after=0,
        walk=walk.originator_version,
        terms=walk.terms,
        request=request,
        plan=_plan(account, Target(walk.target), request),
        drivers=walk.drivers,
        found={},
        drifted={},
        at_odds={},
    )


def _plan(account: Account | None, target: Target, request: int) -> str:
    """By which plan the sweep of a request has to go; another mode since then has made it void."""
    return account.plans.get(target, "") if account and account.sweeps.get(target) == request else ""


def bound(store: Store, events: Iterable[Event]) -> Iterator[CatchUp]:
    """The sweeps that had begun before their request was heard of, each with its plan. Raises `StoreFailed`."""
    for event in events:
        if isinstance(event, SweepRequested) and event.plan:
            place = {"account": event.account, "target": event.target}
            begun_before = store.select(CatchUp, {**place, "request": event.originator_version})
            yield from (replace(work, plan=event.plan) for work in begun_before)


def next_in_hand(store: Store, target: Target, behind: str, is_ours: Callable[[str], bool]) -> CatchUp | None:
    """The next sweep on this target that can go on now, of our accounts in the order of their names behind this one.

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


def _pages(store: Store, target: Target, behind: str) -> Iterator[list[CatchUp]]:
    """The sweeps on a target that go by no plan, of accounts behind this one, a few at a time."""
    where: Where = {"target": str(target), "plan": ""}
    while page := store.select(CatchUp, where, order_by="account", after=behind, limit=_TOGETHER):
        yield page
        behind = page[-1].account


def is_ahead(work: CatchUp, account: Account | None) -> bool:
    """Whether a sweep knows more of its account than we do."""
    target = Target(work.target)
    return account is None or work.terms > account.terms.get(target, 0) or work.request > account.sweeps.get(target, 0)


def counted(work: CatchUp, page: Sequence[WishRow], desk: Desk) -> CatchUp:
    """The sweep behind this page of wishes, which were decided at this desk."""
    found, drifted, at_odds = Counter(work.found), Counter(work.drifted), Counter(work.at_odds)
    for wish in page:
        link = desk.link(PortalDriverId(wish.driver))
        finding = finding_of(link, is_wanted=wish.is_wanted)
        found.update([str(finding)] if finding else [])
        if finding is Finding.DRIFTED:
            drifted.update(link.pending.fields if link.pending else [])
            at_odds.update(_at_odds(link, work.sweep))
    return replace(work, after=page[-1].position, found=dict(found), drifted=dict(drifted), at_odds=dict(at_odds))


def _at_odds(link: DriverLink, sweep: int) -> list[str]:
    return link.drift.at_odds if link.drift and link.drift.sweep == sweep else []


def completed(store: Store, work: CatchUp, now: datetime) -> Unit:
    """What is stored when everybody was looked at. Raises `StoreFailed`."""
    strays = len(stray_marks(store, work.account, Target(work.target)))
    found = {**work.found, str(Finding.STRAY): strays} if strays else work.found
    fact = SweepCompleted(
        **_origin(work, now),
        drivers=work.drivers,
        found=_sorted(found),
        drifted=_sorted(work.drifted),
        at_odds=_sorted(work.at_odds),
    )
    return _ended(store, work, fact)


def refused(store: Store, work: CatchUp, *, plan: str, would_be: str, now: datetime) -> Unit:
    """What is stored when the sweep had to go by a plan, and would be another one: it is over. Raises `StoreFailed`."""
    return _ended(store, work, SweepRefused(**_origin(work, now), plan=plan, would_be=would_be))


def dropped(store: Store, work: CatchUp, account: Account, now: datetime) -> Unit:
    """What is stored when a sweep cannot go on, because its account has other terms by now. Raises `StoreFailed`.

    The walk under the new terms begins another, for the same request. Where no walk follows, and where there was a
    plan, of which nobody has seen what it would be under these terms, whoever requested it is told that it is over.
    """
    if work.plan or (work.request and account.mode(Target(work.target)) is Mode.OFF):
        return refused(store, work, plan=work.plan, would_be="", now=now)
    unit = Unit()
    unit.remove(CatchUp, {"account": work.account, "target": work.target})
    return unit


def _origin(work: CatchUp, now: datetime) -> SweepOrigin:
    return {
        "originator_id": sweep_stream(AccountId(work.account), Target(work.target)),
        "originator_version": work.sweep,
        "at": now,
        "account": work.account,
        "target": work.target,
        "request": work.request,
        "walk": work.walk,
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _ended(store: Store, work: CatchUp, fact: SweepCompleted | SweepRefused) -> Unit:
    place = {"account": work.account, "target": work.target}
    last = next(iter(store.select(SweepRow, place)), None)
    unit = Unit()
    unit.events.append(fact)
    unit.remove(CatchUp, place)
    unit.keep([sweep_after(last, fact)])
    return unit


def sweep_after(last: SweepRow | None, fact: SweepCompleted | SweepRefused) -> SweepRow:
    """The row of the last sweep after this fact about one; `last` is the one before."""
    row = SweepRow(
        account=fact.account,
        target=fact.target,
        version=fact.originator_version,
        walk=fact.walk,
        request=fact.request,
        answered=max(fact.request, last.answered if last else 0),
        at=fact.at.isoformat(),
        is_refused=isinstance(fact, SweepRefused),
        drivers=0,
        found={},
        drifted={},
        at_odds={},
    )
    if isinstance(fact, SweepRefused):
        return row
    return replace(row, drivers=fact.drivers, found=fact.found, drifted=fact.drifted, at_odds=fact.at_odds)
