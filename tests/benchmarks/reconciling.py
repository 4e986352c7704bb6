"""Both halves of a reconciliation: a projector scans a roster that it knows already, a decider goes through links.

`python -m tests.benchmarks.reconciling TARGET URL DRIVERS DATABASE` is the scan in a process of its own; what it comes
to is written to standard output as JSON.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter
from time import perf_counter

from adapters.store.postgres import PostgresStore, migrate
from domain.account import Account, AccountEvent, Mode, Request
from domain.account import replay as account_after
from domain.driver_link import Decision
from domain.identity import Target, scan_stream
from domain.outcomes import RosterScanned
from domain.store import Event, Store
from services.accounts.handlers import keep_accounts
from services.decider.handlers import Decider
from services.runtime.consumer import BATCH, Handler
from services.runtime.context import Assignment, outcomes_of
from services.wiring import registry
from tests.benchmarks.fleet import AT, MASTER_USER, Fleet, confirmed
from tests.benchmarks.processes import peak_of
from tests.benchmarks.projecting import Counting, run_until, to_drivers
from tests.benchmarks.rosters import ACCOUNT

LAPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What half of a reconciliation came to.

    Its seconds, its requests, the events that it stored, the process's peak in MB.
    """

    seconds: float
    requests: int
    events: int
    peak: float


class Scanning:
    """A projector of one account, on a store of its own."""

    def __init__(self, store: Store, target: Target, url: str, fleet: Fleet) -> None:
        self._store = store
        self._target = target
        self._rate_limiter = Counting()
        self._drivers = to_drivers(target, url, ACCOUNT, self._rate_limiter)
        self._known = [*fleet.account_events]
        self._store.commit(keep_accounts(self._store, self._known))

    async def reconciliation(self) -> Reconciled:
        """The first scan makes everybody known; the next, which are requested, find everybody in sync. The median."""
        await self._scan(1)
        laps = [await self._scan_again() for _ in range(LAPS)]
        await self._drivers.close()
        return sorted(laps, key=attrgetter("seconds"))[LAPS // 2]

    async def _scan_again(self) -> Reconciled:
        requested = _requested(self._known, self._target)
        self._known += requested
        self._store.commit(keep_accounts(self._store, requested))
        before, requests = self._store.log.end(), self._rate_limiter.requests
        seconds = await self._scan(before + 1)
        return Reconciled(
            seconds=seconds,
            requests=self._rate_limiter.requests - requests,
            events=self._store.log.end() - before,
            peak=peak_of(os.getpid()),
        )

    async def _scan(self, end: int) -> float:
        """Run the projector until a scan that ends at this position of its log, or behind, is complete; the seconds."""
        return await run_until(lambda: self._scans(end), self._store, self._target, lambda _: self._drivers)

    def _scans(self, end: int) -> bool:
        if self._store.log.end() < end:
            return False
        last = self._store.log.read(self._store.log.end() - 1, 1)
        return any(isinstance(record.event, RosterScanned) for record in last)


class Deciding:
    """The decider of one account, on a store of its own, whose drivers are all linked and in sync."""

    def __init__(self, store: Store, target: Target, fleet: Fleet) -> None:
        self._store = store
        self._decider = Decider(self._store, _now, Assignment())
        self._target = target
        self._taken = 0
        self._known = [*fleet.account_events, *_alone(fleet.account_events, target)]
        self._take(self._decider.on_accounts, self._known)
        self._take(self._decider.on_reports, [self._scan(1, 0)])
        self._chores()
        self._link(fleet)

    def reconciliation(self) -> Reconciled:
        """A scan, of which nothing was reported but that it is complete; then everybody is looked at."""
        self._take(self._decider.on_accounts, requested := _requested(self._known, self._target))
        before, began = self._store.log.end(), perf_counter()
        self._take(self._decider.on_reports, [self._scan(2, requested[-1].originator_version)])
        self._chores()
        seconds = perf_counter() - began
        return Reconciled(seconds=seconds, requests=0, events=self._store.log.end() - before, peak=peak_of(os.getpid()))

    def _link(self, fleet: Fleet) -> None:
        changes = fleet.changes(edition=1)
        while some := [*islice(changes, BATCH)]:
            before = self._store.log.end()
            self._take(self._decider.on_changes, some)
            decided = (record.event for record in self._store.log.read(before, 4 * BATCH))
            self._take(self._decider.on_reports, [*confirmed(each for each in decided if isinstance(each, Decision))])

    def _chores(self) -> None:
        while self._decider.look_again() + self._decider.reconcile():
            continue

    def _scan(self, number: int, request: int) -> RosterScanned:
        return RosterScanned(
            originator_id=scan_stream(ACCOUNT, self._target),
            originator_version=number,
            at=AT,
            account=ACCOUNT,
            target=str(self._target),
            policy_generation=_account(self._known).policy_generation[self._target],
            drivers=0,
            request=request,
        )

    def _take(self, handler: Handler, events: Sequence[Event]) -> None:
        numbered = [*enumerate(events, self._taken + 1)]
        self._taken += len(events)
        self._store.commit(handler(numbered))


def _alone(events: Sequence[AccountEvent], target: Target) -> Iterator[AccountEvent]:
    """That every other target is off."""
    known = _account(events)
    for other in set(Target) - {target}:
        yield from Request(by=MASTER_USER, at=AT).set_mode(known, other, Mode.OFF)


def _requested(events: Sequence[AccountEvent], target: Target) -> Sequence[AccountEvent]:
    """That the Master User wants a reconciliation of everybody."""
    return Request(by=MASTER_USER, at=AT).reconciliation(_account(events), target)


def _account(events: Sequence[AccountEvent]) -> Account:
    return account_after(Account(account=ACCOUNT), events)


def _now() -> datetime:
    return AT


def main(target: Target, url: str, drivers: int, database: str) -> Reconciled:
    """The scan of a projector on PostgreSQL."""
    fleet, rows = Fleet(account=ACCOUNT, drivers=drivers), registry.PROJECTOR_ROWS
    migrate(database, "", {"projector": rows})
    with closing(PostgresStore(database, "", schema="projector", log_name=outcomes_of(target), rows=rows)) as store:
        return asyncio.run(Scanning(store, target, url, fleet).reconciliation())


if __name__ == "__main__":
    _target, _url, _drivers, _database = sys.argv[1:]
    sys.stdout.write(json.dumps(asdict(main(Target(_target), _url, int(_drivers), _database))) + "\n")
