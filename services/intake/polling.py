"""Polls the Portal's API: reads the list of each account that has credentials there when it is due."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

import structlog

from domain.failures import LONGEST_WAIT, Reason, Rejected, TargetFailed, Unavailable, patience
from domain.identity import AccountId
from domain.ports import CredentialsUnreadable, PortalDrivers
from domain.store import StoreConflict, StoreFailed
from services.intake.handlers import SnapshotRefused
from services.intake.reading import ListReader, ListReading
from services.runtime.confining import own_trouble, unexpected_failure
from services.runtime.service import LeaderLock, Notifier, Troubles

LOOK: Final = 5.0
"""Seconds between looks for lists that are due; a notification brings the next one forward."""

_BATCH_WINDOW: Final = 0.5
"""Seconds after a notification before the next look, where looks are not wanted more often."""

MOST_READINGS: Final = 8
"""Lists that are read at a time."""

MOST_READINGS_IN_HAND: Final = 64
"""Lists that are read at a time, together with those that are slow."""

SLOW_READING: Final = 60.0
"""Seconds after which a reading counts as slow: another list may be read beside it."""

LONGEST_READING: Final = 1800.0
"""Seconds after which a reading is given up."""

_log = structlog.get_logger()


class Portals(Protocol):
    """The Portal, as each account reaches it."""

    def accounts(self) -> Sequence[AccountId]:
        """The accounts that have credentials there. Raises `CredentialsUnreadable`."""
        ...

    def has_changed(self, account: AccountId) -> bool:
        """Whether the account has other credentials than when it was reached last."""
        ...

    def to(self, account: AccountId) -> PortalDrivers | Rejected:
        """The Portal as this account reaches it, or why it cannot."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


class Polling:
    """Reads each account's list when it is due; one that is slow, or fails, does not hold up the others.

    With a `lock`, only the process that has it reads.
    """

    def __init__(
        self,
        reader: ListReader,
        *,
        portals: Portals,
        notifier: Notifier,
        lock: LeaderLock | None = None,
        look: float = LOOK,
        time: Callable[[], float] = monotonic,
    ) -> None:
        self._reader = reader
        self._service = reader.service
        self._portals = portals
        self._lock = lock
        self._notifier = notifier
        self._look = look
        self._time = time
        self._troubles = Troubles()
        self._under_way: dict[AccountId, float] = {}
        self._not_before: dict[AccountId, float] = {}

    async def run(self) -> None:
        """Work until cancelled; what a reading has taken over by then stays. Raises `StoreFailed`, in a group."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._keep_reading(group)
        finally:
            await self._portals.close()
            if self._lock:
                await self._service.call(self._lock.close)

    async def _keep_reading(self, group: asyncio.TaskGroup) -> None:
        waiter = self._notifier.waiter()
        while True:
            waiter.clear()
            for account in await self._service.call(self._due):
                self._under_way[account] = self._time()
                group.create_task(self._read(account))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look):
                    await waiter.wait()
            await asyncio.sleep(min(_BATCH_WINDOW, self._look))

    def _due(self) -> Sequence[AccountId]:
        """The accounts to read now, as many as may be read at a time."""
        if self._lock:
            if not self._lock.take():
                return ()
            self._lock.wait(0)
        try:
            due = self._due_of(self._portals.accounts())
        except CredentialsUnreadable as failure:
            self._troubles.met("no list is read", str(failure))
            return ()
        self._troubles.are_over()
        now = self._time()
        quick = sum(now - began < SLOW_READING for began in self._under_way.values())
        return due[: max(0, min(MOST_READINGS - quick, MOST_READINGS_IN_HAND - len(self._under_way)))]

    def _due_of(self, accounts: Sequence[AccountId]) -> Sequence[AccountId]:
        now = self._time()
        self._not_before = {account: moment for account, moment in self._not_before.items() if moment > now}
        idle = [each for each in accounts if each not in self._under_way and each not in self._not_before]
        waiting, since = self._reader.waiting() if idle else (frozenset[str](), dict[str, str]())
        due = [account for account in idle if account not in waiting or self._portals.has_changed(account)]
        return sorted(due, key=lambda account: since.get(account, ""))

    async def _read(self, account: AccountId) -> None:
        self._not_before[account] = self._time() + LONGEST_WAIT
        try:
            with own_trouble("reading is given up", account=account):
                portal = await self._reach(account)
                login = "" if isinstance(portal, Rejected) else portal.login
                reading = await self._service.call(self._reader.begin, account, login)
                if (failure := await self._attempt(reading, portal)) is not None:
                    await self._fail(reading, failure)
                del self._not_before[account]
        finally:
            self._under_way.pop(account, None)

    async def _reach(self, account: AccountId) -> PortalDrivers | Rejected:
        try:
            return await self._service.call(self._portals.to, account)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("account cannot be connected", account=account)
            detail = f"the account cannot be connected: unexpected {type(failure).__name__}; see the log"
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)

    async def _attempt(
        self, reading: ListReading, portal: PortalDrivers | Rejected
    ) -> Rejected | Unavailable | str | None:
        """Why the list could not be read, or does not count."""
        if isinstance(portal, Rejected):
            return portal
        try:
            await self._read_in_time(reading, portal)
        except TargetFailed as failed:
            return failed.failure
        except (SnapshotRefused, StoreConflict) as refused:
            return str(refused)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            return unexpected_failure(failure)
        return None

    async def _read_in_time(self, reading: ListReading, portal: PortalDrivers) -> None:
        try:
            async with asyncio.timeout(LONGEST_READING):
                await self._reader.read(reading, portal)
        except TimeoutError:
            detail = f"the list was not read within {LONGEST_READING / 60:.0f} minutes"
            raise TargetFailed(Unavailable(reason=Reason.DOWN, detail=detail)) from None

    async def _fail(self, reading: ListReading, failure: Rejected | Unavailable | str) -> None:
        words = failure if isinstance(failure, str) else f"{failure.reason}: {failure.detail}"
        wait = 0.0 if isinstance(failure, str) else patience(failure)
        try:
            is_news = await self._service.call(self._reader.fail, reading, words, wait)
        except StoreFailed:
            raise
        except Exception as unexpected:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("failure cannot be stored", account=reading.account)
            words = f"{Reason.DOWN}: {unexpected_failure(unexpected).detail}"
            is_news = await self._service.call(self._reader.fail, reading, words, wait)
        if is_news:
            _log.warning("list cannot be read", account=reading.account, trouble=words)
