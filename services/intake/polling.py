"""Keeps reading the lists of the accounts that have credentials at the Portal, in one process at a time.

What is kept of an account's list as the Portal's API shows it: when it was read, and what follows from it.

Reads one account's whole list by the Portal's API, and lets intake take it over, some lines at a time.
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
from domain.identity import AccountId, PortalDriverId, account_stream
from domain.ports import NOBODY, CredentialsUnreadable, PortalDrivers, PortalLine
from domain.rekeying import IDENTIFYING
from domain.store import Position, Store, StoreConflict, StoreFailed, Unit, Where
from services.intake.handlers import OF_A_READING, Intake, SnapshotRefused
from services.intake.read_models import KnownDriver, ReadingRow, ShownDriver
from services.intake.rekeying import ReKeyings, Seen
from services.intake.statements import StatedDriver, Taken
from services.runtime.confining import own_trouble, unexpected_failure
from services.runtime.context import Clock
from services.runtime.service import Notifier, Service, Troubles

_API = "api"
_PART = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading of an account's list by a login; of those that overlap, the one that ends first counts.

    `is_first`: nobody of the account was known when it began.
    """

    account: AccountId
    login: str
    number: int
    is_first: bool = False


class Readings:
    """The readings of all accounts, each of them `every` so many seconds and a bit, which differs between accounts."""

    def __init__(self, store: Store, intake: Intake, clock: Clock, *, every: float) -> None:
        self._store = store
        self._intake = intake
        self._rekeyings = ReKeyings(store, clock)
        self._clock = clock
        self._every = every
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

    def begin(self, account: AccountId, login: str) -> Reading:
        """The next reading of this account."""
        is_first = not self._store.select(KnownDriver, {"account": account, "is_there": True}, limit=1)
        number = self._store.position(_name(account)) + 1
        return Reading(account=account, login=login, number=number, is_first=is_first)

    def known(self, reading: Reading) -> int:
        """How many drivers of this account are known to be in the Portal."""
        return self._store.count(KnownDriver, {"account": reading.account, "is_there": True}).get((), 0)

    def unknown(self, reading: Reading, drivers: Collection[PortalDriverId]) -> set[PortalDriverId]:
        """Those of these drivers whom nobody has stated yet, or who are deleted."""
        where: Where = {"account": reading.account, "driver": sorted(drivers), "is_there": True}
        return {*drivers}.difference(row.driver for row in self._store.select(KnownDriver, where))

    def take(self, reading: Reading, lines: Sequence[PortalLine]) -> Taken:
        """Take over a part of the list in one transaction; who would be re-keyed is set aside until its end."""
        taken, unit = self._intake.taking(reading.account, _stated(lines), source=_API)
        if aside := _doubtful(reading, taken):
            taken, unit = self._intake.taking(reading.account, _stated(lines), source=_API, aside=aside)
        where: Where = {"account": reading.account, "driver": sorted(taken.shown), "login": reading.login}
        marked = {row.driver for row in self._store.select(ShownDriver, where)}
        unit.keep(
            ShownDriver(account=reading.account, driver=driver, login=reading.login)
            for driver in sorted(taken.shown.difference(marked))
        )
        if unit.events or unit.rows:
            self._store.commit(unit)
        return taken

    def read_back(
        self,
        reading: Reading,
        aside: Sequence[StatedDriver],
        shown: Collection[PortalDriverId],
        said: Collection[PortalDriverId],
    ) -> None:
        """Take over of those who were set aside whoever may be re-keyed; the others wait for a person.

        `shown` are all whom the list has shown, and `said` those of whose identifiers it has said something.
        """
        account = reading.account
        if not aside and not self._rekeyings.held(account):
            return
        found = self._intake.review(account, aside, source=_API).differences
        tally = self._intake.tally(account, shown)
        # Whoever is known by the RefID alone could not be found without it.
        unsaid = {driver for driver in shown if driver not in said and not driver.startswith("ref:")}
        seen = Seen(known=tally.known, lacking=tally.lacking, unsaid=unsaid)
        allowed = self._rekeyings.read_back(account, found, seen)
        for start in range(0, len(aside), _PART):
            part = [each for each in aside[start : start + _PART] if each.driver in allowed]
            taken, unit = self._intake.taking(account, part, source=_API)
            self._rekeyings.pass_through(account, taken.differences, unit)
            if unit.events or unit.rows:
                self._store.commit(unit)

    def finish(
        self, reading: Reading, shown: Collection[PortalDriverId], refused: Sequence[PortalLine], *, lines: int
    ) -> Taken:
        """The list was read to its end: whom it lacks twice in a row is deleted, if this login has shown them before.

        `refused` are those of its lines that could not be taken over.
        Raises `SnapshotRefused` when it showed nobody, lacks too many, or another reading has ended meanwhile.
        """
        taken, unit = self._intake.concluding(
            reading.account,
            shown,
            source=_API,
            refused=_stated(refused),
            allowance=OF_A_READING,
            expected=self._expected(reading, refused),
        )
        unit.keep([replace(self._next(reading), at=self._clock().isoformat(), drivers=lines, refused=len(refused))])
        unit.positions.append(Position(name=_name(reading.account), at=reading.number))
        if not self._store.commit(unit):
            raise SnapshotRefused("another reading of this list has ended meanwhile")
        return taken

    def fail(self, reading: Reading, failure: str, retry_after: float = 0.0) -> bool:
        """The list could not be read, or does not count; whether that is news. It is left alone for so many seconds."""
        (row,) = self._store.select(ReadingRow, {"account": reading.account}) or [self._next(reading)]
        since = row.failing_since if row.failure else self._clock().isoformat()
        next_at = self._next(reading, retry_after).next_at
        unit = Unit()
        unit.keep([replace(row, next_at=next_at, failure=failure, failing_since=since)])
        self._store.commit(unit)
        return row.failure != failure

    def _expected(self, reading: Reading, refused: Sequence[PortalLine]) -> set[str]:
        """Whom this login has shown before; a refused line may be anybody who is known by the RefID alone.

        One that names nobody may be anybody, so nobody is expected then.
        """
        if any(line.driver == NOBODY for line in refused):
            return set()
        where = {"account": reading.account, "login": reading.login}
        shown = {str(driver) for (driver,) in self._store.count(ShownDriver, where, by=["driver"])}
        return {driver for driver in shown if not (refused and driver.startswith("ref:"))}

    def _next(self, reading: Reading, retry_after: float = 0.0) -> ReadingRow:
        now = self._clock()
        regular = spread(self._every, account_stream(reading.account), int(now.timestamp()))
        wait = max(regular, min(retry_after, LONGEST_PATIENCE))
        return ReadingRow(account=reading.account, next_at=(now + timedelta(seconds=wait)).isoformat())


