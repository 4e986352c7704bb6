"""Probes: whether the targets of open breakers answer again."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from domain.failures import OF_CREDENTIALS, CallFailure, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import AccountId
from domain.ports import TargetDrivers
from domain.store import StoreConflict
from services.projector.breaker import Breakers, is_probe_due
from services.projector.connections import Connecting
from services.projector.read_models import BreakerRow
from services.runtime.confining import own_trouble, stored_anyhow, unexpected_failure
from services.runtime.context import Clock
from services.runtime.service import Service

_TICK = 1.0
"""Seconds between two looks at what is due."""

_MOST_PROBES = 32
"""Probes under way at a time, over all accounts."""

LONGEST_PROBE = 30.0
"""Seconds after which a probe is given up: it is one small read, and others wait for its slot."""

_log = structlog.get_logger()


class Probing:
    """Probes the targets of open breakers: when it is time, or as soon as the account has other credentials."""

    def __init__(self, service: Service, breakers: Breakers, connect: Connecting, clock: Clock) -> None:
        self._service = service
        self._breakers = breakers
        self._connect = connect
        self._clock = clock
        self._limit = asyncio.Semaphore(_MOST_PROBES)
        self._last_reached: dict[AccountId, TargetDrivers | Rejected] = {}
        self._found_open: set[str] = set()
        self._under_way: set[AccountId] = set()

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for account in await self._service.call(self.due):
                    self._under_way.add(account)
                    group.create_task(self._probe_safely(account))
                await asyncio.sleep(_TICK)

    def reload(self) -> None:
        """Probe each open account once at once: its credentials may have changed while this process was away."""
        self._found_open = {*self._breakers.open_accounts()} - self._last_reached.keys()

    def due(self) -> Sequence[AccountId]:
        """The accounts to probe for now."""
        now = self._clock()
        open_now = {AccountId(row.account): (row, probe) for row, probe in self._breakers.open_with_probes()}
        self._last_reached = {account: last for account, last in self._last_reached.items() if account in open_now}
        return [
            account
            for account, (row, probe) in open_now.items()
            if account not in self._under_way and (self._has_changed(account, row) or is_probe_due(row, probe, now))
        ]

    async def probe(self, account: AccountId) -> bool:
        """Probe one account's target; whether it answers, and the breaker is closed."""
        drivers = await self._service.call(self._connect, account)
        has_other_credentials = drivers != self._last_reached.get(account)
        self._last_reached[account] = drivers
        self._found_open.discard(account)
        failure = drivers if isinstance(drivers, Rejected) else await _failure_of_probe(drivers, account)

        async def store(failure: CallFailure | None) -> bool:
            return await self._service.call(
                self._breakers.record_probe, account, failure, has_other_credentials=has_other_credentials
            )

        with suppress(StoreConflict):
            is_closed = await (store(None) if failure is None else stored_anyhow(store, failure))
            self._service.notify()
            return is_closed
        return False

    async def _probe_safely(self, account: AccountId) -> None:
        try:
            with own_trouble("probe is given up", account=account):
                async with self._limit:
                    await self.probe(account)
        finally:
            self._under_way.discard(account)

    def _has_changed(self, account: AccountId, row: BreakerRow) -> bool:
        """Whether the account reaches the target otherwise than at the last probe, as far as that is known."""
        if account in self._found_open:
            return True
        if row.reason not in OF_CREDENTIALS:
            return False
        drivers = self._connect(account)
        return drivers != self._last_reached.setdefault(account, drivers)


async def _failure_of_probe(drivers: TargetDrivers, account: AccountId) -> CallFailure | None:
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
