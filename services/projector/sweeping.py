"""Walks rosters and looks drivers up when it is time, some at once, in the place that comes free next."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

import structlog

from domain.failures import CallFailure, ListWithoutEnd, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import AccountId, Target, walk_stream
from domain.ports import TargetDrivers
from domain.retrying import doubled, seldom, spread
from domain.storing import StoreConflict, StoreFailed
from services.projector.admission import Connecting
from services.projector.breaker import Breakers
from services.projector.looking_up import LookUps, look_up
from services.projector.read_models import LookUp
from services.projector.walker import ListNotWhole, RosterWithoutEnd, Walker
from services.projector.walking import Walk, Walks
from services.runtime.clock import Clock
from services.runtime.confining import own_trouble, stored_anyhow, unexpected_failure
from services.runtime.service import Bell, Service, rung

MOST_WALKS: Final = 4
"""Rosters that are read at a time, over all accounts; one of an account."""

MOST_WALKS_IN_HAND: Final = 32
"""The same together with those that wait because their target takes no calls just now."""

MOST_LOOK_UPS: Final = 4
"""The same of drivers who are looked up because somebody waits for it."""

MOST_LOOK_UPS_IN_HAND: Final = 32
"""The same together with those that are slow."""

SLOW_WALK: Final = timedelta(seconds=60)
"""After how long a walk gives its place back, and goes on beside the others."""

SLOW_LOOK_UP: Final = timedelta(seconds=10)
"""The same of a look-up."""

LONGEST_WALK: Final = 6 * 3600.0
"""Seconds after which a walk is given up; a roster of 100,000 takes half an hour at a call in two seconds."""

LONGEST_LOOK_UP: Final = 120.0
"""Seconds after which a look-up is given up: somebody waits for it."""

_TICK: Final = 1.0
"""Seconds between two looks at the clock, if no bell rings."""

_LINGER: Final = 0.1
"""Seconds after a ring: what else comes meanwhile is looked at together."""

_LOOK: Final = timedelta(seconds=5)
"""How long nothing is looked up at most while nobody tells of anything."""

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class _InHand:
    """Work for an account since a moment, and what it has read so far; `gives_way`: it ends for others."""

    began: datetime
    drivers: int = 0
    task: asyncio.Task[None] | None = None
    gives_way: bool = False

    def rate(self, now: datetime) -> float:
        """Drivers a second."""
        return self.drivers / max((now - self.began).total_seconds(), 1.0)

    def count(self, drivers: int) -> None:
        """So many have been read so far."""
        self.drivers = drivers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """A walk that failed so many times in a row, and is not made again before a moment."""

    walk: Walk
    tries: int
    not_before: datetime
    wait: timedelta

    def holds_up(self, walk: Walk, now: datetime) -> bool:
        """Whether this walk has to wait; one that was asked for since then is another."""
        is_same = (walk.terms, walk.request) == (self.walk.terms, self.walk.request)
        return is_same and now < self.not_before <= now + self.wait


class Sweeping:
    """One target's walks and look-ups."""

    def __init__(
        self,
        service: Service,
        target: Target,
        *,
        walks: Walks,
        look_ups: LookUps,
        breakers: Breakers,
        connect: Connecting,
        room: Callable[[AccountId], int],
        clock: Clock,
        bell: Bell,
    ) -> None:
        self._service = service
        self._target = target
        self._walks = walks
        self._walker = Walker(service, walks, clock)
        self._look_ups = look_ups
        self._breakers = breakers
        self._connect = connect
        self._room = room
        self._clock = clock
        self._bell = bell
        self._walking: dict[AccountId, _InHand] = {}
        self._looking_up: dict[AccountId, _InHand] = {}
        self._is_crowded = False
        self._failed: dict[AccountId, _Failed] = {}
        self._has_ended = False
        self._look_at = clock()

    async def run(self) -> None:
        """Work until cancelled."""
        waiter = self._bell.waiter()
        async with asyncio.TaskGroup() as group:
            while True:
                waiter.clear()
                if self._is_time():
                    await self._begin(group)
                await rung(waiter, _TICK)
                await asyncio.sleep(_LINGER)

    def take(self) -> tuple[Sequence[Walk], Sequence[LookUp]]:
        """The walks and look-ups to begin now, as far as there is a place for them."""
        self._has_ended = False
        for account in self._failed.keys() & self._breakers.are_open():
            del self._failed[AccountId(account)]
        now = self._clock()
        places = self._places(now)
        begun = [*islice(self._ready(now, has_failed=False), places)]
        begun += islice(self._ready(now, has_failed=True), places - len(begun))
        is_full = len(self._walking) >= MOST_WALKS_IN_HAND
        self._is_crowded = is_full and next(self._ready(now, has_failed=False), None) is not None
        look_ups = self._look_ups.due(self._looking_up, self._places_for_look_ups(now))
        self._look_at = self._next_look(now)
        return begun, look_ups

    async def walk(self, walk: Walk) -> None:
        """Read one roster, and store what comes of it."""
        try:
            await self._walk(walk, self._walking.get(walk.account) or _InHand(began=self._clock()))
        except TargetFailed as failed:
            await self._fail(walk, failed)
        except StoreConflict:
            self._put_off(walk)
            _log.info("walk is given up", account=walk.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("walk failed unexpectedly", account=walk.account, target=str(self._target))
            await self._fail(walk, TargetFailed(unexpected_failure(failure)))
        else:
            self._failed.pop(walk.account, None)

    async def look_up(self, row: LookUp) -> None:
        """Look one driver up, and store what comes of it."""
        try:
            async with asyncio.timeout(LONGEST_LOOK_UP):
                await self._look_up(row)
        except TargetFailed as failed:
            await self._fail_look_up(row, failed.failure)
        except TimeoutError:
            await self._fail_look_up(row, _down(f"no answer to a look-up within {LONGEST_LOOK_UP:.0f} seconds"))
        except StoreConflict:
            _log.info("look-up is given up", account=row.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("look-up failed unexpectedly", account=row.account, driver=row.driver)
            await self._fail_look_up(row, unexpected_failure(failure))

    def _is_time(self) -> bool:
        wait = self._look_at - self._clock()
        return self._has_ended or self._walks.agenda.has_changed or not timedelta() < wait <= _LOOK

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        walks, look_ups = await self._service.call(self.take)
        now = self._clock()
        for walk in walks:
            in_hand = self._walking[walk.account] = _InHand(began=now)
            in_hand.task = group.create_task(self._in_place(self._walking, walk.account, self.walk(walk)))
        for row in look_ups:
            account = AccountId(row.account)
            self._looking_up[account] = _InHand(began=now)
            group.create_task(self._in_place(self._looking_up, account, self.look_up(row)))
        if self._is_crowded:
            self._let_one_give_way(now)

    def _let_one_give_way(self, now: datetime) -> None:
        """Where every place is taken by walks that are slow, the slowest ends, to be made again after the others."""
        slow = [each for each in self._walking.values() if now - each.began >= SLOW_WALK and not each.gives_way]
        slowest = min(slow, key=lambda each: each.rate(now), default=None)
        if slowest and slowest.task:
            slowest.gives_way = True
            slowest.task.cancel()

    async def _in_place(
        self, places: dict[AccountId, _InHand], account: AccountId, work: Coroutine[object, object, None]
    ) -> None:
        try:
            with own_trouble("roster work is given up", account=account, target=str(self._target)):
                await work
        finally:
            places.pop(account, None)
            self._has_ended = True
            self._service.ring()

    def _places(self, now: datetime) -> int:
        """How many walks may begin now.

        Those that outwait a stop of their target hold up nobody else's, and neither do slow ones.
        """
        quick = [account for account, each in self._walking.items() if abs(now - each.began) < SLOW_WALK]
        reading = sum(self._room(account) > 0 for account in quick)
        return max(0, min(MOST_WALKS - reading, MOST_WALKS_IN_HAND - len(self._walking)))

    def _places_for_look_ups(self, now: datetime) -> int:
        quick = sum(abs(now - each.began) < SLOW_LOOK_UP for each in self._looking_up.values())
        return min(MOST_LOOK_UPS - quick, MOST_LOOK_UPS_IN_HAND - len(self._looking_up))

    def _ready(self, now: datetime, *, has_failed: bool) -> Iterator[Walk]:
        """The walks that may begin, with or without a failure before: whose fail come after all others."""
        in_turn = (walk for walk in self._walks.in_turn() if (walk.account in self._failed) is has_failed)
        return filter(lambda walk: self._may_begin(walk, now), in_turn)

    def _may_begin(self, walk: Walk, now: datetime) -> bool:
        failed = self._failed.get(walk.account)
        return walk.account not in self._walking and not (failed and failed.holds_up(walk, now))

    def _next_look(self, now: datetime) -> datetime:
        """When to look again though nobody has told of anything."""
        following = self._walks.agenda.next_moment()
        waiting = [failed.not_before for failed in self._failed.values() if failed.not_before > now]
        return min([now + _LOOK, *waiting, *([following] if following else [])])

    async def _walk(self, walk: Walk, in_hand: _InHand) -> None:
        try:
            async with asyncio.timeout(LONGEST_WALK):
                drivers = await self.reach(walk.account)
                await self._walker.walk(walk, drivers, in_hand.count)
        except TimeoutError:
            hours = LONGEST_WALK / 3600
            raise RosterWithoutEnd(_down(f"the roster was not read within {hours:g} hours")) from None
        except asyncio.CancelledError:
            if not in_hand.gives_way:
                raise
            _uncancel()
            minutes = (self._clock() - in_hand.began) // timedelta(minutes=1)
            told = f"the roster was not read within {minutes} minutes, and others had to wait"
            raise TargetFailed(_down(told)) from None

    async def _look_up(self, row: LookUp) -> None:
        if not await self._service.call(self._look_ups.is_wanted, row):
            await self._service.call(self._look_ups.turn_down, row)
            return
        newer = await self._service.call(self._look_ups.begin, row)
        found = await look_up(row, await self.reach(AccountId(row.account)))
        await self._service.call(self._look_ups.report, row, found, newer)

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it. Raises `TargetFailed`."""
        drivers = await self._service.call(self._connect, account)
        if isinstance(drivers, Rejected):
            raise TargetFailed(drivers)
        return drivers

    async def _fail(self, walk: Walk, failed: TargetFailed) -> None:
        is_answered = isinstance(failed, ListNotWhole)
        self._put_off(walk, waiting=seldom if isinstance(failed, RosterWithoutEnd | ListWithoutEnd) else doubled)

        async def store(told: CallFailure) -> bool:
            return await self._service.call(self._walks.fail, walk, told, got_through=is_answered)

        with suppress(StoreConflict):
            if await stored_anyhow(store, failed.failure):
                reason = str(failed.failure.reason)
                _log.warning("roster cannot be read", account=walk.account, target=str(self._target), reason=reason)

    async def _fail_look_up(self, row: LookUp, failure: CallFailure) -> None:
        reason = str(failure.reason)
        _log.warning("driver cannot be looked up", account=row.account, target=str(self._target), reason=reason)
        with suppress(StoreConflict):
            await stored_anyhow(partial(self._service.call, partial(self._look_ups.fail, row)), failure)

    def _put_off(self, walk: Walk, waiting: Callable[[int], float] = doubled) -> None:
        former = self._failed.get(walk.account)
        tries = former.tries if former else 0
        seconds = spread(waiting(tries), walk_stream(walk.account, self._target), tries)
        wait = timedelta(seconds=seconds)
        self._failed[walk.account] = _Failed(walk=walk, tries=tries + 1, not_before=self._clock() + wait, wait=wait)


def _down(detail: str) -> Unavailable:
    return Unavailable(reason=Reason.DOWN, detail=detail)


def _uncancel() -> None:
    """The task goes on: that it had to give way is over."""
    if task := asyncio.current_task():
        task.uncancel()
