"""What goes wrong for one account, or in one piece of work, ends there: it is logged, and everything else goes on."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Protocol, TypeVar
from uuid import NAMESPACE_OID, uuid5

import structlog

from domain.failures import CallFailure, Reason, Unavailable, doubled, spread
from domain.store import Row, StoreConflict, StoreFailed
from services.runtime.context import Clock

T = TypeVar("T")

_log = structlog.get_logger()


@contextmanager
def own_trouble(event: str, **named: str) -> Iterator[None]:
    """Log whatever fails in here, and let it end nothing else. Raises `StoreFailed`: only that ends a process.

    A `StoreConflict` only means that the account has gone to another process meanwhile.
    """
    try:
        yield
    except StoreConflict:
        return
    except StoreFailed:
        raise
    except Exception:  # noqa: BLE001 - one account's trouble is its own, whatever it is
        _log.exception(event, **named)


async def stored_anyhow(store: Callable[[CallFailure], Awaitable[T]], failure: CallFailure) -> T:
    """Store what a failure leads to; where its own words cannot be stored, that something unexpected has happened.

    Raises `StoreFailed`, `StoreConflict`, and what the second try raises.
    """
    try:
        return await store(failure)
    except (StoreFailed, StoreConflict):
        raise
    except Exception as unexpected:  # noqa: BLE001 - the same
        _log.exception("failure cannot be stored", reason=str(failure.reason))
        return await store(unexpected_failure(unexpected))


def unexpected_failure(failure: Exception) -> Unavailable:
    """What is recorded of an unforeseen failure: its kind, and nothing that it quotes."""
    return Unavailable(reason=Reason.DOWN, detail=f"unexpected {type(failure).__name__}")


class Troubles:
    """What was logged last of work that goes on in spite of trouble; each line names `named`."""

    def __init__(self, **named: str) -> None:
        self._named = named
        self._last = ""

    def met(self, event: str, trouble: str) -> None:
        """There is this trouble, still or again."""
        if trouble != self._last:
            _log.warning(event, trouble=trouble, **self._named)
        self._last = trouble

    def are_over(self) -> None:
        """What there was is over."""
        if self._last:
            _log.warning("trouble is over", trouble=self._last, **self._named)
        self._last = ""


class AccountWork(Protocol):
    """A row of work that is done for one account."""

    TABLE: ClassVar[str]

    @property
    def account(self) -> str:
        """The account that it is done for."""
        ...


W = TypeVar("W", bound=AccountWork)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """Work that failed `tries` times in a row, and is not done again before a moment."""

    tries: int
    not_before: datetime
    wait: timedelta


class Backoff:
    """Work of one account that failed: it is logged, and left alone for a while; all other accounts go on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: dict[tuple[str, str], _Failed] = {}

    def has_to_wait(self, kind: type[Row], account: str) -> bool:
        """Whether this work of the account has to wait."""
        failed, now = self._failed.get((kind.TABLE, account)), self._clock()
        # A moment further ahead than the wait is from a clock that was wrong.
        return failed is not None and now < failed.not_before <= now + failed.wait

    def is_any_left(self, kind: type[Row]) -> bool:
        """Whether any account's work of this kind is left to be done again."""
        return any(table == kind.TABLE for table, _ in self._failed)

    def confine(self, rows: Sequence[W], work: Callable[[Sequence[W]], int]) -> int:
        """Do this work, and where it fails, that of each account alone; how much there was.

        Raises `StoreFailed` and `StoreConflict`.
        """
        table, accounts = rows[0].TABLE, sorted({row.account for row in rows})
        try:
            done = work(rows)
        except (StoreConflict, StoreFailed):
            raise
        except Exception as failure:  # noqa: BLE001 - one account's trouble is its own, whatever it is
            if len(accounts) > 1:
                return sum(self.confine([row for row in rows if row.account == each], work) for each in accounts)
            (account,) = accounts
            former = self._failed.get((table, account))
            tries = former.tries if former else 0
            wait = timedelta(seconds=spread(doubled(tries), uuid5(NAMESPACE_OID, f"{table}/{account}"), tries))
            self._failed[table, account] = _Failed(tries=tries + 1, not_before=self._clock() + wait, wait=wait)
            _log.error("work fails unexpectedly", account=account, work=table, trouble=type(failure).__name__)
            return 1
        for account in accounts:
            self._failed.pop((table, account), None)
        return done
