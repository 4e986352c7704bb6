"""What a vendor shows whose lists and look-ups lag behind its writes."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Shown = TypeVar("Shown")
Version = TypeVar("Version")


class Lagging(Generic[Shown, Version]):
    """A copy that takes over each write `lag` milliseconds after it was made, in the order of writes."""

    def __init__(self, shown: Shown, put: Callable[[Shown, Version | None, Version], None], lag: float) -> None:
        self._shown = shown
        self._put = put
        self._lag = lag
        self._coming: deque[tuple[float, Version | None, Version]] = deque()

    def add(self, before: Version | None, after: Version, at: int) -> None:
        """A version took the place of another one, or of nothing, at this moment, in milliseconds since the epoch."""
        self._coming.append((at + self._lag, before, after))

    def at(self, now: int) -> Shown:
        """What is shown at this moment; it is to be read only."""
        while self._coming and self._coming[0][0] <= now:
            _, before, after = self._coming.popleft()
            self._put(self._shown, before, after)
        return self._shown
