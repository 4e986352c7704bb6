"""Dry runs: what a reconciliation would do, decided by the real decider in a scratch store.

Nothing is written to a log or a store but the scratch one, and a target is only read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime

from domain.account import Account, Mode, UndoScope, replay
from domain.account import Request as AccountRequest
from domain.failures import TargetFailed
from domain.identity import AccountId, Key, PortalDriverId, Target, portal_driver_stream
from domain.matching import ObservedDriver, UnreadableRecords
from domain.portal import Change
from domain.profile import SPECS
from domain.reconciliation import PlanPart, PlanStep
from domain.store import Event, Store
from services.api.schema import ResponseBody
from services.decider.dry_run import DryRun, Scratch
from services.intake.read_models import KnownDriver
from services.projector.read_models import RosterRow, unseen
from services.projector.scans import RosterScan, Scanner
from services.projector.service import ProjectorApp
from services.runtime.context import Clock
from services.runtime.service import Service

_PAGE = 500


class DryRunScan:
    """What the scanner reports goes into a dry run; `drivers` is how many it has read."""

    def __init__(self, dry_run: DryRun) -> None:
        self.drivers = 0
        self._dry_run = dry_run

    def expected(self, _: RosterScan) -> int:
        """The number of drivers is not known."""
        return 0

    def last_event(self) -> int:
        """Only this scan stores anything."""
        return 0

    def take_page(self, _: RosterScan, page: Sequence[ObservedDriver]) -> int:
        """Store these drivers; none counts as known, so that all that are lacking are looked for."""
        self._dry_run.take_seen(page)
        self.drivers += len(page)
        return 0

    def is_none_lacking(self, _scan: RosterScan, _as_known: int, _last_event: int) -> bool:
        """Never known at once."""
        return False

    def keep_progress(self, scan: RosterScan, drivers: int) -> None:
        """A caller reads `drivers` in place of stored progress."""

    def known(self, scan: RosterScan, after: str | None) -> Sequence[RosterRow]:
        """A page of the drivers that the decider knows, behind this key."""
        return [
            replace(unseen(scan.account, row.key), is_there=True, active=row.active)
            for row in self._dry_run.known(after)
        ]

    def take_gone(self, _: RosterScan, keys: Sequence[Key]) -> None:
        """Store that these drivers are gone."""
        self._dry_run.take_gone(keys)

    def complete(self, scan: RosterScan, seen: Collection[Key], unreadable: UnreadableRecords) -> None:
        """The dry run decides when all is in place."""


_TICK = 0.2
"""Seconds between two reports of how far a scan is."""


class NothingToPlan(Exception):
    """Nothing is synchronised there; the message says why, and what would help."""


class PlanChanged(Exception):
    """What would be done is not what the person saw."""


class RosterUnreadable(Exception):
    """A target's drivers cannot be read, so there is no plan; the message says why."""


class DryRunProgress(ResponseBody):
    """How far a dry run is with what it does now; a total of 0 is not known."""

    target: str
    doing: str
    done: int
    total: int


Reported = DryRunProgress | Sequence[PlanStep] | PlanPart
"""What a dry run reports as it goes along: how far it is, then the steps in pages, then what they add up to."""


def with_sync_on(account: Account, now: datetime) -> Account:
    """The account as it is while it is reconciled: with sync on, by its Master User where it is off now.

    Raises `NotPermitted` where it cannot be turned on.
    """
    return replay(account, AccountRequest(by=account.master_user, at=now).turn_on(account))


def planned_targets(account: Account, target: Target | None) -> list[Target]:
    """The targets that a reconciliation would be of.

    Raises `NothingToPlan` if there are none, or not the one that is named.
    """
    wanted = [target] if target else list(Target)
    found = [each for each in wanted if account.modes.get(each, Mode.OFF) is not Mode.OFF]
    if not found:
        named = " and ".join(wanted)
        raise NothingToPlan(
            f"the mode of {account.account} for {named} is off, so there is nothing to plan; "
            f"see `driverlink accounts mode --help`"
        )
    return found


