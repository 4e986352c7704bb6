"""How much is read of many answers together: each can be short, and all of them without an end."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, ParamSpec, TypeVar

from adapters.answer import MEGABYTE, read_bytes
from adapters.http import down
from domain.failures import ListWithoutEnd

P = ParamSpec("P")
T = TypeVar("T")

MOST_OF_A_ROSTER: Final = 2000 * MEGABYTE
"""Bytes of all pages of a scan: three readings of 150,000 drivers, of whom each takes 4 kB."""

MOST_OF_THE_PORTAL: Final = 1000 * MEGABYTE
"""Bytes of the Portal's list, with the attributes of each driver, of whom each takes 6 kB."""


class Total:
    """The bytes of all answers to some questions, and the most that they may be; `what` names them for people."""

    def __init__(self, what: str, most: int) -> None:
        self._what = what
        self._most = most
        self._taken = 0

    def of(self, ask: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[None, None, T]]:
        """The same question, whose answers count. It raises `ListWithoutEnd` where all together are too long."""

        async def asked(*args: P.args, **kwargs: P.kwargs) -> T:
            with read_bytes() as counted:
                answer = await ask(*args, **kwargs)
            self._add(sum(counted))
            return answer

        return asked

    def _add(self, taken: int) -> None:
        self._taken += taken
        if self._taken > self._most:
            told = f"{self._what} is longer than {self._most / MEGABYTE:g} MB in all"
            raise ListWithoutEnd(down(f"{told}: check with the vendor what this account's list shows"))
