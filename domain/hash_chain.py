"""Each history is a chain of hashes over the bytes that are stored, so that an alteration of any of them shows."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from domain.store import Store

NOTHING: Final = b""
"""The hash in front of the first event of a history."""


def chained(previous: bytes, history: bytes, version: int, topic: bytes, state: bytes) -> bytes:
    """The hash of an event: SHA-256 over that of the event before it in its history, and over all that is stored of it.

    `history` is the id of the history in 32 hexadecimal digits.
    """
    return sha256(b"%b%b/%d/%b\n%b" % (previous, history, version, topic, state)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenChain:
    """The first event of a log that is not as it was stored.

    `event` is its id as far as it can be read, `position` its place in the log; None where it is missing.
    """

    event: str
    position: int | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPart:
    """A part of a log that was checked: how many events, and where the next part begins; None at the end.

    A part ends in front of what is `broken`.
    """

    events: int
    next: str | None
    broken: BrokenChain | None = None


class ChainedStore(Store, Protocol):
    """A store whose histories can be checked."""

    def check_chains(self, after: str, limit: int) -> CheckedPart:
        """Check the next events, at most `limit`, in the order of the log; and behind the last one, every head.

        `after` is empty at first, and then the `next` of the part before. Raises `ValueError` for another text, and
        `StoreFailed`.
        """
        ...