class Planner:
    """Makes dry runs, a bounded piece at a time in the threads of the services."""

    def __init__(
        self,
        *,
        decider: Service,
        intake: Service,
        projectors: Mapping[Target, ProjectorApp],
        scratch: Scratch,
        clock: Clock,
    ) -> None:
        self._decider = decider
        self._intake = intake
        self._projectors = projectors
        self._scratch = scratch
        self._clock = clock

    async def run_dry(
        self, account: Account, target: Target, driver: str = "", undo: UndoScope | None = None
    ) -> AsyncGenerator[Reported, None]:
        """What a reconciliation of this account, with sync on, would do on this target, or for one driver there.

        With `undo`, what undoing that would do. Raises `RosterUnreadable` and `StoreFailed`.
        """
        now = self._clock()
        async with self._opened() as scratch:
            dry_run = DryRun(scratch, account, target, now, undo)
            async for done in self._pieces(dry_run.copy(self._decider.store)):
                yield DryRunProgress(target=target, doing="copying", done=done, total=0)
            await self._take_changes(account.account, dry_run)
            async with aclosing(self._scan(account, target, dry_run, now)) as scan:
                async for done in scan:
                    yield DryRunProgress(target=target, doing="reading", done=done, total=0)
            desired_drivers = await self._decider.call(dry_run.desired_drivers)
            async for done in self._pieces(dry_run.decide()):
                yield DryRunProgress(
                    target=target, doing="deciding", done=min(done, desired_drivers), total=desired_drivers
                )
            pages = dry_run.steps(driver)
            while page := await self._decider.call(next, pages, None):
                yield page
            yield dry_run.part()

    async def _take_changes(self, account: AccountId, dry_run: DryRun) -> None:
        """Let the dry run consume the changes that the decider has still to consume, page by page."""
        intake, after = self._intake, ""
        while page := await intake.call(
            intake.store.select, KnownDriver, {"account": account}, order_by="driver", after=after, limit=_PAGE
        ):
            after = page[-1].driver
            if unheard := await self._decider.call(dry_run.unheard, page):
                changes = await intake.call(_changes, intake.store, account, unheard)
                await self._decider.call(dry_run.take_changes, changes)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        """An empty store for one dry run.

        A piece of work goes on after its caller has left, so the store is closed behind it in the same thread:
        SQLite's module ends the whole process where another thread closes what is being used.
        """
        with_scratch = ExitStack()
        try:
            yield await self._decider.call(with_scratch.enter_context, self._scratch())
        finally:
            await self._decider.call(with_scratch.close)

    async def _pieces(self, pieces: Iterator[int]) -> AsyncIterator[int]:
        """How much was done altogether after each piece."""
        done = 0
        while (more := await self._decider.call(next, pieces, None)) is not None:
            done += more
            yield done

    async def _scan(
        self, account: Account, target: Target, dry_run: DryRun, now: datetime
    ) -> AsyncGenerator[int, None]:
        """How many drivers were read, every now and then until the roster is whole."""
        scan = RosterScan(
            account=account.account, policy_generation=account.policy_generation[target], request=0, began=now
        )
        notes = DryRunScan(dry_run)
        reading = asyncio.create_task(self._read(scan, target, notes))
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=_TICK)
                yield notes.drivers
            await reading
        except TargetFailed as failed:
            detail = failed.failure.detail
            raise RosterUnreadable(f"the roster of {scan.account} on {target} cannot be read: {detail}") from None
        finally:
            reading.cancel()

    async def _read(self, scan: RosterScan, target: Target, notes: DryRunScan) -> None:
        drivers = await self._projectors[target].reach(scan.account)
        await Scanner(self._decider, notes, self._clock).scan(scan, drivers)


def _changes(intake: Store, account: AccountId, drivers: Sequence[str]) -> list[tuple[int, Event]]:
    """The last change of each of these drivers, with its position in the log, in the order of the log."""
    ids = [portal_driver_stream(account, PortalDriverId(driver)) for driver in drivers]
    found: list[tuple[int, Event]] = []
    for records in intake.records(ids).values():
        changes = [(record.log_position, record.event) for record in records if isinstance(record.event, Change)]
        found += changes[-1:]
    return sorted(found, key=lambda change: change[0])


async def unsaid(intake: Service, account: AccountId, targets: Iterable[Target]) -> Mapping[Target, Sequence[str]]:
    """By target, the fields that drivers are matched by there and that no driver has; nothing where none is known."""
    wanted = {target: SPECS[target].recognised_by for target in targets}
    missing = {field for fields in wanted.values() for field in fields}
    after, where = "", dict[str, str | bool](account=account, is_there=True)
    while rows := await intake.call(
        intake.store.select, KnownDriver, where, order_by="driver", after=after, limit=_PAGE
    ):
        after = rows[-1].driver
        missing -= {field for row in rows for field, text in row.profile.items() if text}
        if not missing:
            break
    lacking = {target: [field for field in fields if field in missing] for target, fields in wanted.items()}
    return {target: fields for target, fields in lacking.items() if fields and after}
