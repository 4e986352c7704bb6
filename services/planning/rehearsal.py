"""A sweep as a rehearsal: the real decider, on a copy of one account's part of its store."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime

from domain.account import Account
from domain.event import Event
from domain.identity import Key, Target, target_driver_stream, walk_stream
from domain.plan import Part, Step, Tally
from domain.report import ReportEvent, ReportOrigin, TargetDriverGone, TargetDriverSeen, WalkCompleted
from domain.roster import TargetDriver
from domain.storing import Store, Unit
from domain.wish import key_mark
from services.accounts.read_models import to_row
from services.decider.handlers import Decider
from services.decider.read_models import RosterRow, WishRow
from services.intake.read_models import KnownDriver
from services.planning.copying import copy
from services.planning.steps import note_steps, steps_in
from services.runtime.share import Share

Scratch = Callable[[], AbstractContextManager[Store]]
"""An empty store for one rehearsal, gone afterwards with all that it holds."""

_PAGE = 500

_FIRST = 1
"""The number of a report that nobody but the rehearsal sees."""


class Rehearsal:
    """What a sweep of one account on one target would do at this moment; `account` is as it would be then.

    Everything happens in the scratch store; iterators do a bounded piece with each step, and say how much it was.
    """

    def __init__(self, scratch: Store, account: Account, target: Target, now: datetime) -> None:
        self._scratch = scratch
        self._account = account
        self._target = target
        self._now = now
        self._decider = Decider(scratch, lambda: now, Share())
        self._tally = Tally(account.account, target)

    def copy(self, store: Store) -> Iterator[int]:
        """Take over the account's part of the decider's store."""
        unit = Unit()
        unit.keep([to_row(replace(self._account, sweeps={}, plans={}))])
        self._scratch.commit(unit)
        return copy(store, self._scratch, self._account, self._target)

    def unheard(self, stated: Sequence[KnownDriver]) -> list[str]:
        """Those of these drivers of whom the Portal has stated something else than the decider knows."""
        where = {"account": str(self._account.account), "driver": [each.driver for each in stated]}
        wishes = {row.driver: row for row in self._scratch.select(WishRow, where)}
        return [each.driver for each in stated if not _is_heard(each, wishes.get(each.driver))]

    def take_changes(self, changes: Sequence[tuple[int, Event]]) -> None:
        """Take over changes that the decider does not know yet; what follows from each is no part of the sweep."""
        self._scratch.commit(self._decider.on_changes(changes))

    def take_seen(self, page: Sequence[TargetDriver]) -> None:
        """Take over target drivers as they are shown now."""
        seen = {key_mark(self._target, driver.key): driver for driver in page}
        where = {**self._place, "mark": sorted(seen)}
        known = {row.mark: row for row in self._scratch.select(RosterRow, where)} if seen else {}
        self._report(self._seen(each) for mark, each in seen.items() if not _is_shown(known.get(mark), each))

    def take_gone(self, keys: Iterable[Key]) -> None:
        """Take over that these target drivers are there no more."""
        self._report(TargetDriverGone(**self._origin(key), key=key) for key in keys)

    def known(self, after: str | None) -> Sequence[RosterRow]:
        """A page of the target drivers that are known, behind this key."""
        behind = key_mark(self._target, Key(after)) if after else None
        return self._scratch.select(RosterRow, self._place, order_by="mark", after=behind, limit=_PAGE)

    def wishes(self) -> int:
        """How many drivers there are to decide."""
        return sum(self._scratch.count(WishRow, {"account": str(self._account.account)}).values())

    def decide(self) -> Iterator[int]:
        """Decide everybody after the walk of a roster that the scratch store has whole, and note the steps."""
        begin = self._scratch.log.end()
        self._report([self._completed()])
        while done := self._decider.look_again() + self._decider.catch_up():
            yield done
        yield from note_steps(self._scratch, begin)

    def steps(self, driver: str = "") -> Iterator[list[Step]]:
        """The steps in pages, by action and driver, or those of one; then `part` tells what they come to."""
        for page in steps_in(self._scratch, driver):
            self._tally.add(page)
            yield page

    def part(self) -> Part:
        """What the steps that were read come to."""
        return self._tally.part()

    @property
    def _place(self) -> dict[str, str]:
        return {"account": str(self._account.account), "target": str(self._target)}

    def _report(self, reports: Iterable[ReportEvent]) -> None:
        told = [(_FIRST, report) for report in reports]
        if told:
            self._scratch.commit(self._decider.on_reports(told))

    def _seen(self, driver: TargetDriver) -> TargetDriverSeen:
        return TargetDriverSeen(
            **self._origin(driver.key), key=driver.key, active=driver.active, profile=dict(driver.profile)
        )

    def _completed(self) -> WalkCompleted:
        origin = self._origin(None)
        drivers = sum(self._scratch.count(RosterRow, self._place).values())
        return WalkCompleted(**origin, terms=self._account.terms.get(self._target, 0), drivers=drivers, request=0)

    def _origin(self, key: Key | None) -> ReportOrigin:
        account, target = self._account.account, self._target
        return {
            "originator_id": target_driver_stream(account, target, key) if key else walk_stream(account, target),
            "originator_version": _FIRST,
            "at": self._now,
            "account": account,
            "target": str(target),
        }


def _is_heard(stated: KnownDriver, wish: WishRow | None) -> bool:
    if wish is None or stated.is_there != wish.is_wanted:
        return False
    return not stated.is_there or stated.profile == wish.profile


def _is_shown(row: RosterRow | None, seen: TargetDriver) -> bool:
    return row is not None and (row.key, row.active, row.profile) == (seen.key, seen.active, dict(seen.profile))