def forget(store: Store, account: AccountId) -> None:
    """Tell nothing more of how an account's list was read: the account is not connected to the Portal any more."""
    unit = Unit()
    unit.remove(ReadingRow, {"account": account})
    store.commit(unit)


def _doubtful(reading: Reading, taken: Taken) -> set[PortalDriverId]:
    """Who would be re-keyed; and who is new, where most are though others were known when the reading began."""
    new = {each.driver for each in taken.differences if each.is_new}
    is_question = not reading.is_first and len(new) > len(taken.shown) - len(new)
    return {each.driver for each in taken.differences if each.is_rekeying} | (new if is_question else set())


def _name(account: AccountId) -> str:
    return f"readings/{account}"


def _stated(lines: Sequence[PortalLine]) -> list[StatedDriver]:
    return [StatedDriver(line=number, driver=line.driver, profile=line.profile) for number, line in enumerate(lines, 1)]


MOST_LINES: Final = 150_000
"""Lines that a list may have, or twice as many as there are drivers known, where that is more."""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """The ids that a list has shown so far, whom it is about, and the lines that could not be taken over.

    It has said something of the identifiers of those who are `said`; `aside` is what waits for its end.
    """

    ids: set[PortalDriverId] = field(default_factory=set)
    drivers: set[PortalDriverId] = field(default_factory=set)
    refused: list[PortalLine] = field(default_factory=list)
    said: set[PortalDriverId] = field(default_factory=set)
    aside: list[StatedDriver] = field(default_factory=list)


