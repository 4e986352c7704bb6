"""Circuit breakers: whether calls are made for an account at a target.

closed: calls are made. Refused access opens the breaker at once, silence after `FAILURES_TO_OPEN` drivers in a row.
open: no call is made but probes, ever more seldom.
half-open: a probe was answered, so calls are made again; the first that is answered closes the breaker for good, and
one that opens it again makes the next probe wait longer.

A call can also be refused, as if for the whole account, because of its own driver. That is known once it is refused
again after a probe was answered: from then on it fails alone, and the breaker stays closed.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
from domain.store import FILLED, Store, StoreConflict, Unit, Where
from services.accounts.handlers import accounts_of
from services.projector.calls import Connecting
from services.projector.read_models import (
    FIRST_OF_ALL,
    LAST_AT_ONCE,
    BreakerRow,
    BreakerState,
    DeliveryRow,
    breaker_after,
)
from services.runtime.context import Assignment, Clock
from services.runtime.service import Service, own_trouble, stored_anyhow, unexpected_failure

MOST_REFUSED: Final = 1000
"""Drivers of an account that are remembered as refused; of those beyond, each refusal opens the breaker again."""

FAILURES_TO_OPEN: Final = 5
"""Drivers, or scans, without an answer that open a breaker, if no call of the account is answered between them."""

_log = structlog.get_logger()


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

    The rows of those that ever opened are kept in memory as they are stored. The failures that may open a breaker are
    only kept in memory: a process that starts counts from nothing.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, assignment: Assignment) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = assignment
        self._failing: dict[AccountId, set[str]] = {}
        self._known: dict[str, BreakerRow] | None = None
        self._open: frozenset[str] = frozenset()

    def open_accounts(self) -> frozenset[str]:
        """The accounts for which no call is made."""
        self._rows()
        return self._open

    @property
    def is_any_open(self) -> bool:
        """Whether any breaker is open, or may be: this may be asked in every thread."""
        return self._known is None or bool(self._open)

    def reload(self) -> None:
        """Forget what is kept in memory: another process may have stored something else."""
        self._known = None

    def is_alone(self, account: AccountId, driver: str, failure: CallFailure) -> bool:
        """Whether access is refused to this driver's call only: it was before, and a probe was answered since."""
        row = self._row(account)
        return CLASSES[failure.reason] is FailureClass.ACCESS and not row.is_open and driver in row.refused

    def commit(self, unit: Unit) -> None:
        """Store a unit in which something was recorded. Raises what `Store.commit` raises."""
        try:
            self._store.commit(unit)
        except BaseException:
            self.reload()
            raise

    def record(self, unit: Unit, calls: Sequence[EndedCall]) -> None:
        """Put into the unit what follows from how these calls ended; it is known at once, and has to be committed."""
        answered = {call.account for call in calls if call.is_answered}
        for account in answered:
            self._failing.pop(account, None)
        opening = self._opening(call for call in calls if not call.is_answered)
        for account in dict.fromkeys(call.account for call in calls):
            before = row = self._row(account)
            for call in calls:
                if call.account == account and call.is_delivery:
                    row = self._with_driver(row, call)
            if account in opening:
                row = self._opened(unit, row, opening[account])
            elif account in answered and row.state is BreakerState.HALF_OPEN:
                row = _without_probe(row)
            if row != before:
                self._keep(unit, row)

    def open_rows(self) -> list[BreakerRow]:
        """The open breakers of our accounts, in order; not of accounts whose mode is off now."""
        ours = sorted(filter(self._assignment.has, self.open_accounts()))
        accounts = accounts_of(self._store, ours)
        wanted = (name for name in ours if name in accounts and accounts[name].mode(self._target) is not Mode.OFF)
        return [self._row(name) for name in wanted]

    def record_probe(
        self, account: AccountId, failure: CallFailure | None, *, has_other_credentials: bool = False
    ) -> bool:
        """Close the breaker, or put the next probe off if this one failed; whether it was closed.

        Raises `StoreConflict` when the account has gone to another process meanwhile.
        """
        self._assignment.check(account)
        row, unit = self._row(account), Unit()
        if failure is None and row.is_open:
            self._close(unit, row, is_mended=has_other_credentials and row.reason in OF_CREDENTIALS)
        elif failure is not None and row.is_open:
            is_worse = _is_worse(row, failure)
            row = self._put_off(replace(row, tries=row.tries + 1), Reason(row.reason), patience(failure))
            self._keep(unit, self._report(unit, self._report(unit, row, None), failure) if is_worse else row)
        self.commit(unit)
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

    def _with_driver(self, row: BreakerRow, call: EndedCall) -> BreakerRow:
        """Remember a driver whose call is refused as if for the whole account, until one of its calls is answered."""
        if call.failure is not None and call.is_refused:
            is_alone = self.is_alone(call.account, call.subject, call.failure)
            if call.subject in row.refused or len(row.refused) < MOST_REFUSED:
                is_alone |= row.refused.get(call.subject, False)
                return replace(row, refused={**row.refused, call.subject: is_alone})
        elif call.is_answered and call.subject in row.refused:
            return replace(row, refused={name: each for name, each in row.refused.items() if name != call.subject})
        return row

    def _opened(self, unit: Unit, row: BreakerRow, failure: CallFailure) -> BreakerRow:
        """The row of a breaker that has to be open because of this failure."""
        if row.is_open and not _is_worse(row, failure):
            return row
        state = row.state
        if state is BreakerState.OPEN:
            row = self._report(unit, row, None)
        row = self._report(unit, row, failure)
        if state is BreakerState.HALF_OPEN:
            row = replace(row, tries=row.tries + 1, relapses=row.relapses + 1)
        return self._put_off(row, failure.reason)

    def _close(self, unit: Unit, row: BreakerRow, *, is_mended: bool) -> None:
        """Close the breaker if the account's access `is_mended` by other credentials; else it is half-open."""
        row = self._report(unit, row, None)
        alone = {driver for driver, is_alone in row.refused.items() if is_alone}
        if is_mended:
            self._keep(unit, replace(_without_probe(row), refused={}))
            self._make_due(unit, row.account, but=())
            return
        self._keep(unit, replace(row, probe_at=row.probe_at or self._clock().isoformat()))
        # After a relapse the backoff schedule goes on: a probe alone proves little then.
        if not row.relapses:
            self._make_due(unit, row.account, but=alone)

    def _make_due(self, unit: Unit, account: str, *, but: Collection[str]) -> None:
        """Make the deliveries on the backoff schedule due now, before those that were never tried.

        What was started for them may have taken effect by now.
        """
        where: Where = {"account": account, "due": FILLED, "tries": list(range(1, MOST_TRIES))}
        waiting = self._store.select(DeliveryRow, where, order_by="due", after=LAST_AT_ONCE)
        unit.keep(replace(row, due=FIRST_OF_ALL, tries=0) for row in waiting if row.driver not in but)

    def _put_off(self, row: BreakerRow, reason: Reason, least: float = 0.0) -> BreakerRow:
        """The next probe of an open breaker. Where calls take no effect, a probe proves little, so it comes late."""
        pause = seldom(row.tries) if reason is Reason.NOT_EFFECTIVE else doubled(row.tries)
        seconds = spread(max(pause, min(least, LONGEST_WAIT)), self._stream(row.account), row.tries)
        return replace(row, probe_at=(self._clock() + timedelta(seconds=seconds)).isoformat())

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
        unit.events.append(report)
        self._failing.pop(AccountId(row.account), None)
        return breaker_after(row, report)

    def _keep(self, unit: Unit, row: BreakerRow) -> None:
        unit.keep([row])
        self._rows()[row.account] = row
        self._open = self._open | {row.account} if row.is_open else self._open - {row.account}

    def _rows(self) -> dict[str, BreakerRow]:
        if self._known is None:
            self._known = {row.account: row for row in self._store.select(BreakerRow)}
            self._open = frozenset(row.account for row in self._known.values() if row.is_open)
        return self._known

    def _row(self, account: str) -> BreakerRow:
        return self._rows().get(account) or BreakerRow(account=account)

    def _stream(self, account: str) -> UUID:
        return breaker_stream(AccountId(account), self._target)


