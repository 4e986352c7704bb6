"""Breakers: no calls for an account that cannot get through to the target, until a probe is answered.

What the end of a call tells of the account for which it was made.

Probes: whether the targets of open breakers answer again.

Drivers whose own call may be what an account's access seems to be refused for.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from domain.account import Account, Mode
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
from services.projector.connections import Connecting
from services.projector.known import breaker_after, unbroken
from services.projector.read_models import BreakerRow, Probe, Suspect, Task, place_of
from services.runtime.confining import own_trouble, stored_anyhow, unexpected_failure
from services.runtime.context import Assignment, Clock
from services.runtime.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """How a call ended, as far as it tells of the account: `subject` is whom or what it was about.

    Without a failure, or with one that only a working target gives, the account got through. `is_call`: it was made
    for the driver who is its subject.
    """

    account: AccountId
    subject: str
    failure: CallFailure | None
    is_call: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the target refuses access, or there is nothing to reach it by."""
        return self.failure is not None and CLASSES[self.failure.reason] is FailureClass.ACCESS

    @property
    def is_through(self) -> bool:
        """Whether the target has answered: a refusal of one driver is an answer, a limit says nothing either way."""
        return self.failure is None or CLASSES[self.failure.reason] is FailureClass.FINAL


RUN = 5
"""So many drivers, or scans, without an answer, and nobody with one between them, open a breaker."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An account whose breaker is open, why, and the probe that is to come."""

    breaker: BreakerRow
    probe: Probe

    @property
    def is_of_credentials(self) -> bool:
        """Whether other credentials can close it."""
        return self.breaker.reason in OF_CREDENTIALS

    def is_time(self, now: datetime) -> bool:
        """Whether the probe is due: also where it was put off for longer than ever, by a clock that was ahead."""
        is_seldom = self.breaker.reason == Reason.NOT_EFFECTIVE
        pause = seldom(self.probe.tries) if is_seldom else LONGEST_WAIT
        latest = now + timedelta(seconds=1.2 * max(pause, LONGEST_WAIT))
        return not now.isoformat() < self.probe.not_before <= latest.isoformat()


