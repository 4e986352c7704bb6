"""What is kept of an account's list as the Portal's API shows it: when it was read, and what follows from it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from domain.identity import AccountId, PortalDriverId, account_stream
from domain.ports import NOBODY, PortalLine
from domain.retrying import LONGEST_PATIENCE, spread
from domain.storing import Position, Store, Unit, Where
from services.intake.allowance import OF_A_READING
from services.intake.handlers import Intake, SnapshotRefused
from services.intake.lists import StatedDriver, Taken
from services.intake.read_models import KnownDriver, ReadingRow, ShownDriver
from services.intake.rekeying import ReKeyings, Seen
from services.runtime.clock import Clock

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

    def settle(
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
        allowed = self._rekeyings.settle(account, found, seen)
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
