"""Polls the Portal's API: reads the list of each account that has credentials there when it is due.

A list is read whole, and what follows from it is stored a page at a time.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Final, Protocol
from zlib import crc32

import structlog

from domain.failures import (
    LONGEST_PATIENCE,
    LONGEST_WAIT,
    Reason,
    Rejected,
    TargetFailed,
    Unavailable,
    patience,
    spread,
)
from domain.guard import IDENTIFYING
from domain.identity import AccountId, PortalDriverId, account_stream
from domain.ports import NO_ID, CredentialsUnreadable, PortalDrivers, PortalLine
from domain.store import Position, Store, StoreConflict, StoreFailed, Unit, Where
from services.intake.handlers import OF_A_READING, Intake, ReKeyings, SnapshotRefused, Taken
from services.intake.read_models import KnownDriver, ReadingRow, ShownDriver
from services.runtime.context import Clock
from services.runtime.service import LeaderLock, Notifier, Service, Troubles, own_trouble, unexpected_failure

MOST_LINES: Final = 150_000
"""Lines that a list may have, or twice as many as there are drivers known, where that is more."""

_API = "api"
_PART = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReading:
    """One reading of an account's list by a login; of those that overlap, the one that ends first counts.

    `is_first`: the account had no known driver when it began.
    """

    account: AccountId
    login: str
    number: int
    is_first: bool = False


@dataclass(slots=True, kw_only=True)
class _ReadSoFar:
    """What the pages of a list have had so far.

    The `ids` on its lines, the `drivers` that it shows, and the lines that are `refused`. It has stated identifiers of
    the drivers who are `identified`. What it states of others is set `aside` until its end.
    """

    ids: set[PortalDriverId] = field(default_factory=set)
    drivers: set[PortalDriverId] = field(default_factory=set)
    refused: list[PortalLine] = field(default_factory=list)
    identified: set[PortalDriverId] = field(default_factory=set)
    aside: list[PortalLine] = field(default_factory=list)


class ListReader:
    """Reads lists, each `every` seconds and a bit more, which differs between accounts.

    Attributes cost a call for each driver, so of a large fleet each reading gets only those of about `most_asked`
    drivers, and of those who are new.
    """

    def __init__(self, service: Service, clock: Clock, *, every: float, most_asked: int) -> None:
        self.service = service
        self._store = service.store
        self._intake = Intake(service.store, clock)
        self._rekeyings = ReKeyings(service.store, clock)
        self._clock = clock
        self._every = every
        self._most_asked = most_asked
        self._longest_wait = timedelta(seconds=max(LONGEST_PATIENCE, 2 * every))

    def waiting(self) -> tuple[frozenset[str], Mapping[str, str]]:
        """The accounts that are not to be read yet, and since when each of the others is to be read.

        A time that is further ahead than any wait is from a clock that was wrong, so it has come.
        """
        now = self._clock()
        moment, latest = now.isoformat(), (now + self._longest_wait).isoformat()
        rows = self._store.select(ReadingRow)
        ahead = frozenset(row.account for row in rows if moment < row.next_at <= latest)
        return ahead, {row.account: row.next_at for row in rows if row.account not in ahead}

    def begin(self, account: AccountId, login: str) -> ListReading:
        """The next reading of this account."""
        is_first = not self._store.select(KnownDriver, {"account": account, "is_there": True}, limit=1)
        number = self._store.position(_position_name(account)) + 1
        return ListReading(account=account, login=login, number=number, is_first=is_first)

    async def read(self, reading: ListReading, portal: PortalDrivers) -> None:
        """Read the list and store what follows.

        Raises `TargetFailed` and `SnapshotRefused`: then no driver is missed.
        """
        listed, so_far = await portal.list_all(), _ReadSoFar()
        known = await self.service.call(self._store.count, KnownDriver, {"account": reading.account, "is_there": True})
        most = max(MOST_LINES, 2 * known.get((), 0))
        if len(listed) > most:
            detail = (
                f"the list has {len(listed)} lines, and no more than {most} are believed: check what the login sees"
            )
            raise TargetFailed(Unavailable(reason=Reason.DOWN, detail=detail))
        parts = max(1, -(-len(listed) // self._most_asked))
        for page in listed.pages():
            lines = [line for line in page if line.driver == NO_ID or line.driver not in so_far.ids]
            new = await self.service.call(self._unknown, reading, {line.driver for line in lines})
            if portal.has_attributes:
                # Each reading gets the attributes of one part of a large fleet.
                part = reading.number % parts
                named = [line for line in lines if line.driver != NO_ID]
                asked = [line for line in named if line.driver in new or crc32(line.driver.encode()) % parts == part]
                stated = {line.driver: line for line in await portal.with_attributes(asked)}
                lines = [stated.get(line.driver, line) for line in lines]
            lines = [_named(line) if line.driver in new else line for line in lines]
            good = [line for line in lines if not line.flaw]
            so_far.refused += [line for line in lines if line.flaw]
            so_far.ids |= {line.driver for line in lines}
            taken = await self.service.call_again(self._store_page, reading, good)
            so_far.drivers |= taken.shown
            so_far.aside += taken.set_aside
            so_far.identified |= {line.driver for line in good if not IDENTIFYING.isdisjoint(line.profile.fields)}
            self.service.notify()
        await self.service.call_again(self._judge_rekeyings, reading, so_far)
        await self.service.call_again(self._finish, reading, so_far, lines=len(listed))
        self.service.notify()

    def _unknown(self, reading: ListReading, drivers: Collection[PortalDriverId]) -> set[PortalDriverId]:
        """Those of these drivers who were not stated yet, or are deleted."""
        where: Where = {"account": reading.account, "driver": sorted(drivers), "is_there": True}
        return {*drivers}.difference(row.driver for row in self._store.select(KnownDriver, where))

    def _store_page(self, reading: ListReading, lines: Sequence[PortalLine]) -> Taken:
        """Store a page of the list in one transaction; drivers who would be re-keyed are set aside until its end."""
        taken, unit = self._intake.taking(reading.account, lines, source=_API)
        new = {each.driver for each in taken.differences if each.is_new}
        # Where most are new though the account had known ones, they may be those under other ids.
        are_doubtful = not reading.is_first and len(new) > len(taken.shown) - len(new)
        rekeyed = {each.driver for each in taken.differences if each.is_rekeying}
        if aside := rekeyed | (new if are_doubtful else set()):
            taken, unit = self._intake.taking(reading.account, lines, source=_API, aside=aside)
        where: Where = {"account": reading.account, "driver": sorted(taken.shown), "login": reading.login}
        shown_before = {row.driver for row in self._store.select(ShownDriver, where)}
        unit.keep(
            ShownDriver(account=reading.account, driver=driver, login=reading.login)
            for driver in sorted(taken.shown.difference(shown_before))
        )
        if unit.events or unit.rows:
            self._store.commit(unit)
        return taken

    def _judge_rekeyings(self, reading: ListReading, so_far: _ReadSoFar) -> None:
        """Of those who were set aside, store the ones who may be re-keyed; the others wait for a person."""
        account = reading.account
        if not so_far.aside and not self._rekeyings.held(account):
            return
        found = self._intake.review(account, so_far.aside, source=_API).differences
        # A driver known by the RefID alone could not be found without it.
        unsaid = {each for each in so_far.drivers if each not in so_far.identified and not each.startswith("ref:")}
        absences = self._intake.absences(account, so_far.drivers)
        allowed = self._rekeyings.judge_reading(account, found, absences, unsaid=unsaid)
        for start in range(0, len(so_far.aside), _PART):
            part = [each for each in so_far.aside[start : start + _PART] if each.driver in allowed]
            taken, unit = self._intake.taking(account, part, source=_API)
            self._rekeyings.pass_through(account, taken.differences, unit)
            if unit.events or unit.rows:
                self._store.commit(unit)

    def _finish(self, reading: ListReading, so_far: _ReadSoFar, *, lines: int) -> None:
        """Store that the list, of this many lines, was read to its end.

        A driver that it lacks twice in a row is deleted, if this login has shown it before. Raises `SnapshotRefused`
        when the list showed no driver, lacks too many, or another reading has ended meanwhile.
        """
        where = {"account": reading.account, "login": reading.login}
        expected = {str(driver) for (driver,) in self._store.count(ShownDriver, where, by=["driver"])}
        if so_far.refused:
            # A refused line may be about any driver who is known by the RefID alone, and one without an id about any.
            has_unnamed = any(line.driver == NO_ID for line in so_far.refused)
            expected = {driver for driver in expected if not has_unnamed and not driver.startswith("ref:")}
        _, unit = self._intake.concluding(
            reading.account,
            so_far.drivers,
            source=_API,
            refused=so_far.refused,
            allowance=OF_A_READING,
            expected=expected,
        )
        refused, at = len(so_far.refused), self._clock().isoformat()
        unit.keep([replace(self._next(reading.account), at=at, drivers=lines, refused=refused)])
        unit.positions.append(Position(name=_position_name(reading.account), at=reading.number))
        if not self._store.commit(unit):
            raise SnapshotRefused("another reading of this list has ended meanwhile")

    def fail(self, account: AccountId, failure: str, retry_after: float = 0.0) -> bool:
        """Store why the list could not be read, or does not count; whether that is new.

        It is not read again for `retry_after` seconds, within bounds.
        """
        (row,) = self._store.select(ReadingRow, {"account": account}) or [self._next(account)]
        since = row.failing_since if row.failure else self._clock().isoformat()
        next_at = self._next(account, retry_after).next_at
        unit = Unit()
        unit.keep([replace(row, next_at=next_at, failure=failure, failing_since=since)])
        self._store.commit(unit)
        return row.failure != failure

    def _next(self, account: AccountId, retry_after: float = 0.0) -> ReadingRow:
        now = self._clock()
        regular = spread(self._every, account_stream(account), int(now.timestamp()))
        wait = max(regular, min(retry_after, LONGEST_PATIENCE))
        return ReadingRow(account=account, next_at=(now + timedelta(seconds=wait)).isoformat())


def forget(store: Store, account: AccountId) -> None:
    """Remove how an account's list was read: the account is not connected to the Portal any more."""
    unit = Unit()
    unit.remove(ReadingRow, {"account": account})
    store.commit(unit)


