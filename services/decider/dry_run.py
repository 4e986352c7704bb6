"""A dry run of a reconciliation: the real decider, on a copy of one account's part of its store.

A reconciliation with a plan goes through a dry run first, and is refused if it would not do what the plan says.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import datetime

import structlog

from domain.account import Account, Mode, UndoScope
from domain.driver_link import LinkEvent
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream, scan_stream, target_driver_stream
from domain.matching import ObservedDriver, key_identifier
from domain.outcomes import ObservedDriverGone, ObservedDriverSeen, ReportEvent, ReportOrigin, RosterScanned
from domain.reconciliation import Action, PlanPart, PlanStep, PlanTally, step_after
from domain.store import Event, Row, Store, StoreConflict, StoreFailed, Unit, pages
from services.accounts.handlers import accounts_of, to_row, to_scope
from services.decider import reconciliations
from services.decider.handlers import Decider
from services.decider.order import BatchOrder, Chore
from services.decider.read_models import (
    ClaimRow,
    DeleteRow,
    DesiredRow,
    LinkRow,
    ObservedRow,
    ReconciliationRow,
    RosterScanRow,
    RunningReconciliation,
    to_roster_identifiers,
)
from services.intake.read_models import KnownDriver
from services.runtime.context import Assignment, Clock

Scratch = Callable[[], AbstractContextManager[Store]]
"""An empty store for one dry run, deleted afterwards."""

_PAGE = 500

_FIRST = 1
"""The number of a report that only the dry run sees."""

_COPIED: tuple[type[Row], ...] = (
    RosterScanRow,
    ReconciliationRow,
    DesiredRow,
    ObservedRow,
    LinkRow,
    ClaimRow,
    DeleteRow,
)
"""What decisions depend on; work in hand is left out, because the reconciliation looks at every driver anyway."""


class DryRun:
    """What a reconciliation of one account on one target would do now; `account` is as it would be then.

    With `undo`, what undoing that would do.

    Everything happens in the scratch store. Iterators do a bounded piece of work with each step, and say how much.
    """

    def __init__(
        self, scratch: Store, account: Account, target: Target, now: datetime, undo: UndoScope | None = None
    ) -> None:
        self._scratch = scratch
        self._undo = undo
        self._account = account
        self._target = target
        self._now = now
        self._decider = Decider(scratch, lambda: now, Assignment())
        self._tally = PlanTally(account.account, target)

    def copy(self, store: Store) -> Iterator[int]:
        """Copy the account's part of the decider's store, a page with each step; how many rows it had."""
        unit = Unit()
        unit.keep([to_row(replace(self._account, reconciliations={}, plans={}, undos={}))])
        self._scratch.commit(unit)
        for kind in _COPIED:
            where = {column: value for column, value in self._place.items() if column in kind.KEY}
            for page in pages(store, kind, where, kind.KEY[-1]):
                unit = Unit()
                unit.keep(page)
                links = [row for row in page if isinstance(row, LinkRow)]
                ids = [
                    link_stream(AccountId(row.account), Target(row.target), PortalDriverId(row.driver)) for row in links
                ]
                for events in store.histories(ids).values() if ids else ():
                    unit.events.extend(events)
                for row in page:
                    unit.keep(to_roster_identifiers(row) if isinstance(row, ObservedRow) else ())
                self._scratch.commit(unit)
                yield len(page)

    def unheard(self, stated: Sequence[KnownDriver]) -> list[str]:
        """Those of these drivers whose last statement by the Portal has not reached the decider yet."""
        where = {"account": str(self._account.account), "driver": [each.driver for each in stated]}
        rows = self._scratch.select(DesiredRow, where)
        decided_by = {row.driver: (row.is_wanted, row.profile if row.is_wanted else {}) for row in rows}
        return [
            each.driver
            for each in stated
            if decided_by.get(each.driver) != (each.is_there, each.profile if each.is_there else {})
        ]

    def take_changes(self, changes: Sequence[tuple[int, Event]]) -> None:
        """Let the decider handle changes that it does not know yet; what it decides by them is not in the plan."""
        self._scratch.commit(self._decider.on_changes(changes))

    def take_seen(self, page: Sequence[ObservedDriver]) -> None:
        """Store target drivers as a scan shows them now."""
        seen = {key_identifier(self._target, driver.key): driver for driver in page}
        where = {**self._place, "identifier": sorted(seen)}
        rows = self._scratch.select(ObservedRow, where) if seen else []
        known = {row.identifier: (row.key, row.active, row.profile) for row in rows}
        self._report(
            ObservedDriverSeen(**self._origin(each.key), key=each.key, active=each.active, profile=dict(each.profile))
            for identifier, each in seen.items()
            if known.get(identifier) != (each.key, each.active, dict(each.profile))
        )

    def take_gone(self, keys: Iterable[Key]) -> None:
        """Store that these target drivers are gone."""
        self._report(ObservedDriverGone(**self._origin(key), key=key) for key in keys)

    def known(self, after: str | None) -> Sequence[ObservedRow]:
        """A page of the target drivers that are known, behind this key."""
        behind = key_identifier(self._target, Key(after)) if after else None
        return self._scratch.select(ObservedRow, self._place, order_by="identifier", after=behind, limit=_PAGE)

    def desired_drivers(self) -> int:
        """How many drivers there are to decide."""
        return sum(self._scratch.count(DesiredRow, {"account": str(self._account.account)}).values())

    def decide(self) -> Iterator[int]:
        """Decide every driver after a complete scan, and store the steps."""
        after = self._scratch.log.end()
        drivers = sum(self._scratch.count(ObservedRow, self._place).values())
        policy_generation = self._account.policy_generation.get(self._target, 0)
        self._report(
            [RosterScanned(**self._origin(None), policy_generation=policy_generation, drivers=drivers, request=0)]
        )
        if self._undo is not None:
            unit, undo = Unit(), asdict(self._undo)
            unit.keep(replace(work, undo=undo) for work in self._scratch.select(RunningReconciliation, self._place))
            self._scratch.commit(unit)
        while done := self._decider.look_again() + self._decider.reconcile():
            yield done
        while page := self._scratch.log.read(after, _PAGE):
            self._store_steps([record.event for record in page if isinstance(record.event, LinkEvent)])
            after = page[-1].position
            yield len(page)

    def _store_steps(self, facts: Sequence[LinkEvent]) -> None:
        rows = self._scratch.select(PlanStep, {"driver": sorted({fact.driver for fact in facts})}) if facts else []
        steps: dict[str, PlanStep | None] = {row.driver: row for row in rows}
        for fact in facts:
            steps[fact.driver] = step_after(steps.get(fact.driver), fact)
        unit = Unit()
        unit.keep(filter(None, steps.values()))
        self._scratch.commit(unit)

    def steps(self, driver: str = "") -> Iterator[list[PlanStep]]:
        """The steps in pages, by action and driver, or those of one; then `part` says what they add up to."""
        only = {"driver": driver} if driver else {}
        for action in Action:
            for page in pages(self._scratch, PlanStep, {"action": str(action), **only}, "driver"):
                self._tally.add(page)
                yield page

    def part(self) -> PlanPart:
        """What the steps that were read add up to."""
        return self._tally.part()

    @property
    def _place(self) -> dict[str, str]:
        return {"account": str(self._account.account), "target": str(self._target)}

    def _report(self, reports: Iterable[ReportEvent]) -> None:
        numbered = [(_FIRST, report) for report in reports]
        if numbered:
            self._scratch.commit(self._decider.on_reports(numbered))

    def _origin(self, key: Key | None) -> ReportOrigin:
        account, target = self._account.account, self._target
        return {
            "originator_id": target_driver_stream(account, target, key) if key else scan_stream(account, target),
            "originator_version": _FIRST,
            "at": self._now,
            "account": account,
            "target": str(target),
        }


_log = structlog.get_logger()

_UNKNOWN = ""
"""The hash of a reconciliation whose dry run failed."""


class PlanChecks:
    """Compares one running reconciliation at a time with its plan, piece by piece, so that no other work waits for it.

    How far it has come is only in memory: another process begins again, because nothing was decided yet. `in_hand`
    names the accounts assigned to us that have a running reconciliation with a plan.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        in_hand: Callable[[], Sequence[str]],
        scratch: Scratch,
        order: BatchOrder,
    ) -> None:
        self._store = store
        self._order = order
        self._clock = clock
        self._in_hand = in_hand
        self._scratch = scratch
        self._pieces: Iterator[int] = iter(())

    def check_plans(self) -> int:
        """Do the next piece of what there is to check; how much it was."""
        for done in self._pieces:
            return done
        accounts = self._in_hand()
        where = {"account": accounts}
        in_hand = self._store.select(RunningReconciliation, where, order_by="account") if accounts else []
        planned = [work for work in in_hand if work.plan]
        known = accounts_of(self._store, (work.account for work in planned))
        for work in planned:
            # One that knows more of its account than we do has to wait.
            if not reconciliations.is_ahead(work, known.get(work.account)):
                self._pieces = self._check(work)
                return 1
        self._pieces = iter(())
        return 0

    def _check(self, work: RunningReconciliation) -> Iterator[int]:
        account, target = accounts_of(self._store, [work.account])[work.account], Target(work.target)
        if account.mode(target) is Mode.OFF or work.policy_generation != account.policy_generation.get(target, 0):
            now = self._clock()
            self._commit(reconciliations.dropped(self._store, work, account, now), work, Chore.DROPPED, now)
            return
        try:
            would_be = yield from self._run_dry(work, account)
        except StoreFailed as failure:
            # If it is our own store that fails, storing the refusal fails too; else only this reconciliation ends.
            _log.warning("plan cannot be compared", account=work.account, target=work.target, reason=str(failure))
            would_be = _UNKNOWN
        except StoreConflict:
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            trouble = type(failure).__name__
            _log.error("plan cannot be compared", account=work.account, target=work.target, trouble=trouble)
            would_be = _UNKNOWN
        self._judge(work, would_be)

    def _run_dry(self, work: RunningReconciliation, account: Account) -> Generator[int, None, str]:
        """The hash of what the reconciliation would do now."""
        with self._scratch() as scratch:
            undo = to_scope(work.undo) if work.undo else None
            dry_run = DryRun(scratch, account, Target(work.target), self._clock(), undo)
            yield from dry_run.copy(self._store)
            yield from dry_run.decide()
            yield from map(len, dry_run.steps())
            return dry_run.part().digest

    def _judge(self, work: RunningReconciliation, would_be: str) -> None:
        """Let the reconciliation begin if it would do what a person saw.

        One that was started again meanwhile is checked again, and one of an account that is assigned to another
        process by now is checked there.
        """
        place = {"account": work.account, "target": work.target}
        if work.account not in self._in_hand() or work not in self._store.select(RunningReconciliation, place):
            return
        unit, now = Unit(), self._clock()
        if would_be == work.plan:
            unit.keep([replace(work, plan="")])
            self._commit(unit, work, Chore.PLAN_KEPT, now)
        else:
            unit = reconciliations.refused(self._store, work, plan=work.plan, would_be=would_be, now=now)
            self._commit(unit, work, Chore.PLAN_REFUSED, now)

    def _commit(self, unit: Unit, work: RunningReconciliation, chore: Chore, now: datetime) -> None:
        self._order.done(unit, chore, [(work.account, work.target, ())], now)
        self._store.commit(unit)