class Breakers:
    """The breakers of one target's accounts.

    Rows tell which are open. The run of failures of the others is only kept in memory: whoever starts anew counts anew.
    """

    def __init__(self, store: Store, target: Target, clock: Clock, share: Assignment) -> None:
        self._store = store
        self._target = target
        self._clock = clock
        self._assignment = share
        self._runs: dict[AccountId, set[str]] = {}
        self._open: frozenset[str] | None = None
        self._probed: frozenset[str] | None = None
        self._suspects = Suspects(store)

    def are_open(self) -> frozenset[str]:
        """The accounts for which no call is made."""
        if self._open is None:
            self._open = frozenset(row.account for row in self._store.select(BreakerRow, {"is_open": True}))
        return self._open

    def look_anew(self) -> None:
        """Somebody else may have stored other breakers meanwhile."""
        self._open = self._probed = None
        self._suspects.look_anew()

    def is_alone(self, sign: Sign) -> bool:
        """Whether access is refused to this driver's call only: it was before, and a probe was answered since."""
        return (
            sign.is_refused and sign.account not in self.are_open() and self._suspects.has(sign.account, sign.subject)
        )

    def heed(self, unit: Unit, signs: Sequence[Sign]) -> None:
        """Put into the unit what follows from how some calls ended."""
        through = {sign.account for sign in signs if sign.is_through}
        for account in through:
            self._runs.pop(account, None)
        opening = self._opening(sign for sign in signs if not sign.is_through)
        self._suspect(unit, [sign for sign in signs if sign.is_call])
        touched = (through & self._have_probes()) | opening.keys()
        probes = self._probes({"account": sorted(touched)}) if touched else {}
        for account in through - opening.keys():
            if account in probes and not probes[account].is_waiting:
                self._forget_probe(unit, account)
        for row in self._rows(opening):
            self._open_for(unit, row, opening[AccountId(row.account)], probes.get(row.account))

    def waiting(self) -> list[Waiting]:
        """The open breakers of our share, but for accounts that want nothing of the target now."""
        probes = self._probes({"is_waiting": True})
        accounts = accounts_of(self._store, probes)
        names = [
            AccountId(name) for name in sorted(probes) if self._assignment.has(name) and self._is_on(accounts, name)
        ]
        return [Waiting(breaker=row, probe=probes[row.account]) for row in self._rows(names) if row.is_open]

    def probed(self, account: AccountId, failure: CallFailure | None, *, is_anew: bool = False) -> bool:
        """Close the breaker, or put the next probe off if this one failed; whether it was closed.

        `is_anew`: the account may have other credentials than when calls failed.
        Raises `StoreConflict` when the account has gone to another process meanwhile.
        """
        if not self._assignment.has(account):
            raise StoreConflict(f"account {account} is another process's now")
        (row,), probe = self._rows([account]), self._probes({"account": account}).get(account)
        unit = Unit()
        if failure is None:
            self._close(unit, row, probe, is_anew=is_anew and row.reason in OF_CREDENTIALS)
        elif row.is_open and probe:
            self._put_off(unit, row, probe, failure)
        self._store.commit(unit)
        return failure is None

    def _opening(self, failing: Iterable[Sign]) -> Mapping[AccountId, CallFailure]:
        """The accounts whose breakers have to be open now, and why."""
        opening: dict[AccountId, CallFailure] = {}
        for sign in failing:
            if sign.failure is None:
                continue
            if sign.is_refused and not self.is_alone(sign):
                opening[sign.account] = sign.failure
            elif (sign.is_refused or sign.failure.reason in FRUITLESS) and self._is_run(sign):
                opening.setdefault(sign.account, sign.failure)
        return opening

    def _suspect(self, unit: Unit, calls: Sequence[Sign]) -> None:
        succeeded = ((sign.account, sign.subject) for sign in calls if sign.is_through)
        refused = {(sign.account, sign.subject): self.is_alone(sign) for sign in calls if sign.is_refused}
        self._suspects.heed(unit, succeeded=succeeded, refused=refused)

    def _is_run(self, sign: Sign) -> bool:
        run = self._runs.setdefault(sign.account, set())
        if len(run) < RUN:
            run.add(sign.subject)
        return len(run) >= RUN

    def _open_for(self, unit: Unit, row: BreakerRow, failure: CallFailure, probe: Probe | None) -> None:
        if row.is_open and not _is_worse(row, failure):
            return
        if row.is_open:
            row = self._report(unit, row, None)
        self._report(unit, row, failure)
        unit.keep([self._next_probe(_relapsed(probe) if probe else _unprobed(row.account), failure.reason)])

    def _close(self, unit: Unit, row: BreakerRow, probe: Probe | None, *, is_anew: bool) -> None:
        if not row.is_open:
            return
        self._report(unit, row, None)
        if is_anew:
            self._forget_probe(unit, row.account)
            self._suspects.forget(unit, row.account)
            self._begin_anew(unit, row.account, but=())
            return
        if probe:
            unit.keep([replace(probe, is_waiting=False)])
        if not probe or not probe.relapses:
            self._begin_anew(unit, row.account, but=self._suspects.are_alone(row.account))

    def _begin_anew(self, unit: Unit, account: str, *, but: Collection[str]) -> None:
        """Everybody who waits on the backoff schedule is due now.

        After a relapse nobody is: a probe alone says little then.

        They come before those who were never tried: what was started for them may have taken effect by now.
        """
        waiting = self._store.select(Task, {"account": account, "deferred": list(range(1, MOST_TRIES))})
        unit.keep(replace(task, not_before="", deferred=0) for task in waiting if task.driver not in but)

    def _put_off(self, unit: Unit, row: BreakerRow, probe: Probe, failure: CallFailure) -> None:
        unit.keep([self._next_probe(replace(probe, tries=probe.tries + 1), Reason(row.reason), failure)])
        if _is_worse(row, failure):
            self._report(unit, self._report(unit, row, None), failure)

    def _next_probe(self, probe: Probe, reason: Reason, failure: CallFailure | None = None) -> Probe:
        """The probe after this one. Where calls take no effect, a probe is answered all the same, so it comes late."""
        asked_for = patience(failure) if failure else 0.0
        pause = seldom(probe.tries) if reason is Reason.NOT_EFFECTIVE else doubled(probe.tries)
        seconds = spread(max(pause, min(asked_for, LONGEST_WAIT)), self._stream(probe.account), probe.tries)
        not_before = (self._clock() + timedelta(seconds=seconds)).isoformat()
        self._probed = None
        return replace(probe, is_waiting=True, not_before=not_before)

    def _report(self, unit: Unit, row: BreakerRow, failure: CallFailure | None) -> BreakerRow:
        """Report that a breaker opens because of a failure, or closes; its row after that."""
        origin: ReportOrigin = {
            "originator_id": self._stream(row.account),
            "originator_version": row.version + 1,
            "at": self._clock(),
            "account": row.account,
            "target": str(self._target),
        }
        report = _to_report(origin, failure)
        after = breaker_after(row, report)
        unit.events.append(report)
        unit.keep([after])
        self._open = None
        self._runs.pop(AccountId(row.account), None)
        _tell(after, self._target)
        return after

    def _rows(self, accounts: Collection[AccountId]) -> list[BreakerRow]:
        known = self._store.select(BreakerRow, {"account": sorted(accounts)}) if accounts else []
        rows = {row.account: row for row in known}
        return [rows.get(account) or unbroken(account) for account in accounts]

    def _have_probes(self) -> frozenset[str]:
        """The accounts with a probe: few, and asked for with every batch of answers."""
        if self._probed is None:
            self._probed = frozenset(row.account for row in self._store.select(Probe))
        return self._probed

    def _forget_probe(self, unit: Unit, account: str) -> None:
        self._probed = None
        unit.remove(Probe, {"account": account})

    def _probes(self, where: Mapping[str, str | bool | list[AccountId]]) -> dict[str, Probe]:
        return {probe.account: probe for probe in self._store.select(Probe, where)}

    def _is_on(self, accounts: Mapping[str, Account], name: str) -> bool:
        return name in accounts and accounts[name].mode(self._target) is not Mode.OFF

    def _stream(self, account: str) -> UUID:
        return breaker_stream(AccountId(account), self._target)


