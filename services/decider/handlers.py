"""What the decider makes of each stream that it follows, and of what it has to look at again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain

from domain import releasing
from domain.account import Account, DeletesApproved, DeletesJudged, Mode
from domain.event import Event
from domain.guard import has_expired
from domain.identity import AccountId, Target
from domain.portal import Change
from domain.report import CallAnswered, DriverLookedUp, ReportEvent
from domain.storing import Row, Store, Unit
from services.accounts.read_models import AccountRow, accounts_of, keep_accounts, to_account
from services.decider import sweeps
from services.decider.desk import Desk, store_desks
from services.decider.loading import Docket, given_up, load_ledgers, load_links, looks_at_claimants
from services.decider.matters import Matter, Occasion, cause_on, judging, recording, to_matter
from services.decider.read_models import CatchUp, Look, Retry, WalkRow, WishRow, to_wish_row, wish_of
from services.decider.retries import next_page, retries, retries_after_outages
from services.decider.setbacks import Setbacks, Work
from services.decider.sightings import Place, RosterChanges, keep_outages, keep_rosters, keep_walks, roster_changes
from services.runtime.clock import Clock
from services.runtime.share import Share

_PAGE = 500

_TOGETHER = 10
"""Pieces of work that are read together, where the next one to go on with is looked for."""


class Decider:
    """The decider service: the only place where decisions are made; writes `driver-links.decisions.v1`."""

    def __init__(self, store: Store, clock: Clock, share: Share) -> None:
        self._store = store
        self._clock = clock
        self._share = share
        self._nothing_waits: dict[type[Row], frozenset[int]] = {}
        self._behind: dict[type[Row], str] = {}
        self._went_on = dict.fromkeys(Target, "")
        self._no_plans: frozenset[int] | None = None
        self._setbacks = Setbacks(clock)

    def on_accounts(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Take over accounts; carry out what people said of held deletes."""
        unit = keep_accounts(self._store, (event for _, event in events))
        accounts = {row.account: to_account(row) for row in unit.rows.values() if isinstance(row, AccountRow)}
        unit.keep(retries(event for _, event in events))
        unit.keep(sweeps.bound(self._store, (event for _, event in events)))
        now = self._clock()
        judged = [event for _, event in events if isinstance(event, DeletesJudged)]
        self._decide(unit, self._judgements(judged, accounts, now), now)
        return unit

    def on_changes(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Keep what the Portal wants, whether sync is on or off; decide each change where it is."""
        unit, now = Unit(), self._clock()
        rows = [to_wish_row(event, position) for position, event in events if isinstance(event, Change)]
        unit.keep(rows)
        accounts = accounts_of(self._store, (row.account for row in rows))
        ready = self._ready(accounts)
        self._decide(unit, self._changes(rows, accounts, ready, now), now)
        return unit

    def on_reports(self, events: Sequence[tuple[int, Event]]) -> Unit:
        """Take over what the targets showed; record each answer on its link, and decide again."""
        now = self._clock()
        reports = [event for _, event in events if isinstance(event, ReportEvent)]
        unit, rosters = keep_walks(reports), roster_changes(reports)
        unit.add(keep_rosters(rosters))
        unit.add(keep_outages(reports))
        unit.keep(sweeps.begun(self._store, reports))
        unit.keep(retries_after_outages(reports))
        answers = [event for event in reports if isinstance(event, CallAnswered)]
        unit.keep(looks_at_claimants(self._store, given_up(self._store, roster_changes(answers))))
        looked_up = [event for event in reports if isinstance(event, DriverLookedUp) and not event.reason]
        self._decide(unit, chain(self._answers(answers, now), self._looked_up(looked_up, now)), now, rosters)
        return unit

    def look_again(self) -> int:
        """Decide links for which something came free; how many."""
        looks = self._in_hand(Look, _PAGE)
        done = self._setbacks.confine(looks, self._look_again) if looks else 0
        self._behind[Look] = looks[-1].account if looks else ""
        return done

    def _look_again(self, looks: Sequence[Look]) -> int:
        unit, now = Unit(), self._clock()
        for look in looks:
            unit.remove(Look, {"account": look.account, "target": look.target, "driver": look.driver})
        places = [(AccountId(look.account), Target(look.target), look.driver) for look in looks]
        self._decide(unit, self._again(places, Occasion(kind="freed", rule=releasing.look_at_freed), now), now)
        return self._commit(unit, len(looks))

    def catch_up(self) -> int:
        """Go on with a sweep: decide the next page of an account's wishes, or end it behind the last; how many.

        The targets take turns, and on each the accounts, so that nobody waits for the end of a large fleet.
        """
        work = self._next_sweep()
        return self._setbacks.confine([work], self._go_on) if work else 0

    def _go_on(self, works: Sequence[CatchUp]) -> int:
        (work,) = works
        account, now = accounts_of(self._store, [work.account])[work.account], self._clock()
        if (account.account, Target(work.target)) not in self._ready({work.account: account}):
            return self._commit(sweeps.dropped(self._store, work, account, now), 1)
        where = {"account": work.account}
        page = self._store.select(WishRow, where, order_by="position", after=work.after, limit=_PAGE)
        if not page:
            return self._commit(sweeps.completed(self._store, work, now), 1)
        return self._commit(self._swept(work, page, now), len(page))

    def _next_sweep(self) -> CatchUp | None:
        """The next sweep that can go on: where both targets have one, on each by turns."""
        if self._nothing_waits.get(CatchUp) is self._share.held:
            return None
        for target, behind in [*self._went_on.items()]:
            if work := sweeps.next_in_hand(self._store, target, behind, partial(self._may_work, CatchUp)):
                del self._went_on[target]
                self._went_on[target] = work.account
                return work
        self._in_hand(CatchUp, _TOGETHER)
        return None

    def _swept(self, work: CatchUp, page: Sequence[WishRow], now: datetime) -> Unit:
        unit, target = Unit(), Target(work.target)
        occasion = Occasion(kind="walk", ref=str(work.walk), sweep=work.sweep)
        matters = self._again([(AccountId(row.account), target, row.driver) for row in page], occasion, now)
        (desk,) = self._decide(unit, matters, now)
        unit.keep([sweeps.counted(work, page, desk)])
        return unit

    def retry(self) -> int:
        """Look again at the next page of parked links that are to be retried; how many."""
        in_hand = self._in_hand(Retry, _TOGETHER)
        if not in_hand:
            return 0
        self._behind[Retry] = in_hand[0].account
        return self._setbacks.confine(in_hand[:1], self._retry)

    def _retry(self, works: Sequence[Retry]) -> int:
        (work,) = works
        unit, now = Unit(), self._clock()
        places = next_page(self._store, work, unit)
        occasion = Occasion(kind=work.cause, ref=work.ref, rule=releasing.look_again)
        self._decide(unit, self._again(places, occasion, now), now)
        return self._commit(unit, len(places) or 1)

    def planned_accounts(self) -> list[str]:
        """The accounts of our share for which a sweep is in hand that has to go by a plan."""
        held = self._share.held
        if self._no_plans is held:
            return []
        in_hand = self._store.count(CatchUp, by=["account", "plan"])
        planned = sorted({str(account) for account, plan in in_hand if plan and self._share.has(str(account))})
        self._no_plans = None if planned else held
        return planned

    def _in_hand(self, work: type[Work], limit: int) -> list[Work]:
        """The next work of this kind for accounts of our share, going round by the names of accounts.

        At most so many rows are read, unless others' accounts stand before ours. Only we put such work there, so where
        there was none is none until we do, or until our share is another.
        """
        held = self._share.held
        if self._nothing_waits.get(work) is held:
            return []
        for start in dict.fromkeys((self._behind.get(work, ""), "")):
            for page in self._pages(work, start, limit):
                if ours := [row for row in page if self._may_work(work, row.account)]:
                    return ours
        if not self._setbacks.are_there(work):
            self._nothing_waits[work] = held
        return []

    def _may_work(self, work: type[Row], account: str) -> bool:
        """Whether this work of an account is ours, and may be done now."""
        return self._share.has(account) and not self._setbacks.hold_up(work, account)

    def _pages(self, work: type[Work], behind: str, limit: int) -> Iterator[list[Work]]:
        """The work of accounts behind this one, with each page of accounts behind those of the page before."""
        while page := self._store.select(work, order_by="account", after=behind, limit=limit):
            yield page
            behind = page[-1].account

    def _commit(self, unit: Unit, done: int) -> int:
        if done:
            self._store.commit(unit)
        return done

    def _judgements(
        self, judged: Sequence[DeletesJudged], accounts: Mapping[str, Account], now: datetime
    ) -> Iterator[Matter]:
        for event in judged:
            if isinstance(event, DeletesApproved) and has_expired(event.at, now):
                continue
            account, target = accounts[event.account], Target(event.target)
            cause = cause_on(account, target, now, "approval", event.digest)
            holds = {str(driver): int(hold) for driver, hold in event.holds}
            for row in self._wishes((event.account, driver) for driver in holds):
                wish = wish_of(row, target)
                yield Matter(wish=wish, deciding=judging(event, wish, cause, holds[row.driver]))

    def _changes(
        self, rows: Sequence[WishRow], accounts: Mapping[str, Account], ready: set[Place], now: datetime
    ) -> Iterator[Matter]:
        for row in rows:
            for target in Target:
                if (AccountId(row.account), target) in ready:
                    cause = cause_on(accounts[row.account], target, now, "change", str(row.sequence))
                    yield to_matter(wish_of(row, target), cause)

    def _answers(self, answers: Sequence[CallAnswered], now: datetime) -> Iterator[Matter]:
        accounts = accounts_of(self._store, (answer.account for answer in answers))
        ready = self._ready(accounts)
        rows = self._wishes((answer.account, answer.driver) for answer in answers)
        wishes = {(row.account, row.driver): row for row in rows}
        for answer in answers:
            target = Target(answer.target)
            wish = wish_of(wishes[answer.account, answer.driver], target)
            cause = cause_on(accounts[answer.account], target, now, "answer", str(answer.decision))
            yield Matter(wish=wish, deciding=recording(answer, now))
            if (AccountId(answer.account), target) in ready:
                yield to_matter(wish, cause)

    def _looked_up(self, reports: Iterable[DriverLookedUp], now: datetime) -> Iterator[Matter]:
        for report in reports:
            place = AccountId(report.account), Target(report.target), report.driver
            yield from self._again([place], Occasion(kind="sweep", ref=str(report.request)), now)

    def _again(
        self, places: Sequence[tuple[AccountId, Target, str]], occasion: Occasion, now: datetime
    ) -> Iterator[Matter]:
        accounts = accounts_of(self._store, (account for account, _, _ in places))
        rows = self._wishes((account, driver) for account, _, driver in places)
        for account, target in sorted(self._ready(accounts)):
            drivers = {driver for name, each, driver in places if (name, each) == (account, target)}
            cause = cause_on(accounts[account], target, now, occasion.kind, occasion.ref, occasion.sweep)
            for row in sorted(rows, key=lambda row: row.position):
                if row.account == account and row.driver in drivers:
                    yield to_matter(wish_of(row, target), cause, occasion.rule)

    def _wishes(self, drivers: Iterable[tuple[str, str]]) -> list[WishRow]:
        """What the Portal last stated of these drivers, each named with its account, by one query."""
        wanted = sorted(set(drivers))
        return self._store.among(WishRow, ("account", "driver"), wanted) if wanted else []

    def _ready(self, accounts: Mapping[str, Account]) -> set[Place]:
        """Where decisions are made now: sync is on, and the roster was walked under the present terms."""
        walks = self._store.select(WalkRow, {"account": sorted(accounts)}) if accounts else []
        walked = {(walk.account, walk.target): walk.terms for walk in walks}
        return {
            (AccountId(name), target)
            for name, account in accounts.items()
            for target in Target
            if account.mode(target) is not Mode.OFF and walked.get((name, target)) == account.terms[target]
        }

    def _decide(
        self, unit: Unit, matters: Iterable[Matter], now: datetime, rosters: Mapping[Place, RosterChanges] | None = None
    ) -> list[Desk]:
        """Decide these matters in their order, at one desk for each account and target."""
        by_place: dict[Place, list[Matter]] = {}
        for matter in matters:
            by_place.setdefault((matter.wish.account, matter.wish.target), []).append(matter)
        dockets = self._dockets(by_place, rosters or {})
        ledgers = load_ledgers(self._store, dockets, now)
        desks = [Desk(place, docket.links, ledgers[place]) for place, docket in dockets.items()]
        for desk in desks:
            for matter in by_place[desk.place]:
                desk.decide(matter.wish, matter.deciding)
        store_desks(self._store, desks, unit)
        for work in {type(row) for row in unit.rows.values()} & self._nothing_waits.keys():
            del self._nothing_waits[work]
        if any(isinstance(row, CatchUp) and row.plan for row in unit.rows.values()):
            self._no_plans = None
        return desks

    def _dockets(
        self, matters: Mapping[Place, Sequence[Matter]], rosters: Mapping[Place, RosterChanges]
    ) -> dict[Place, Docket]:
        links = load_links(
            self._store, ((*place, matter.wish.driver) for place, each in matters.items() for matter in each)
        )
        return {
            place: Docket(
                wishes=[matter.wish for matter in each],
                links=links[place],
                roster=rosters.get(place) or RosterChanges(),
            )
            for place, each in matters.items()
        }
