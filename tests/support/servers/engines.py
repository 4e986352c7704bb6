"""What a server of our own runs in, and how it is started and stopped there."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

_PATIENCE = 600.0
_PAUSE = 0.05

Found = TypeVar("Found")


class Unavailable(Exception):
    """There is no such server here; the text says why."""


class Engine(Protocol):
    """A process, or a container: on the same port and the same data from one start to the next."""

    def start(self) -> None:
        """Start the server; it need not be ready yet. Raises Unavailable."""

    def stop(self, *, hard: bool) -> None:
        """End the server as it likes to be ended, or `hard`: with SIGKILL, in the middle of whatever it does."""

    def ended(self) -> str | None:
        """The last lines of a server that has ended unasked; None while it runs."""

    def close(self) -> None:
        """End the server for good, and remove all that it left."""


class OwnServer(ABC):
    """A server for one test alone, so that it may be stopped and started at will."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server does its work now."""

    def start(self) -> None:
        """Start the server, and wait until it answers. Raises Unavailable."""
        self._engine.start()
        deadline = time.monotonic() + _PATIENCE
        while not self.answers():
            if (last_words := self._engine.ended()) is not None:
                raise Unavailable(f"it ended while starting: {last_words}")
            if time.monotonic() > deadline:
                raise Unavailable(f"it did not answer within {_PATIENCE:.0f} seconds")
            time.sleep(_PAUSE)

    def stop(self, *, hard: bool = False) -> None:
        """End the server and keep its data; `hard` is kill -9."""
        self._engine.stop(hard=hard)

    def restart(self, *, hard: bool = False) -> None:
        """Stop the server and start it again, on the same port and the same data, until it answers."""
        self.stop(hard=hard)
        self.start()

    def close(self) -> None:
        """End the server for good, and remove all that it left."""
        self._engine.close()


Server = TypeVar("Server", bound=OwnServer)


def started(server: Server) -> Server:
    """The server once it answers; one that does not is closed. Raises Unavailable."""
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


def first_available(name: str, ways: Sequence[Callable[[], Found]]) -> Found:
    """What the first way leads to that leads anywhere. Raises Unavailable, with the reason of each, where none does."""
    reasons = []
    for way in ways:
        try:
            return way()
        except Unavailable as reason:
            reasons.append(str(reason))
    raise Unavailable(f"no {name} here: {'; '.join(reasons)}")
