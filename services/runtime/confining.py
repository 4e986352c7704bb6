"""What goes wrong for one account ends at that account: it is logged, and everybody else goes on."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from domain.failures import CallFailure, Reason, Unavailable
from domain.store import StoreConflict, StoreFailed

T = TypeVar("T")

_log = structlog.get_logger()


@contextmanager
def own_trouble(event: str, **named: str) -> Iterator[None]:
    """Log whatever fails in here, and let it end nothing else. Raises `StoreFailed`: only that ends a process.

    That an account has gone to another process meanwhile (`StoreConflict`) is no trouble at all.
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
    """What is said of a failure that nobody has foreseen: its kind, and nothing that it quotes."""
    return Unavailable(reason=Reason.DOWN, detail=f"unexpected {type(failure).__name__}")
