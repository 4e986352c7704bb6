"""The time a sandbox goes by; tests bring their own."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], int]
"""The present moment, in milliseconds since the epoch."""


def wall_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def iso_time(at: int) -> str:
    """A moment as ISO 8601 in UTC, to the second; from milliseconds since the epoch."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