def _tell(row: BreakerRow, target: Target) -> None:
    if row.is_open:
        _log.warning("breaker opened", account=row.account, target=str(target), reason=row.reason)
    else:
        _log.warning("breaker closed", account=row.account, target=str(target))


def _to_report(origin: ReportOrigin, failure: CallFailure | None) -> BreakerOpened | BreakerClosed:
    if failure is None:
        return BreakerClosed(**origin)
    return BreakerOpened(**origin, reason=str(failure.reason), detail=failure.detail)


def _unprobed(account: str) -> Probe:
    return Probe(account=account, is_waiting=True, not_before="", tries=0, relapses=0)


def _relapsed(probe: Probe) -> Probe:
    """The probe of a breaker that has to be open again, or still, though no call has succeeded meanwhile."""
    return probe if probe.is_waiting else replace(probe, tries=probe.tries + 1, relapses=probe.relapses + 1)


def _is_worse(row: BreakerRow, failure: CallFailure) -> bool:
    """Whether a breaker that is open has to say something else: not only silence, but that access is refused."""
    was_refused = CLASSES[Reason(row.reason)] is FailureClass.ACCESS
    return not was_refused and CLASSES[failure.reason] is FailureClass.ACCESS


_TICK = 1.0
"""Seconds between two looks at what is due."""

_MOST_PROBES = 32
"""Probes under way at a time, over all accounts."""

LONGEST_PROBE = 30.0
"""Seconds after which a probe is given up: it is one small read, and others wait for its place."""


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
            self._service.notify()
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


class Suspects:
    """The suspects of one target: few, so they are kept in memory as they are stored."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored: Mapping[tuple[str, str], Suspect] | None = None

    def has(self, account: AccountId, driver: str) -> bool:
        """Whether this driver's call was refused as if for the account, and has not succeeded since."""
        return (account, driver) in self._known

    def are_alone(self, account: str) -> set[str]:
        """The drivers of an account who turned out to be the trouble themselves."""
        return {row.driver for row in self._known.values() if row.account == account and row.is_alone}

    def heed(
        self, unit: Unit, *, succeeded: Iterable[tuple[AccountId, str]], refused: Mapping[tuple[AccountId, str], bool]
    ) -> None:
        """The calls of these drivers were answered, and to those access was refused: to which of them alone."""
        known, has_changed = self._known, False
        for account, driver in succeeded:
            if (account, driver) in known:
                unit.remove(Suspect, {"account": account, "driver": driver})
                has_changed = True
        for (account, driver), is_alone in refused.items():
            before = known.get((account, driver))
            if before is None or is_alone > before.is_alone:
                unit.keep([Suspect(account=account, driver=driver, is_alone=is_alone)])
                has_changed = True
        if has_changed:
            self.look_anew()

    def forget(self, unit: Unit, account: str) -> None:
        """The account has other credentials, for which nobody was refused anything yet."""
        unit.remove(Suspect, {"account": account})
        self.look_anew()

    def look_anew(self) -> None:
        """Others may be stored meanwhile."""
        self._stored = None

    @property
    def _known(self) -> Mapping[tuple[str, str], Suspect]:
        if self._stored is None:
            self._stored = {place_of(row): row for row in self._store.select(Suspect)}
        return self._stored
