"""Walks of a target's roster: what differs from what was known is reported, then that the walk is complete."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from domain.failures import CallFailure
from domain.identity import AccountId, Key, Target
from domain.report import WalkCompleted, WalkFailed
from domain.roster import TargetDriver, UnreadableRecord, UnreadableRecords
from domain.storing import Store, StoreConflict, Unit, Where
from services.projector.agenda import Agenda, Coming
from services.projector.breaker import Breakers
from services.projector.freshness import Freshness, Newer
from services.projector.known import walk_after
from services.projector.read_models import Reading, RosterRow, WishedRow
from services.projector.sighting import Sightings
from services.projector.sign import Sign
from services.runtime.clock import Clock
from services.runtime.share import Share

PAGE = 500
"""Drivers whose rows are held at a time."""

MOST_UNREADABLE_TOLD = 20
"""Records that could not be read of which a report tells more than how many they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """One walk of an account's roster, under the terms, and after the request, that asked for it.

    `newer` are those of whom others have reported since it began; `began` is for people to read only.
    """

    account: AccountId
    terms: int
    request: int
    began: datetime
    newer: Newer = field(default_factory=Newer, compare=False, repr=False)


class Walks:
    """Which walks are due, and what a walk stores."""

    def __init__(
        self, store: Store, target: Target, clock: Clock, share: Share, breakers: Breakers, freshness: Freshness
    ) -> None:
        self.agenda = Agenda(store, target, clock, share)
        self._store = store
        self._clock = clock
        self._share = share
        self._breakers = breakers
        self._freshness = freshness
        self._sightings = Sightings(store, target, clock)

    def due(self) -> list[Walk]:
        """The walks that are due, of accounts of our share that get through; those first that are to be first."""
        return [*self.in_turn()]

    def in_turn(self) -> Iterator[Walk]:
        """The same one by one, so that nobody has to look at more than are begun."""
        unreachable = self._breakers.are_open()
        ready = (coming for coming in self.agenda.due() if coming.account not in unreachable)
        return map(self._to_walk, (coming for coming in ready if self._share.has(coming.account)))

    def look_anew(self) -> None:
        """Forget what was known of walks to come, and of those that were under way before."""
        self.agenda.look_anew()
        unit = Unit()
        for row in self._store.select(Reading):
            if self._share.has(row.account):
                unit.remove(Reading, {"account": row.account})
        self._store.commit(unit)

    def take_page(self, walk: Walk, page: Sequence[TargetDriver]) -> int:
        """Report what this page shows otherwise than it was known; how much of it was known so."""
        unit = Unit()
        as_known = self._sightings.add_seen(unit, walk.account, page, walk.newer)
        if unit.events:
            self._commit(walk, unit)
        return as_known

    def expected(self, walk: Walk) -> int:
        """How many drivers we know in the Portal: those of whom anything was ever decided."""
        return self._store.count(WishedRow, {"account": str(walk.account)}).get((), 0)

    def last_event(self) -> int:
        """The position of what was stored last."""
        return self._store.log.end()

    def is_nobody_lacking(self, walk: Walk, as_known: int, last_event: int) -> bool:
        """Whether those who were shown as they were known are all who are known, because nothing was stored since."""
        where: Where = {"account": str(walk.account), "is_there": True}
        return self.last_event() == last_event and self._store.count(RosterRow, where) == {(): as_known}

    def tell_progress(self, walk: Walk, drivers: int) -> None:
        """Let others know how many drivers have been read so far."""
        unit = Unit()
        unit.keep([Reading(account=walk.account, began=walk.began.isoformat(), drivers=drivers)])
        self._commit(walk, unit)

    def known(self, walk: Walk, after: str | None) -> Sequence[RosterRow]:
        """A page of the account's drivers as they were last known, behind this key."""
        where: Where = {"account": str(walk.account)}
        return self._store.select(RosterRow, where, order_by="key", after=after, limit=PAGE)

    def take_gone(self, walk: Walk, keys: Sequence[Key]) -> None:
        """Report that these drivers, some at a time, are there no more."""
        unit = Unit()
        self._sightings.add_gone(unit, walk.account, keys, walk.newer)
        if unit.events:
            self._commit(walk, unit)

    def complete(self, walk: Walk, seen: Collection[Key], unreadable: UnreadableRecords | None = None) -> None:
        """Report that the whole roster was read, but for these records, and all was reported that follows."""
        last, unit = self._sightings.last_walk(walk.account), Unit()
        completed = WalkCompleted(
            **self._sightings.origin(last),
            terms=walk.terms,
            drivers=len(seen),
            request=walk.request,
            unreadable=len(unreadable or ()),
            unreadable_records=[_told(record) for record in islice(unreadable or (), MOST_UNREADABLE_TOLD)],
        )
        unit.events.append(completed)
        unit.keep([walk_after(last, completed)])
        self._end(walk, unit, None)

    def fail(self, walk: Walk, failure: CallFailure, *, got_through: bool = False) -> bool:
        """Report that the roster cannot be read, unless that is known; whether it is news.

        Where the target was got through to all the same, that says nothing against making calls.
        """
        last, unit = self._sightings.last_walk(walk.account), Unit()
        is_news = last.failure != failure.detail
        if is_news:
            origin = self._sightings.origin(last)
            failed = WalkFailed(**origin, terms=walk.terms, reason=str(failure.reason), detail=failure.detail)
            unit.events.append(failed)
            unit.keep([walk_after(last, failed)])
        self._end(walk, unit, None if got_through else failure)
        return is_news

    def _end(self, walk: Walk, unit: Unit, failure: CallFailure | None) -> None:
        sign = Sign(account=walk.account, subject=f"walk of {walk.began.isoformat()}", failure=failure)
        self._breakers.heed(unit, [sign])
        unit.remove(Reading, {"account": str(walk.account)})
        self._commit(walk, unit)
        self.agenda.heed([walk.account])

    def _commit(self, walk: Walk, unit: Unit) -> None:
        """Store what a walk saw; raises `StoreConflict` when the account has gone to another process meanwhile."""
        if not self._share.has(walk.account):
            raise StoreConflict(f"account {walk.account} is another process's now")
        self._freshness.note(unit.events, by=walk.newer)
        self._store.commit(unit)

    def _to_walk(self, coming: Coming) -> Walk:
        return Walk(
            account=coming.account,
            terms=coming.terms,
            request=coming.request,
            began=self._clock(),
            newer=self._freshness.begin(coming.account),
        )


def _told(record: UnreadableRecord) -> dict[str, str]:
    """What a report tells of a record: never what stands in it."""
    return {
        "place": record.place,
        "key": record.key,
        "fields": ", ".join(record.fields),
        "driver": "left out" if record.is_left_out else "shown",
    }
