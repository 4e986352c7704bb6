"""How many requests a client may make: as many at once as a minute allows, then as many a second as come free."""

from collections.abc import Callable, Mapping
from math import ceil
from time import monotonic
from typing import Final

A_MINUTE: Final = 6000
"""Requests that one API key, or one person, may make in a minute; far more than programs that wait for answers do."""

_A_SECOND: Final = A_MINUTE / 60


class RateExceeded(Exception):
    """A client makes more requests than it may; `retry_after` is in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"more than {A_MINUTE} requests a minute: wait {retry_after} s")
        self.retry_after = retry_after


class RequestRates:
    """What each client has left, in this process; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, client: str) -> Mapping[str, str]:
        """Count a request; what the answer says of the rate, as draft-ietf-httpapi-ratelimit-headers has it.

        Raises `RateExceeded`.
        """
        now = self._clock()
        left, at = self._left.get(client, (A_MINUTE, now))
        left = min(A_MINUTE, left + (now - at) * _A_SECOND)
        if left < 1:
            raise RateExceeded(ceil((1 - left) / _A_SECOND))
        self._left[client] = (left - 1, now)
        full_in = ceil((A_MINUTE - left + 1) / _A_SECOND)
        return {
            "RateLimit-Policy": f'"requests";q={A_MINUTE};w=60',
            "RateLimit": f'"requests";r={int(left - 1)};t={full_in}',
        }