def is_probe_due(row: BreakerRow, now: datetime) -> bool:
    """Whether an open breaker's probe is due, even where a clock that was ahead put it off for longer than ever."""
    pause = seldom(row.tries) if row.reason == Reason.NOT_EFFECTIVE else LONGEST_WAIT
    latest = now + timedelta(seconds=1.2 * max(pause, LONGEST_WAIT))
    return not now.isoformat() < row.probe_at <= latest.isoformat()


def _without_probe(row: BreakerRow) -> BreakerRow:
    return replace(row, probe_at="", tries=0, relapses=0)


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

    def __init__(
        self,
        service: Service,
        breakers: Breakers,
        connect: Connecting,
        clock: Clock,
        on_closed: Callable[[AccountId], None],
    ) -> None:
        """`on_closed` learns, in the service's thread, for which account calls are made again."""
        self._service = service
        self._on_closed = on_closed
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
                while not self._breakers.is_any_open:  # noqa: ASYNC110 - a breaker opens in the service's thread
                    await asyncio.sleep(_TICK)

    def reload(self) -> None:
        """Probe each open account once at once: its credentials may have changed while this process was away."""
        self._found_open = {*self._breakers.open_accounts()} - self._last_reached.keys()

    def due(self) -> Sequence[AccountId]:
        """The accounts to probe for now."""
        now = self._clock()
        open_now = {AccountId(row.account): row for row in self._breakers.open_rows()}
        self._last_reached = {account: last for account, last in self._last_reached.items() if account in open_now}
        return [
            account
            for account, row in open_now.items()
            if account not in self._under_way and (self._has_changed(account, row) or is_probe_due(row, now))
        ]

    async def probe(self, account: AccountId) -> bool:
        """Probe one account's target; whether it answers, and the breaker is closed."""
        drivers = await self._service.call(self._connect, account)
        has_other_credentials = drivers != self._last_reached.get(account)
        self._last_reached[account] = drivers
        self._found_open.discard(account)
        failure = drivers if isinstance(drivers, Rejected) else await _failure_of_probe(drivers, account)

        def record(failure: CallFailure | None) -> bool:
            is_closed = self._breakers.record_probe(account, failure, has_other_credentials=has_other_credentials)
            if is_closed:
                self._on_closed(account)
            return is_closed

        async def store(failure: CallFailure | None) -> bool:
            return await self._service.call(record, failure)

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
