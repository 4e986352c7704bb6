"""Walks rosters and looks drivers up when it is time, some at once, in the place that comes free next."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Final

import structlog

from domain.failures import CallFailure, Rejected, TargetFailed
from domain.identity import AccountId, Target, walk_stream
from domain.ports import TargetDrivers
from domain.retrying import doubled, spread
from domain.storing import StoreConflict, StoreFailed
from services.projector.admission import Connecting
from services.projector.breaker import Breakers
from services.projector.looking_up import LookUps, look_up
from services.projector.read_models import LookUp
from services.projector.walker import ListNotWhole, Walker
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

_TICK: Final = 1.0
"""Seconds between two looks at the clock, if no bell rings."""

_LINGER: Final = 0.1
"""Seconds after a ring: what else comes meanwhile is looked at together."""

_LOOK: Final = timedelta(seconds=5)
"""How long nothing is looked up at most while nobody tells of anything."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """A walk that failed so many times in a row, and is not made again before a moment."""

    walk: Walk
    tries: int
    not_before: datetime

    def holds_up(self, walk: Walk, now: datetime) -> bool:
        """Whether this walk has to wait; one that was asked for since then is another."""
        is_same = (walk.terms, walk.request) == (self.walk.terms, self.walk.request)
        return is_same and now < self.not_before


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
        self._walking: set[AccountId] = set()
        self._looking_up: set[AccountId] = set()
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
        walks = filter(lambda walk: self._may_begin(walk, now), self._walks.in_turn())
        begun = [*islice(walks, self._places())]
        look_ups = self._look_ups.due(self._looking_up, MOST_LOOK_UPS - len(self._looking_up))
        self._look_at = self._next_look(now)
        return begun, look_ups

    async def walk(self, walk: Walk) -> None:
        """Read one roster, and store what comes of it."""
        try:
            await self._walk(walk)
        except TargetFailed as failed:
            await self._fail(walk, failed.failure, got_through=isinstance(failed, ListNotWhole))
        except StoreConflict:
            self._put_off(walk)
            _log.info("walk is given up", account=walk.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("walk failed unexpectedly", account=walk.account, target=str(self._target))
            await self._fail(walk, unexpected_failure(failure))
        else:
            self._failed.pop(walk.account, None)

    async def look_up(self, row: LookUp) -> None:
        """Look one driver up, and store what comes of it."""
        try:
            await self._look_up(row)
        except TargetFailed as failed:
            await self._fail_look_up(row, failed.failure)
        except StoreConflict:
            _log.info("look-up is given up", account=row.account, target=str(self._target))
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("look-up failed unexpectedly", account=row.account, driver=row.driver)
            await self._fail_look_up(row, unexpected_failure(failure))

    def _is_time(self) -> bool:
        return self._has_ended or self._walks.agenda.has_changed or self._clock() >= self._look_at

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        walks, look_ups = await self._service.call(self.take)
        self._walking.update(walk.account for walk in walks)
        self._looking_up.update(AccountId(row.account) for row in look_ups)
        for walk in walks:
            group.create_task(self._in_place(self._walking, walk.account, self.walk(walk)))
        for row in look_ups:
            group.create_task(self._in_place(self._looking_up, AccountId(row.account), self.look_up(row)))

    async def _in_place(
        self, places: set[AccountId], account: AccountId, work: Coroutine[object, object, None]
    ) -> None:
        try:
            with own_trouble("roster work is given up", account=account, target=str(self._target)):
                await work
        finally:
            places.discard(account)
            self._has_ended = True
            self._service.ring()

    def _places(self) -> int:
        """How many walks may begin now: those that outwait a stop of their target hold up nobody else's."""
        reading = sum(self._room(account) > 0 for account in self._walking)
        return max(0, min(MOST_WALKS - reading, MOST_WALKS_IN_HAND - len(self._walking)))

    def _may_begin(self, walk: Walk, now: datetime) -> bool:
        failed = self._failed.get(walk.account)
        return walk.account not in self._walking and not (failed and failed.holds_up(walk, now))

    def _next_look(self, now: datetime) -> datetime:
        """When to look again though nobody has told of anything."""
        following = self._walks.agenda.next_moment()
        waiting = [failed.not_before for failed in self._failed.values() if failed.not_before > now]
        return min([now + _LOOK, *waiting, *([following] if following else [])])

    async def _walk(self, walk: Walk) -> None:
        drivers = await self.reach(walk.account)
        await self._walker.walk(walk, drivers)

    async def _look_up(self, row: LookUp) -> None:
        if not await self._service.call(self._look_ups.is_wanted, row):
            await self._service.call(self._look_ups.turn_down, row)
            return
        began = self._clock()
        found = await look_up(row, await self.reach(AccountId(row.account)), began)
        await self._service.call(self._look_ups.report, row, found)

    async def reach(self, account: AccountId) -> TargetDrivers:
        """The target as this account reaches it. Raises `TargetFailed`."""
        drivers = await self._service.call(self._connect, account)
        if isinstance(drivers, Rejected):
            raise TargetFailed(drivers)
        return drivers

    async def _fail(self, walk: Walk, failure: CallFailure, *, got_through: bool = False) -> None:
        self._put_off(walk)

        async def store(told: CallFailure) -> bool:
            return await self._service.call(self._walks.fail, walk, told, got_through=got_through)

        with suppress(StoreConflict):
            if await stored_anyhow(store, failure):
                reason = str(failure.reason)
                _log.warning("roster cannot be read", account=walk.account, target=str(self._target), reason=reason)

    async def _fail_look_up(self, row: LookUp, failure: CallFailure) -> None:
        reason = str(failure.reason)
        _log.warning("driver cannot be looked up", account=row.account, target=str(self._target), reason=reason)
        with suppress(StoreConflict):
            await stored_anyhow(partial(self._service.call, partial(self._look_ups.fail, row)), failure)

    def _put_off(self, walk: Walk) -> None:
        former = self._failed.get(walk.account)
        tries = former.tries if former else 0
        seconds = spread(doubled(tries), walk_stream(walk.account, self._target), tries)
        not_before = self._clock() + timedelta(seconds=seconds)
        self._failed[walk.account] = _Failed(walk=walk, tries=tries + 1, not_before=not_before)
