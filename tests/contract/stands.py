"""What the suites need of an adapter beyond its port, and what they store."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from domain.hash_chain import BrokenChain, ChainedStore
from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.portal import DriverCreated, DriverUpdated
from domain.store import (
    CommandAnswer,
    DeadLetter,
    ErasedEvent,
    Event,
    HistoryHead,
    JournalRow,
    MendedRecord,
    MigratedTables,
    Position,
    ReadModelVersion,
    Resubmission,
    Row,
    Store,
    Stream,
    Unit,
)
from services.runtime.read_models import RebuildableStore

SOURCE = "1/upstream.v1/0"
"""The stream whose positions the suites keep."""

_AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Row):
    """A row with a column of each type."""

    TABLE: ClassVar[str] = "contract_entries"
    KEY: ClassVar[tuple[str, ...]] = ("account", "name")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "size"),)

    account: str
    name: str
    size: int
    weight: float
    is_there: bool
    note: str | None
    is_seen: bool | None
    tags: list[str]
    profile: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Row):
    """A row that is nothing but its key."""

    TABLE: ClassVar[str] = "contract_ticks"
    KEY: ClassVar[tuple[str, ...]] = ("account", "name")

    account: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore(Row):
    """A row that is searched by columns that are empty in most rows."""

    TABLE: ClassVar[str] = "contract_chores"
    KEY: ClassVar[tuple[str, ...]] = ("account", "name")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("account", "due"), ("begun",))
    SPARSE: ClassVar[frozenset[str]] = frozenset({"due", "begun"})
    WORK: ClassVar[tuple[str, ...]] = ("due",)

    account: str
    name: str
    due: str = ""
    begun: int = 0


ROWS: tuple[type[Row], ...] = (Entry, Tick, Chore)
"""The tables that the store on a stand has to have."""


ROWS_OF_EVERY_STORE: tuple[Row, ...] = (
    DeadLetter(
        stream=SOURCE,
        position=7,
        log_position=3,
        id="0b1a4f52-6d0e-4d5c-9a5e-6f7f6f0f2c11/2",
        topic="?",
        headers=[["ce_id", "/w=="]],
        body="/w==",
        reason="unknown type '?'",
        at="2026-01-05T08:00:00+00:00",
        key="/w==",
        overtaken_by=3,
    ),
    Resubmission(stream=SOURCE, position=7, log_position=3, id="?", topic="?", body="/w=="),
    MendedRecord(log="upstream.v1", log_position=3, id="?", topic="?", body="/w=="),
    ReadModelVersion(name="seats", version="1"),
    MigratedTables(number=1, name="seats"),
    CommandAnswer(
        key="k", caller="c", number=1, hour="2026-01-05T08", account="acme", fingerprint="f", status=200, answer="?"
    ),
    JournalRow(
        id="1", at="?", account="acme", command="?", subject="?", by="jane", role="?", authenticated="", note="tidy up"
    ),
    HistoryHead(history="0b1a4f526d0e4d5c9a5e6f7f6f0f2c11", version=2, hash="?"),
    ErasedEvent(position=3, hash="?"),
)
"""A row of each table that a store has whatever its service keeps."""


class StreamStand(Protocol):
    """A stream, and its other side."""

    @property
    def stream(self) -> Stream:
        """The stream; without any record at first."""
        ...

    def put(self, events: Sequence[Event]) -> None:
        """Append these facts, in this order."""
        ...

    def put_record(self, topic: str, body: bytes) -> None:
        """Append a record as it is, readable or not. Its position may well leave a gap."""
        ...


class StoreStand(Protocol):
    """A store with the tables of `ROWS`, and what can happen to it."""

    @property
    def store(self) -> Store:
        """The store; empty at first."""
        ...

    def reopen(self) -> None:
        """Close the store, and open it again where it was."""
        ...

    def full_disk(self) -> AbstractContextManager[None]:
        """While this lasts, the store cannot grow."""
        ...


class RebuildableStand(Protocol):
    """A store of which read models can be made again."""

    @property
    def store(self) -> RebuildableStore:
        """The store; empty at first."""
        ...


class ChainedStand(Protocol):
    """A store whose histories can be checked."""

    @property
    def store(self) -> ChainedStore:
        """The store; empty at first."""
        ...

    def reopen(self) -> None:
        """Close the store, and open it again where it was."""
        ...


def broken_in(store: ChainedStore, *, limit: int = 3) -> tuple[int, BrokenChain | None]:
    """How many events are as they were stored, and the first that is not."""
    part = store.check_chains("", limit)
    events = part.events
    while part.next is not None:
        part = store.check_chains(part.next, limit)
        events += part.events
    return events, part.broken


def entry(name: str, *, account: str = "acme", size: int = 0, **profile: str) -> Entry:
    """A row of this key."""
    return Entry(
        account=account,
        name=name,
        size=size,
        weight=0.5,
        is_there=True,
        note=None,
        is_seen=None,
        tags=[],
        profile=profile,
    )


def fact(driver: str = "417", version: int = 1) -> DriverCreated | DriverUpdated:
    """A fact of this version of a driver's history."""
    kind = DriverCreated if version == 1 else DriverUpdated
    account = AccountId("acme")
    return kind(
        originator_id=portal_driver_stream(account, PortalDriverId(driver)),
        originator_version=version,
        at=_AT,
        account=account,
        driver=driver,
        source="export",
        profile={"first_name": f"Jane {version}", "last_name": "Doe"},
    )


def unit(*events: Event, rows: Sequence[Row] = (), at: int | None = None) -> Unit:
    """What is to be stored, with the position `at` in `SOURCE` if one is given."""
    made = Unit(events=list(events), positions=[] if at is None else [Position(name=SOURCE, at=at)])
    made.keep(rows)
    return made


def renamed(event: DriverCreated | DriverUpdated, first_name: str) -> Event:
    """The same fact with another first name."""
    return replace(event, profile={**event.profile, "first_name": first_name})
