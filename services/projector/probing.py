"""Probes: whether the targets of open breakers answer again."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from domain.failures import CallFailure, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import AccountId
from domain.ports import TargetDrivers
from domain.storing import StoreConflict
from services.projector.admission import Connecting
from services.projector.breaker import Breakers, Waiting
from services.runtime.clock import Clock
from services.runtime.confining import own_trouble, stored_anyhow, unexpected_failure
from services.runtime.service import Service

_TICK = 1.0
"""Seconds between two looks at what is due."""

_MOST_PROBES = 32
"""Probes under way at a time, over all accounts."""

LONGEST_PROBE = 30.0
"""Seconds after which a probe is given up: it is one small read, and others wait for its place."""

_log = structlog.get_logger()


class Probing:
    """Asks the targets of open breakers whether they answer: when it is time, or there are other credentials."""

    def __init__(self, service: Service, breakers: Breakers, connect: Connecting, clock: Clock) -> None:
        self._service = service
        self._breakers = breakers
        self._connect = connect
        self._clock = clock
        self._limit = asyncio.Semaphore(_MOST_PROBES)
        self._asked: dict[AccountId, TargetDrivers | Rejected] = {}
        self._found_open: set[str] = set()
        self._under_way: set[AccountId] = set()

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for account in await self._service.call(self.due):
                    self._under_way.add(account)
                    group.create_task(self._probe_once(account))
                await asyncio.sleep(_TICK)

    def look_anew(self) -> None:
        """Somebody may have come by other accounts, or credentials, while nobody asked: ask once for each at once."""
        self._found_open = {*self._breakers.are_open()} - self._asked.keys()

    def due(self) -> Sequence[AccountId]:
        """The accounts that have to be asked for now."""
        now = self._clock()
        waiting = {AccountId(each.probe.account): each for each in self._breakers.waiting()}
        self._asked = {account: drivers for account, drivers in self._asked.items() if account in waiting}
        free = [(account, each) for account, each in waiting.items() if account not in self._under_way]
        return [account for account, each in free if self._has_changed(account, each) or each.is_time(now)]

    async def probe(self, account: AccountId) -> bool:
        """Ask one account's target; whether it answers, and the breaker is closed."""
        drivers = await self._service.call(self._connect, account)
        is_anew = drivers != self._asked.get(account)
        self._asked[account] = drivers
        self._found_open.discard(account)
        failure = drivers if isinstance(drivers, Rejected) else await _failure_of(drivers, account)

        async def store(told: CallFailure | None) -> bool:
            return await self._service.call(self._breakers.probed, account, told, is_anew=is_anew)

        with suppress(StoreConflict):
            is_closed = await (store(None) if failure is None else stored_anyhow(store, failure))
            self._service.ring()
            return is_closed
        return False

    async def _probe_once(self, account: AccountId) -> None:
        try:
            with own_trouble("probe is given up", account=account):
                async with self._limit:
                    await self.probe(account)
        finally:
            self._under_way.discard(account)

    def _has_changed(self, account: AccountId, waiting: Waiting) -> bool:
        """Whether the account reaches the target otherwise than when it was asked last, as far as that is known."""
        if account in self._found_open:
            return True
        if not waiting.is_of_credentials:
            return False
        drivers = self._connect(account)
        return drivers != self._asked.setdefault(account, drivers)


async def _failure_of(drivers: TargetDrivers, account: AccountId) -> CallFailure | None:
    try:
        async with asyncio.timeout(LONGEST_PROBE):
            await drivers.probe()
    except TimeoutError:
        return Unavailable(reason=Reason.DOWN, detail=f"no answer to a probe within {LONGEST_PROBE:.0f} seconds")
    except TargetFailed as failed:
        return failed.failure
    except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
        _log.exception("probe failed unexpectedly", account=account)
        return unexpected_failure(failure)
    return None