class Reader:
    """Reads lists. Attributes cost a call for each driver, so of a large fleet only a share is asked for each time.

    `most_asked` is about how many drivers are asked for at one reading; those who are new always are.
    """

    def __init__(self, service: Service, readings: Readings, *, most_asked: int) -> None:
        self._service = service
        self._readings = readings
        self._most_asked = most_asked

    async def read(self, reading: Reading, portal: PortalDrivers) -> None:
        """Read the list and take it over. Raises `TargetFailed` and `SnapshotRefused`: then nobody is missed."""
        listed, seen = await portal.list_all(), _Seen()
        most = max(MOST_LINES, 2 * await self._service.call(self._readings.known, reading))
        if len(listed) > most:
            detail = (
                f"the list has {len(listed)} lines, and no more than {most} are believed: check what the login sees"
            )
            raise TargetFailed(Unavailable(reason=Reason.DOWN, detail=detail))
        turns = max(1, -(-len(listed) // self._most_asked))
        for page in listed.pages():
            fresh = [line for line in page if line.driver == NOBODY or line.driver not in seen.ids]
            new = await self._service.call(self._readings.unknown, reading, {line.driver for line in fresh})
            lines = await self._with_attributes(reading, portal, fresh, new, turns) if portal.has_attributes else fresh
            await self._take(reading, [_named(line) if line.driver in new else line for line in lines], seen)
        await self._service.call_again(self._readings.read_back, reading, seen.aside, seen.drivers, seen.said)
        await self._service.call_again(self._readings.finish, reading, seen.drivers, seen.refused, lines=len(listed))
        self._service.notify()

    async def _with_attributes(
        self,
        reading: Reading,
        portal: PortalDrivers,
        lines: Sequence[PortalLine],
        new: Collection[PortalDriverId],
        turns: int,
    ) -> Sequence[PortalLine]:
        """The lines, with their attributes where the driver is new, or it is the driver's turn."""
        named = [line for line in lines if line.driver != NOBODY]
        asked = [line for line in named if line.driver in new or _turn_of(line.driver, turns) == reading.number % turns]
        told = {line.driver: line for line in await portal.with_attributes(asked)}
        return [told.get(line.driver, line) for line in lines]

    async def _take(self, reading: Reading, lines: Sequence[PortalLine], seen: _Seen) -> None:
        good = [line for line in lines if not line.flaw]
        seen.refused += [line for line in lines if line.flaw]
        seen.ids |= {line.driver for line in lines}
        taken = await self._service.call_again(self._readings.take, reading, good)
        seen.drivers |= taken.shown
        seen.aside += taken.set_aside
        seen.said |= {line.driver for line in good if not IDENTIFYING.isdisjoint(line.profile.fields)}
        self._service.notify()


def _named(line: PortalLine) -> PortalLine:
    """The line of a driver of whom nothing is known yet: without a name it cannot be taken over."""
    lacking = next((field for field in ("first_name", "last_name") if not line.profile.text(field)), "")
    return replace(line, flaw=f"its {lacking} is not stated") if lacking and not line.flaw else line


def _turn_of(driver: PortalDriverId, turns: int) -> int:
    return crc32(driver.encode()) % turns


LOOK: Final = 5.0
"""Seconds between looks for lists that are due; a ring brings the next one forward."""

_LINGER: Final = 0.5
"""Seconds after a look before a ring brings the next one, where looks are not wanted more often."""

MOST_READINGS: Final = 8
"""Lists that are read at a time."""

MOST_READINGS_IN_HAND: Final = 64
"""The same together with those that are slow."""

SLOW_READING: Final = 60.0
"""Seconds after which a reading gives its place back, and goes on beside the others."""

LONGEST_READING: Final = 1800.0
"""Seconds after which a reading is given up."""

_log = structlog.get_logger()


class Turn(Protocol):
    """Whose turn it is to read: that of one process at a time. All is called in one thread."""

    def take(self) -> bool:
        """Whether it is our turn now. Raises `StoreFailed`."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after so many seconds at most. Raises `StoreFailed` when the turn is lost."""
        ...

    def close(self) -> None:
        """Leave the turn to others."""
        ...


class Alone:
    """A turn where there is only one process."""

    def take(self) -> bool:
        """Always ours."""
        return True

    def wait(self, seconds: float) -> None:
        """Nothing can be lost."""

    def close(self) -> None:
        """Nobody waits for it."""


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
    """Reads each account's list when it is due; one that is slow, or fails, holds up no other."""

    def __init__(
        self,
        service: Service,
        *,
        readings: Readings,
        reader: Reader,
        portals: Portals,
        turn: Turn,
        notifier: Notifier,
        look: float = LOOK,
        time: Callable[[], float] = monotonic,
    ) -> None:
        self._service = service
        self._readings = readings
        self._reader = reader
        self._portals = portals
        self._turn = turn
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
            await self._service.call(self._turn.close)

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
            await asyncio.sleep(min(_LINGER, self._look))

    def _due(self) -> Sequence[AccountId]:
        """The accounts to read now, as many as may be read at a time."""
        if not self._turn.take():
            return ()
        self._turn.wait(0)
        try:
            due = self._due_of(self._portals.accounts())
        except CredentialsUnreadable as failure:
            self._troubles.met("no list is read", str(failure))
            return ()
        self._troubles.are_over()
        return due[: self._places()]

    def _places(self) -> int:
        """How many readings may begin now: those that are slow hold up nobody else's."""
        now = self._time()
        quick = sum(now - began < SLOW_READING for began in self._under_way.values())
        return max(0, min(MOST_READINGS - quick, MOST_READINGS_IN_HAND - len(self._under_way)))

    def _due_of(self, accounts: Sequence[AccountId]) -> Sequence[AccountId]:
        now = self._time()
        self._not_before = {account: moment for account, moment in self._not_before.items() if moment > now}
        idle = [each for each in accounts if each not in self._under_way and each not in self._not_before]
        waiting, since = self._readings.waiting() if idle else (frozenset[str](), dict[str, str]())
        due = [account for account in idle if account not in waiting or self._portals.has_changed(account)]
        return sorted(due, key=lambda account: since.get(account, ""))

    async def _read(self, account: AccountId) -> None:
        self._not_before[account] = self._time() + LONGEST_WAIT
        try:
            with own_trouble("reading is given up", account=account):
                portal = await self._reach(account)
                login = "" if isinstance(portal, Rejected) else portal.login
                reading = await self._service.call(self._readings.begin, account, login)
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

    async def _attempt(self, reading: Reading, portal: PortalDrivers | Rejected) -> Rejected | Unavailable | str | None:
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

    async def _read_in_time(self, reading: Reading, portal: PortalDrivers) -> None:
        try:
            async with asyncio.timeout(LONGEST_READING):
                await self._reader.read(reading, portal)
        except TimeoutError:
            detail = f"the list was not read within {LONGEST_READING / 60:.0f} minutes"
            raise TargetFailed(Unavailable(reason=Reason.DOWN, detail=detail)) from None

    async def _fail(self, reading: Reading, failure: Rejected | Unavailable | str) -> None:
        told = failure if isinstance(failure, str) else f"{failure.reason}: {failure.detail}"
        wait = 0.0 if isinstance(failure, str) else patience(failure)
        try:
            is_news = await self._service.call(self._readings.fail, reading, told, wait)
        except StoreFailed:
            raise
        except Exception as unexpected:  # noqa: BLE001 - the same
            _log.exception("failure cannot be stored", account=reading.account)
            told = f"{Reason.DOWN}: {unexpected_failure(unexpected).detail}"
            is_news = await self._service.call(self._readings.fail, reading, told, wait)
        if is_news:
            _log.warning("list cannot be read", account=reading.account, trouble=told)
