"""The time a sandbox goes by; tests bring their own."""

import time
from collections.abc import Callable

Now = Callable[[], int]
"""The present moment, in milliseconds since the epoch."""


def wall_clock() -> int:
    """The time of this machine, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
