"""The chains of hashes in a relational store: extended with each commit, and checked."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from adapters.events import names_in
from adapters.store.tables import Dialect
from domain.account import AccountErased
from domain.hash_chain import NOTHING, BrokenChain, ChainedEvent, CheckedPart, Leaf, chained, place_behind

T = TypeVar("T")

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_MOST: Final = 20_000
"""Heads that are remembered; the one that was extended longest ago is forgotten first."""

_TOGETHER: Final = 5000
"""Events that one query asks for."""

_LARGEST: Final = 2**63 - 1
"""The largest version that a store can be asked for."""

_EVENTS: Final = "events"
_HEADS: Final = "heads"
"""What a part of a check is about: it goes through the events first."""


_Head = tuple[int, bytes]
"""The version and the hash of the last event of a history."""

_NONE: Final[_Head] = (0, NOTHING)
"""What stands for it in a history without an event."""


class _Place(NamedTuple):
    """Where an event stands in its history."""

    history: UUID
    version: int

    def __str__(self) -> str:
        """The id of the event."""
        return f"{self.history}/{self.version}"


class _StoredHash(NamedTuple):
    """The hash of an event as it is stored, and where the event stands in the log."""

    position: int
    hash: bytes


class _RawEvent(NamedTuple):
    """All that is stored of an event."""

    position: int
    history: bytes
    version: Any
    topic: bytes
    state: bytes
    hash: bytes
    account: bytes
    driver: bytes

    @property
    def place(self) -> _Place | None:
        """Where it stands in its history; None where what is stored there cannot be one."""
        try:
            history = UUID(self.history.decode())
        except ValueError:
            return None
        is_whole = history.hex.encode() == self.history and type(self.version) is int and self.version > 0
        return _Place(history, self.version) if is_whole else None

    def follows(self, previous: bytes) -> bool:
        """Whether it is as it was stored, behind an event with this hash, and is found by what it says."""
        if self.hash != chained(previous, self.history, self.version, self.topic, self.state):
            return False
        account, driver = names_in(self.state)
        return (self.account, self.driver) == (account.encode(), driver.encode())


class Chains:
    """The chains of one store. Of histories that were extended last it knows the heads, and asks only for others."""

    def __init__(self, fetch: Fetch, dialect: Dialect) -> None:
        self._fetch = fetch
        self._dialect = dialect
        self._heads: OrderedDict[UUID, _Head] = OrderedDict()

    def extend(self, stored: Sequence[StoredEvent]) -> list[bytes]:
        """The hash of each of these events, which are about to be stored. Raises `StoreFailed`."""
        hashes, heads = list[bytes](), self._before(stored)
        history: Any  # the library's type says that it may be a text
        for each in stored:
            history, version = each.originator_id, each.originator_version
            known, previous = heads.get(history, _NONE)
            if known != version - 1:
                previous = NOTHING
            hash = chained(previous, history.hex.encode(), version, each.topic.encode(), each.state)  # noqa: A001 - the field's word
            heads[history] = (version, hash)
            hashes.append(hash)
        return hashes

    def remember(self, stored: Sequence[StoredEvent], hashes: Sequence[bytes]) -> None:
        """These events are stored."""
        for each, hash in zip(stored, hashes, strict=True):  # noqa: A001 - as above
            history: Any = each.originator_id
            self._heads[history] = (each.originator_version, hash)
            self._heads.move_to_end(history)
        while len(self._heads) > _MOST:
            self._heads.popitem(last=False)

    def forget(self) -> None:
        """What is remembered may not be stored."""
        self._heads.clear()

    def check(self, after: str, limit: int) -> CheckedPart:
        """The next part of a check; see `ChainedStore`."""
        kind, _, behind = after.partition(":")
        if kind in ("", _EVENTS):
            return self._check_events(place_behind(behind), limit)
        if kind == _HEADS:
            return self._check_heads(behind, limit)
        raise ValueError(f"a part of a check begins neither with {_EVENTS} nor with {_HEADS}")

    def leaves(self, after: int, through: int, limit: int) -> list[Leaf]:
        """What is in the log, or was erased from it; see `ChainedStore`."""
        position, placeholder = self._dialect.position, self._dialect.placeholder
        found = list[Leaf]()
        for column, table in ((position, "stored_events"), ("position", "erased_events")):
            rest = f"WHERE {column} > {placeholder} AND {column} <= {placeholder} ORDER BY {column} LIMIT {placeholder}"
            rows = self._fetch(f"SELECT {column}, hash FROM {table} {rest}", [after, through, limit])  # noqa: S608 - our own names
            found += [Leaf(position=at, hash=_to_bytes(value)) for at, value in rows]
        return sorted(found, key=attrgetter("position"))[:limit]

    def events(self, after: int, through: int, limit: int) -> list[ChainedEvent]:
        """What is stored of the next events; see `ChainedStore`."""
        page = self._raw_events(after, through, limit)
        hashes = self._hashes(page)
        return [_to_chained(each, hashes) for each in page]

    def _before(self, stored: Sequence[StoredEvent]) -> dict[UUID, _Head]:
        """What stands in front of the first of these events of each history, where something does."""
        first: dict[Any, int] = {}
        for each in stored:
            first.setdefault(each.originator_id, each.originator_version - 1)
        heads, unknown = dict[UUID, _Head](), list[UUID]()
        for history, version in first.items():
            head = self._heads.get(history, _NONE)
            if head[0] == version:
                heads[history] = head
            elif version > 0:
                unknown.append(history)
        # A head of another version is not the one to go on from: the events are refused, or the history begins again.
        stored_heads = self._stored_heads(unknown).items()
        return heads | {history: head for history, head in stored_heads if head[0] == first[history]}

    def _check_events(self, after: int, limit: int) -> CheckedPart:
        page = self._raw_events(after, _LARGEST, limit)
        heads = self._stored_heads({place.history for each in page if (place := each.place)})
        hashes = self._hashes(page)
        for number, each in enumerate(page):
            if broken := self._broken(each, hashes, heads):
                return CheckedPart(events=number, next=None, broken=broken)
        is_end = len(page) < limit
        return CheckedPart(events=len(page), next=f"{_HEADS}:" if is_end else f"{_EVENTS}:{page[-1].position}")

    def _raw_events(self, after: int, through: int, limit: int) -> list[_RawEvent]:
        position, placeholder = self._dialect.position, self._dialect.placeholder
        part = f"{position} > {placeholder} AND {position} <= {placeholder}"
        rest = f"WHERE {part} ORDER BY {position} LIMIT {placeholder}"
        sql = f"SELECT {position}, {self._dialect.raw} FROM stored_events {rest}"  # noqa: S608 - our own names
        return [_RawEvent(*values) for values in self._fetch(sql, [after, through, limit])]

    def _hashes(self, page: Sequence[_RawEvent]) -> dict[_Place, _StoredHash]:
        """The hashes of these events, and of those that they follow."""
        hashes = {place: _StoredHash(each.position, each.hash) for each in page if (place := each.place)}
        before = {_Place(place.history, place.version - 1) for place in hashes if place.version > 1}
        return hashes | self._found(before - hashes.keys())

    def _broken(
        self, event: _RawEvent, hashes: Mapping[_Place, _StoredHash], heads: Mapping[UUID, _Head]
    ) -> BrokenChain | None:
        """What is wrong with an event, given what is in front of it, and the head of its history."""
        place = event.place
        if place is None or place.version > heads.get(place.history, _NONE)[0]:
            return _altered(event)
        previous = hashes.get(_Place(place.history, place.version - 1))
        begins = place.version == 1 or event.topic.decode(errors="replace") == AccountErased.TOPIC
        if previous is None and not begins:
            return self._missing(place)
        if previous and previous.position > event.position:
            problem = "stands in front of the event that it follows"
            return BrokenChain(event=str(place), position=event.position, problem=problem)
        return None if event.follows(previous.hash if previous else NOTHING) else _altered(event)

    def _missing(self, behind: _Place) -> BrokenChain:
        """The first event of a history that is missing in front of this one."""
        placeholder = self._dialect.placeholder
        sql = f"SELECT MAX(originator_version) FROM stored_events WHERE originator_id = {placeholder}"  # noqa: S608 - only placeholders
        sql += f" AND originator_version < {placeholder}"
        ((last,),) = self._fetch(sql, [self._dialect.from_uuid(behind.history), behind.version])
        missing = _Place(behind.history, (last or 0) + 1)
        return BrokenChain(event=str(missing), position=None, problem="is missing")

    def _check_heads(self, behind: str, limit: int) -> CheckedPart:
        placeholder = self._dialect.placeholder
        rest = f"WHERE history > {placeholder} ORDER BY history LIMIT {placeholder}"
        page = self._fetch(f"SELECT history, version, hash FROM history_heads {rest}", [behind, limit])  # noqa: S608 - as above
        places = {history: _end_of(history, version) for history, version, _ in page}
        hashes = self._found([place for place in places.values() if place])
        for history, version, head in page:
            place = places[history]
            if place is None:
                problem = "is stored as the end of a history, and cannot be one"
                broken = BrokenChain(event=f"{history}/{version}", position=None, problem=problem)
                return CheckedPart(events=0, next=None, broken=broken)
            found = hashes.get(place)
            if found is None:
                missing = self._missing(place._replace(version=place.version + 1))
                return CheckedPart(events=0, next=None, broken=missing)
            if found.hash.hex() != head:
                problem = "is not the end of its history that was stored"
                altered = BrokenChain(event=str(place), position=found.position, problem=problem)
                return CheckedPart(events=0, next=None, broken=altered)
        return CheckedPart(events=0, next=f"{_HEADS}:{page[-1][0]}" if len(page) == limit else None)

    def _stored_heads(self, histories: Collection[UUID]) -> dict[UUID, _Head]:
        """The heads of these histories, of those that have one."""
        found: dict[UUID, _Head] = {}
        for some in _parts(histories):
            one_of = self._dialect.one_of([each.hex for each in some])
            sql = f"SELECT history, version, hash FROM history_heads WHERE history {one_of.sql}"  # noqa: S608 - our own names
            rows = self._fetch(sql, one_of.parameters)
            found |= {UUID(history): _to_head(version, hash) for history, version, hash in rows}  # noqa: A001 - as above
        return found

    def _found(self, places: Collection[_Place]) -> dict[_Place, _StoredHash]:
        """The events that there are at these places."""
        found: dict[_Place, _StoredHash] = {}
        for some in _parts(places):
            own = [(self._dialect.from_uuid(each.history), each.version) for each in some]
            wanted = self._dialect.combinations([self._dialect.id, "BIGINT"], own)
            sql = (
                f"SELECT originator_id, originator_version, {self._dialect.position}, hash FROM stored_events "  # noqa: S608 - as above
                f"WHERE (originator_id, originator_version) IN ({wanted.sql})"
            )
            for history, version, position, hash in self._fetch(sql, wanted.parameters):  # noqa: A001 - the field's word
                found[_Place(self._dialect.to_uuid(history), version)] = _StoredHash(position, bytes(hash))
        return found


def _end_of(history: Any, version: Any) -> _Place | None:  # noqa: ANN401 - whatever is stored there
    """Where the last event of a history is said to stand; None where that cannot be a place."""
    try:
        is_place = UUID(history).hex == history and type(version) is int and 0 < version < _LARGEST
    except (ValueError, AttributeError):
        return None
    return _Place(UUID(history), version) if is_place else None


def _to_head(version: Any, stored: Any) -> _Head:  # noqa: ANN401 - as above
    """The end of a history as it is stored; a hash that is none is that of no event."""
    try:
        head = bytes.fromhex(stored)
    except (ValueError, TypeError):
        head = NOTHING
    return (version, head) if type(version) is int else _NONE


def _to_bytes(stored: bytes | str) -> bytes:
    return bytes.fromhex(stored) if isinstance(stored, str) else bytes(stored)


def _parts(values: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(values)
    while some := list(islice(remaining, _TOGETHER)):
        yield some


def _to_chained(event: _RawEvent, hashes: Mapping[_Place, _StoredHash]) -> ChainedEvent:
    place = event.place
    before = hashes.get(_Place(place.history, place.version - 1)) if place else None
    return ChainedEvent(
        position=event.position,
        history=event.history.decode(errors="replace"),
        version=event.version if type(event.version) is int else 0,
        topic=event.topic.decode(errors="replace"),
        state=event.state,
        previous=before.hash if before else NOTHING,
        hash=event.hash,
    )


def _altered(event: _RawEvent) -> BrokenChain:
    name = event.place or f"{event.history.decode(errors='replace')}/{event.version}"
    return BrokenChain(event=str(name), position=event.position, problem="is not as it was stored")


def keep_hashes(dialect: Dialect, condition: str) -> str:
    """The statement that keeps the hashes of events that meet a condition, and are about to be erased."""
    gone = f"SELECT {dialect.position}, {dialect.hash_text} FROM stored_events WHERE {condition}"  # noqa: S608 - our own names
    return f"INSERT INTO erased_events (position, hash) {gone}"


def forget_heads(dialect: Dialect, condition: str) -> str:
    """The statement that removes the heads of histories with an event that meets a condition."""
    gone = f"SELECT {dialect.history} FROM stored_events WHERE {condition}"  # noqa: S608 - our own names
    return f"DELETE FROM history_heads WHERE history IN ({gone})"  # noqa: S608 - as above