def _position_name(account: AccountId) -> str:
    return f"readings/{account}"


def _named(line: PortalLine) -> PortalLine:
    """The line of a driver who is not known yet, with a flaw if it lacks a name."""
    lacking = next((field for field in ("first_name", "last_name") if not line.profile.text(field)), "")
    return replace(line, flaw=f"its {lacking} is not stated") if lacking and not line.flaw else line


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
        """Work until cancelled; what a reading has stored by then stays. Raises `StoreFailed`, in a group."""
        try:
            async with asyncio.TaskGroup() as group:
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
        finally:
            await self._portals.close()
            if self._lock:
                await self._service.call(self._lock.close)

    def _due(self) -> Sequence[AccountId]:
        """The accounts to read now, as many as may be read at a time."""
        if self._lock:
            if not self._lock.take():
                return ()
            self._lock.wait(0)
        now = self._time()
        self._not_before = {account: moment for account, moment in self._not_before.items() if moment > now}
        try:
            accounts = self._portals.accounts()
            idle = [each for each in accounts if each not in self._under_way and each not in self._not_before]
            waiting, since = self._reader.waiting() if idle else (frozenset[str](), dict[str, str]())
            due = [account for account in idle if account not in waiting or self._portals.has_changed(account)]
        except CredentialsUnreadable as failure:
            self._troubles.met("no list is read", str(failure))
            return ()
        self._troubles.are_over()
        due.sort(key=lambda account: since.get(account, ""))
        quick = sum(now - began < SLOW_READING for began in self._under_way.values())
        return due[: max(0, min(MOST_READINGS - quick, MOST_READINGS_IN_HAND - len(self._under_way)))]

    async def _read(self, account: AccountId) -> None:
        self._not_before[account] = self._time() + LONGEST_WAIT
        try:
            with own_trouble("reading is given up", account=account):
                if (failure := await self._attempt(account)) is not None:
                    await self._fail(account, failure)
                del self._not_before[account]
        finally:
            self._under_way.pop(account, None)

    async def _attempt(self, account: AccountId) -> Rejected | Unavailable | str | None:
        """Read the account's list; why it could not be read, or does not count. Raises `StoreFailed`."""
        try:
            portal = await self._service.call(self._portals.to, account)
            if isinstance(portal, Rejected):
                return portal
            reading = await self._service.call(self._reader.begin, account, portal.login)
            async with asyncio.timeout(LONGEST_READING):
                await self._reader.read(reading, portal)
        except TimeoutError:
            detail = f"the list was not read within {LONGEST_READING / 60:.0f} minutes"
            return Unavailable(reason=Reason.DOWN, detail=detail)
        except TargetFailed as failed:
            return failed.failure
        except (SnapshotRefused, StoreConflict) as refused:
            return str(refused)
        except StoreFailed:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            return unexpected_failure(failure)
        return None

    async def _fail(self, account: AccountId, failure: Rejected | Unavailable | str) -> None:
        words = failure if isinstance(failure, str) else f"{failure.reason}: {failure.detail}"
        wait = 0.0 if isinstance(failure, str) else patience(failure)
        try:
            is_news = await self._service.call(self._reader.fail, account, words, wait)
        except StoreFailed:
            raise
        except Exception as unexpected:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            _log.exception("failure cannot be stored", account=account)
            words = f"{Reason.DOWN}: {unexpected_failure(unexpected).detail}"
            is_news = await self._service.call(self._reader.fail, account, words, wait)
        if is_news:
            _log.warning("list cannot be read", account=account, trouble=words)
