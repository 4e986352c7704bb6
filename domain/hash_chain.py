"""Each history is a chain of hashes over the bytes that are stored, so that an alteration of any of them shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

from domain.store import Event, Store

NOTHING: Final = b""
"""The hash in front of the first event of a history."""

SEALED_UP_TO: Final = "sealed up to"
"""The position in a store up to which profiles were stored plain once: the events there had other bytes then."""


def chained(previous: bytes, history: bytes, version: int, topic: bytes, state: bytes) -> bytes:
    """The hash of an event: SHA-256 over that of the event before it in its history, and over all that is stored of it.

    `history` is the id of the history in 32 hexadecimal digits.
    """
    return sha256(b"%b%b/%d/%b\n%b" % (previous, history, version, topic, state)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a root says of one event: where it stands in its log, and its hash."""

    position: int
    hash: bytes

    @property
    def digest(self) -> bytes:
        """Its leaf in the tree."""
        return sha256(b"\x00%b%b" % (self.position.to_bytes(8, "big"), self.hash)).digest()


Step = tuple[str, bytes]
"""One step on the way from a leaf to the root: on which side the other half stands, `left` or `right`, and its hash."""


def root_of(leaves: Sequence[Leaf], index: int = 0) -> tuple[bytes, list[Step]]:
    """The root of the Merkle tree over these leaves, of which there is one at least, and the way to it from one leaf.

    The tree is that of RFC 6962: a leaf's hash begins with a zero byte, and that of two halves with a one.
    """
    level, way = [leaf.digest for leaf in leaves], list[Step]()
    while len(level) > 1:
        other = index ^ 1
        if other < len(level):
            way.append(("left" if other < index else "right", level[other]))
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [sha256(b"\x01" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
        index //= 2
    return level[0], way


@dataclass(frozen=True, kw_only=True)
class RootsSigned(Event, topic="Log.RootsSigned"):
    """The Merkle roots over what the logs had by then, signed: `account` is empty, for they are of every account.

    Where profiles had been stored plain, and were sealed since the roots before, `sealed` in the statement says up to
    which position of each log: the roots of these logs begin again in front of everything.
    `statement` is JSON: for each log with new events its root over those behind the position `after` and up to
    `through`, and `previous`, the signature before this. `key` is the public key of Ed25519 by which the `signature`
    over the statement is checked; both are hexadecimal.
    """

    statement: str
    key: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class HistoryArchived(Event, topic="Log.HistoryArchived"):
    """A part of a log was copied to an archive file; `account` is empty, for it is of every account.

    It is the part that one signed `root` covers: behind the position `after` and up to `through`. The file has `events`
    whole, and of those that were `erased` only their positions and hashes. `sha256` is of its bytes, and `root` and
    `sha256` are hexadecimal. A later one about the same part is about the file that took its place.
    """

    log: str
    after: int
    through: int
    root: str
    events: int
    erased: int
    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ArchiveDeleted(Event, topic="Log.ArchiveDeleted"):
    """The archive of a part of a log was deleted, and none is written again; fields are as in `HistoryArchived`."""

    log: str
    after: int
    through: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEvent:
    """All that is stored of an event, with the hash of the event before it in its history; `history` as in `chained`.

    Text that is not UTF-8, and a version that is not a number, are only approximately what is stored: then the hash
    does not match either.
    """

    position: int
    history: str
    version: int
    topic: str
    state: bytes
    previous: bytes
    hash: bytes

    @property
    def id(self) -> str:
        """Its id, as in a record; what cannot be one as it is."""
        is_id = len(self.history) == _ID_DIGITS and self.history.isalnum() and self.history.isascii()
        digits = self.history
        name = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) if is_id else digits
        return f"{name}/{self.version}"

    @property
    def is_whole(self) -> bool:
        """Whether it is as it was stored."""
        place = (self.history.encode(errors="replace"), self.version, self.topic.encode(errors="replace"))
        return self.hash == chained(self.previous, *place, self.state)

    @property
    def leaf(self) -> Leaf:
        """What a root says of it."""
        return Leaf(position=self.position, hash=self.hash)


_ID_DIGITS: Final = 32


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

    A part ends in front of what is `broken`. Of roots `former` counts those that were signed over other bytes, before
    profiles were sealed: only how many events they cover is checked.
    """

    events: int
    next: str | None
    broken: BrokenChain | None = None
    former: int = 0


_LARGEST: Final = 2**63 - 1


def place_behind(text: str) -> int:
    """The number behind which a part begins; 0 for an empty text. Raises `ValueError` for what no part ends with."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST)) and int(text) <= _LARGEST):
        raise ValueError("a part begins behind a number")
    return int(text)


class ChainedStore(Store, Protocol):
    """A store whose histories can be checked."""

    def leaves(self, after: int, through: int, limit: int) -> Sequence[Leaf]:
        """What the log has, or had before it was erased, behind `after` and up to `through`, at most `limit`, in order.

        Raises `StoreFailed`.
        """
        ...

    def chained_events(self, after: int, through: int, limit: int) -> Sequence[ChainedEvent]:
        """The events of the log behind `after` and up to `through` as they are stored, at most `limit`, in order.

        Raises `StoreFailed`.
        """
        ...

    def check_chains(self, after: str, limit: int) -> CheckedPart:
        """Check the next events, at most `limit`, in the order of the log; and behind the last one, every head.

        `after` is empty at first, and then the `next` of the part before. Raises `ValueError` for another text, and
        `StoreFailed`.
        """
        ...
