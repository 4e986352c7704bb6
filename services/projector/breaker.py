"""Circuit breakers: whether calls are made for an account at a target.

closed: calls are made. Refused access opens the breaker at once, silence after `FAILURES_TO_OPEN` drivers in a row.
open: no call is made but probes, ever more seldom.
half-open: a probe was answered, so calls are made again; the first that is answered closes the breaker for good, and
one that opens it again makes the next probe wait longer.

A call can also be refused, as if for the whole account, because of its own driver. That is known once it is refused
again after a probe was answered: from then on it fails alone, and the breaker stays closed.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog

from domain.account import Mode
from domain.failures import (
    CLASSES,
    FRUITLESS,
    LONGEST_WAIT,
    MOST_TRIES,
    OF_CREDENTIALS,
    CallFailure,
    FailureClass,
    Reason,
    Rejected,
    TargetFailed,
    Unavailable,
    doubled,
    patience,
    seldom,
    spread,
)
from domain.identity import AccountId, Target, breaker_stream
from domain.outcomes import BreakerClosed, BreakerOpened, ReportOrigin
from domain.ports import TargetDrivers
from domain.store import Store, StoreConflict, Unit
from services.accounts.handlers import accounts_of
from services.projector.calls import Connecting
from services.projector.read_models import (
    BreakerRow,
    DueDelivery,
    Probe,
    RefusedDriver,
    breaker_after,
    place_of,
    unbroken,
)
from services.runtime.context import Assignment, Clock
from services.runtime.isolation import own_trouble, stored_anyhow, unexpected_failure
from services.runtime.service import Service

FAILURES_TO_OPEN: Final = 5
"""Drivers, or scans, without an answer that open a breaker, if no call of the account is answered between them."""

_log = structlog.get_logger()


class BreakerState(StrEnum):
    """The state of an account's breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedCall:
    """How a call, or a scan, ended. `subject` is the driver, or the scan; `is_delivery`: it was made for the driver."""

    account: AccountId
    subject: str
    failure: CallFailure | None
    is_delivery: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the target refuses access, or the account has no credentials for it."""
        return self.failure is not None and CLASSES[self.failure.reason] is FailureClass.ACCESS

    @property
    def is_answered(self) -> bool:
        """Whether the target answered: refusing one driver is an answer; a rate limit proves nothing either way."""
        return self.failure is None or CLASSES[self.failure.reason] is FailureClass.FINAL


class Breakers:
    """The breakers of one target's accounts.

    Rows say which are not closed. The failures that may open the others are only kept in memory: a process that starts
    counts from nothing. What is read often is kept in memory as it is stored.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, assignment: Assignment) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = assignment
        self._failing: dict[AccountId, set[str]] = {}
        self._open: frozenset[str] | None = None
        self._probed: frozenset[str] | None = None
        """The accounts whose breakers are not closed: few, and looked at with every batch of outcomes."""
        self._refused: Mapping[tuple[str, str], RefusedDriver] | None = None

    def open_accounts(self) -> frozenset[str]:
        """The accounts for which no call is made."""
        if self._open is None:
            self._open = frozenset(row.account for row in self._store.select(BreakerRow, {"is_open": True}))
        return self._open

    def reload(self) -> None:
        """Forget what is kept in memory: another process may have stored something else."""
        self._open = self._probed = self._refused = None

    def is_alone(self, account: AccountId, driver: str, failure: CallFailure) -> bool:
        """Whether access is refused to this driver's call only: it was before, and a probe was answered since."""
        is_closed = CLASSES[failure.reason] is FailureClass.ACCESS and account not in self.open_accounts()
        return is_closed and (account, driver) in self._refused_drivers()

    def record(self, unit: Unit, calls: Sequence[EndedCall]) -> None:
        """Put into the unit what follows from how these calls ended."""
        answered = {call.account for call in calls if call.is_answered}
        for account in answered:
            self._failing.pop(account, None)
        opening = self._opening(call for call in calls if not call.is_answered)
        self._record_drivers(unit, [call for call in calls if call.is_delivery])
        if self._probed is None:
            self._probed = frozenset(row.account for row in self._store.select(Probe))
        touched = (answered & self._probed) | opening.keys()
        probes = self._probes({"account": sorted(touched)}) if touched else {}
        for account in answered - opening.keys():
            if account in probes and probes[account].state == BreakerState.HALF_OPEN:
                self._forget_probe(unit, account)
        for row in self._rows(opening):
            self._open_for(unit, row, opening[AccountId(row.account)], probes.get(row.account))

    def open_with_probes(self) -> list[tuple[BreakerRow, Probe]]:
        """The open breakers of our accounts, each with its next probe; not of accounts whose mode is off now."""
        probes = self._probes({"state": str(BreakerState.OPEN)})
        accounts = accounts_of(self._store, probes)
        names = [
            AccountId(name)
            for name in sorted(probes.keys() & accounts.keys())
            if self._assignment.has(name) and accounts[name].mode(self._target) is not Mode.OFF
        ]
        return [(row, probes[row.account]) for row in self._rows(names) if row.is_open]

    def record_probe(
        self, account: AccountId, failure: CallFailure | None, *, has_other_credentials: bool = False
    ) -> bool:
        """Close the breaker, or put the next probe off if this one failed; whether it was closed.

        Raises `StoreConflict` when the account has gone to another process meanwhile.
        """
        if not self._assignment.has(account):
            raise StoreConflict(f"account {account} is another process's now")
        (row,), probe = self._rows([account]), self._probes({"account": account}).get(account)
        unit = Unit()
        if failure is None and row.is_open:
            self._close(unit, row, probe, is_mended=has_other_credentials and row.reason in OF_CREDENTIALS)
        elif failure is not None and row.is_open and probe:
            next_probe = replace(probe, tries=probe.tries + 1)
            unit.keep([self._put_off(next_probe, Reason(row.reason), patience(failure))])
            if _is_worse(row, failure):
                self._report(unit, self._report(unit, row, None), failure)
        self._store.commit(unit)
        return failure is None

    def _opening(self, failed: Iterable[EndedCall]) -> Mapping[AccountId, CallFailure]:
        """The accounts whose breakers have to be open now, and why."""
        opening: dict[AccountId, CallFailure] = {}
        for call in failed:
            if call.failure is None:
                continue
            if call.is_refused and not self.is_alone(call.account, call.subject, call.failure):
                opening[call.account] = call.failure
            elif call.is_refused or call.failure.reason in FRUITLESS:
                failing = self._failing.setdefault(call.account, set())
                if len(failing) < FAILURES_TO_OPEN:
                    failing.add(call.subject)
                if len(failing) >= FAILURES_TO_OPEN:
                    opening.setdefault(call.account, call.failure)
        return opening

    def _record_drivers(self, unit: Unit, calls: Sequence[EndedCall]) -> None:
        """Remember the drivers whose calls are refused as if for the whole account, until one of them is answered."""
        known, has_changed = self._refused_drivers(), False
        for call in calls:
            before = known.get((call.account, call.subject))
            if call.failure is not None and call.is_refused:
                is_alone = self.is_alone(call.account, call.subject, call.failure)
                if before is None or is_alone > before.is_alone:
                    unit.keep([RefusedDriver(account=call.account, driver=call.subject, is_alone=is_alone)])
                    has_changed = True
            elif call.is_answered and before is not None:
                unit.remove(RefusedDriver, {"account": call.account, "driver": call.subject})
                has_changed = True
        if has_changed:
            self._refused = None

    def _open_for(self, unit: Unit, row: BreakerRow, failure: CallFailure, probe: Probe | None) -> None:
        if row.is_open and not _is_worse(row, failure):
            return
        if row.is_open:
            row = self._report(unit, row, None)
        self._report(unit, row, failure)
        if probe is None:
            probe = Probe(account=row.account, state=str(BreakerState.OPEN), not_before="", tries=0, relapses=0)
        elif probe.state == BreakerState.HALF_OPEN:
            probe = replace(probe, tries=probe.tries + 1, relapses=probe.relapses + 1)
        unit.keep([self._put_off(probe, failure.reason)])

    def _close(self, unit: Unit, row: BreakerRow, probe: Probe | None, *, is_mended: bool) -> None:
        """Close the breaker if the account's access `is_mended` by other credentials; else it is half-open."""
        self._report(unit, row, None)
        if is_mended:
            self._forget_probe(unit, row.account)
            unit.remove(RefusedDriver, {"account": row.account})
            self._refused = None
            self._make_due(unit, row.account, but=())
            return
        if probe:
            unit.keep([replace(probe, state=str(BreakerState.HALF_OPEN))])
        # After a relapse the backoff schedule goes on: a probe alone proves little then.
        if not probe or not probe.relapses:
            refused = self._refused_drivers().values()
            self._make_due(unit, row.account, but={each.driver for each in refused if each.is_alone})

    def _make_due(self, unit: Unit, account: str, *, but: Collection[str]) -> None:
        """Make the deliveries on the backoff schedule due now, before those that were never tried.

        What was started for them may have taken effect by now.
        """
        waiting = self._store.select(DueDelivery, {"account": account, "deferred": list(range(1, MOST_TRIES))})
        unit.keep(replace(due, not_before="", deferred=0) for due in waiting if due.driver not in but)

    def _put_off(self, probe: Probe, reason: Reason, least: float = 0.0) -> Probe:
        """The next probe of an open breaker. Where calls take no effect, a probe proves little, so it comes late."""
        pause = seldom(probe.tries) if reason is Reason.NOT_EFFECTIVE else doubled(probe.tries)
        seconds = spread(max(pause, min(least, LONGEST_WAIT)), self._stream(probe.account), probe.tries)
        not_before = (self._clock() + timedelta(seconds=seconds)).isoformat()
        self._probed = None
        return replace(probe, state=str(BreakerState.OPEN), not_before=not_before)

    def _report(self, unit: Unit, row: BreakerRow, failure: CallFailure | None) -> BreakerRow:
        """Report that a breaker opens because of a failure, or closes; its row after that."""
        origin: ReportOrigin = {
            "originator_id": self._stream(row.account),
            "originator_version": row.version + 1,
            "at": self._clock(),
            "account": row.account,
            "target": str(self._target),
        }
        if failure is None:
            report: BreakerOpened | BreakerClosed = BreakerClosed(**origin)
            _log.warning("breaker closed", account=row.account, target=str(self._target))
        else:
            report = BreakerOpened(**origin, reason=str(failure.reason), detail=failure.detail)
            _log.warning("breaker opened", account=row.account, target=str(self._target), reason=report.reason)
        after = breaker_after(row, report)
        unit.events.append(report)
        unit.keep([after])
        self._open = None
        self._failing.pop(AccountId(row.account), None)
        return after

    def _rows(self, accounts: Collection[AccountId]) -> list[BreakerRow]:
        known = self._store.select(BreakerRow, {"account": sorted(accounts)}) if accounts else []
        rows = {row.account: row for row in known}
        return [rows.get(account) or unbroken(account) for account in accounts]

    def _forget_probe(self, unit: Unit, account: str) -> None:
        self._probed = None
        unit.remove(Probe, {"account": account})

    def _probes(self, where: Mapping[str, str | list[AccountId]]) -> dict[str, Probe]:
        return {probe.account: probe for probe in self._store.select(Probe, where)}

    def _refused_drivers(self) -> Mapping[tuple[str, str], RefusedDriver]:
        if self._refused is None:
            self._refused = {place_of(row): row for row in self._store.select(RefusedDriver)}
        return self._refused

    def _stream(self, account: str) -> UUID:
        return breaker_stream(AccountId(account), self._target)


def is_probe_due(row: BreakerRow, probe: Probe, now: datetime) -> bool:
    """Whether an open breaker's probe is due, even where a clock that was ahead put it off for longer than ever."""
    pause = seldom(probe.tries) if row.reason == Reason.NOT_EFFECTIVE else LONGEST_WAIT
    latest = now + timedelta(seconds=1.2 * max(pause, LONGEST_WAIT))
    return not now.isoformat() < probe.not_before <= latest.isoformat()


def _is_worse(row: BreakerRow, failure: CallFailure) -> bool:
    """Whether an open breaker has to say something else: not only silence, but that access is refused."""
    was_refused = CLASSES[Reason(row.reason)] is FailureClass.ACCESS
    return not was_refused and CLASSES[failure.reason] is FailureClass.ACCESS


_TICK = 1.0
"""Seconds between two looks at what is due."""

_MOST_PROBES = 32
"""Probes under way at a time, over all accounts."""

LONGEST_PROBE = 30.0
"""Seconds after which a probe is given up: it is one small read, and others wait for its slot."""


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
