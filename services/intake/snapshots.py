"""Complete lists while they are taken over: their names tell when they began, so that what is left of them can go."""

from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import uuid4

from services.runtime.clock import Clock

LONGEST = timedelta(days=1)
"""For how long a complete list may be taken over; after that nobody adds to it, or finishes it."""

_KEPT = 2 * LONGEST
"""After how long it is forgotten: long after its end, also by the clock of another machine."""

_EVERY = timedelta(hours=1)
"""Between two looks for what can be forgotten."""


def new_snapshot(at: datetime) -> str:
    """The name of a complete list that begins now; no other one has it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}/{uuid4().hex}"


def is_overdue(snapshot: str, now: datetime) -> bool:
    """Whether it has begun too long ago to go on; what is named in another way never has."""
    return (began := _began(snapshot)) is not None and now - began > LONGEST


def is_forgettable(snapshot: str, now: datetime) -> bool:
    """Whether nobody will finish it; what is named in another way is of nobody knows when."""
    return (began := _began(snapshot)) is None or now - began > _KEPT


def _began(snapshot: str) -> datetime | None:
    try:
        return datetime.strptime(snapshot.partition("/")[0], "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None


class Forgetful(Protocol):
    """What knows of complete lists that are being taken over."""

    def forget_unfinished_snapshots(self) -> int:
        """Forget those that nobody will finish; how many."""
        ...


class Forgetting:
    """A chore: now and then, forget complete lists that nobody will finish, as after a kill."""

    def __init__(self, intake: Forgetful, clock: Clock) -> None:
        self._intake = intake
        self._clock = clock
        self._looked_at: datetime | None = None

    def __call__(self) -> int:
        """How many were forgotten."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < _EVERY:
            return 0
        self._looked_at = now
        return self._intake.forget_unfinished_snapshots()
