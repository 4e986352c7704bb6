"""Work of one account that failed: it is logged, and left alone for a while, and all other accounts go on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import NAMESPACE_OID, uuid5

import structlog

from domain.retrying import doubled, spread
from domain.storing import StoreConflict, StoreFailed
from services.decider.read_models import CatchUp, Look, Retry
from services.runtime.clock import Clock

Work = TypeVar("Work", Look, CatchUp, Retry)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setback:
    """Work that failed so many times in a row, and is not done again before a moment."""

    tries: int
    not_before: datetime
    wait: timedelta

    def holds_up(self, now: datetime) -> bool:
        """Whether it is too early; a moment that lies too far ahead is of a clock that was wrong."""
        return now < self.not_before <= now + self.wait


class Setbacks:
    """Which accounts' work of which kind failed last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._met: dict[tuple[type, str], _Setback] = {}

    def hold_up(self, kind: type, account: str) -> bool:
        """Whether this work of the account has to wait."""
        setback = self._met.get((kind, account))
        return setback is not None and setback.holds_up(self._clock())

    def are_there(self, kind: type) -> bool:
        """Whether any account's work of this kind is left to be done again."""
        return any(each is kind for each, _ in self._met)

    def confine(self, rows: Sequence[Work], work: Callable[[Sequence[Work]], int]) -> int:
        """Do this work, and where it fails, that of each account alone; how much there was.

        Raises `StoreFailed` and `StoreConflict`.
        """
        accounts = sorted({row.account for row in rows})
        try:
            done = work(rows)
        except (StoreConflict, StoreFailed):
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            if len(accounts) > 1:
                return sum(self.confine([row for row in rows if row.account == each], work) for each in accounts)
            self._add(type(rows[0]), accounts[0], failure)
            return 1
        for account in accounts:
            self._met.pop((type(rows[0]), account), None)
        return done

    def _add(self, kind: type, account: str, failure: Exception) -> None:
        former = self._met.get((kind, account))
        tries = former.tries if former else 0
        wait = timedelta(seconds=spread(doubled(tries), uuid5(NAMESPACE_OID, f"{kind.__name__}/{account}"), tries))
        self._met[kind, account] = _Setback(tries=tries + 1, not_before=self._clock() + wait, wait=wait)
        _log.error("work fails unexpectedly", account=account, work=kind.__name__, trouble=type(failure).__name__)
