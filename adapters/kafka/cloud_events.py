"""Records as CloudEvents 1.0 in Kafka's binary mode: attributes as headers, the stored JSON as the value.

Specification: CloudEvents 1.0.2, "Kafka Protocol Binding", section 3.2.
Kafka accepts header names that are not UTF-8, and its client would stop at the first one for good. It has no setting
for that, so our reader of fetched records replaces its own.
Format of the records: Apache Kafka, "Record Batch" and "Record" in the description of its messages.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Protocol

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint
from eventsourcing.persistence import StoredEvent

from adapters.events import EventMapper, PageOfKeys, decoded, envelope_of, to_stored_event
from adapters.kafka.connection import StreamsFailed
from domain.store import Event, Record


class ConsumerRecord(Protocol):
    """A record as Kafka's client hands it over."""

    @property
    def topic(self) -> str:
        """The topic that it is in."""
        ...

    @property
    def partition(self) -> int:
        """The number of its partition."""
        ...

    @property
    def offset(self) -> int:
        """Its place in the partition, from 0 on."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key, where it has one."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value; without one it is a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Its headers; names may come more than once, values may be missing."""
        ...


Headers = tuple[tuple[str, bytes], ...]

SPECIFICATION = "1.0"
JSON = "application/json"

INSTALLATION = "ce_installation"
"""The header that says which installation wrote a record."""

EPOCH = "ce_epoch"
"""The header that says in which epoch a record was sent: the whole log is sent again in a later one."""

TARGET = "ce_target"
"""The header that names the only target that a record concerns; absent where it may concern each of them."""

_SEQUENCE = "ce_sequence"

_NEEDED = ("ce_specversion", "ce_id", "ce_type", _SEQUENCE, "content-type")

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest value that is decoded."""

_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[1-9][0-9]*")
"""The id of an event as we write it: originator/version."""

_MOST = 2**63 - 1
"""The largest number that every store can hold."""


class _Unreadable(Exception):
    """A record cannot be read; the message says why, and quotes none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record as it is sent, to the partition of its account; one without a value is a tombstone."""

    key: bytes
    headers: Headers
    value: bytes | None
    account: str


def to_outgoing(record: Record, service: str, installation: str = "", epoch: str = "") -> Outgoing:
    """A record of this service's own log as it is sent, without reading the event.

    Raises `StreamsFailed` when this version does not know it.
    """
    envelope = envelope_of(record.body)
    if envelope is None or record.topic not in Event.BY_TOPIC:
        raise StreamsFailed(f"record {record.position} of the log of {service} cannot be relayed: {record.reason}")
    attributes = {
        "ce_specversion": SPECIFICATION,
        "ce_id": record.id,
        "ce_source": f"/driverlink/{service}",
        "ce_type": record.topic,
        "ce_subject": envelope.driver,
        "ce_time": envelope.time,
        _SEQUENCE: str(record.log_position),
        TARGET: record.target,
        INSTALLATION: installation,
        EPOCH: epoch,
        "content-type": JSON,
    }
    headers = tuple((name, value.encode()) for name, value in attributes.items() if value)
    return Outgoing(key=envelope.account.encode(), headers=headers, value=record.body, account=envelope.account)


def to_outgoing_state(record: Record, service: str, installation: str = "", epoch: str = "") -> Outgoing:
    """The state of a link as it is sent: what its key says is in the headers, too, as far as records have it there."""
    account, target, driver = json.loads(record.key or b"")
    attributes = {
        "ce_specversion": SPECIFICATION,
        "ce_id": record.id,
        "ce_source": f"/driverlink/{service}",
        "ce_type": record.topic,
        "ce_subject": driver,
        _SEQUENCE: str(record.log_position or ""),
        TARGET: target,
        INSTALLATION: installation,
        EPOCH: epoch,
        "content-type": JSON if record.body else "",
    }
    headers = tuple((name, value.encode()) for name, value in attributes.items() if value)
    return Outgoing(key=record.key or b"", headers=headers, value=record.body or None, account=account)


def to_records(mapper: EventMapper, messages: Sequence[ConsumerRecord], epoch: str = "") -> list[Record]:
    """The records that these messages stand for, whose keys are asked for together when the first one is read."""
    keys = PageOfKeys(mapper, [each.value for each in messages if each.value and len(each.value) <= LARGEST])
    return [to_record(mapper, message, epoch, keys) for message in messages]


def to_record(mapper: EventMapper, message: ConsumerRecord, epoch: str = "", keys: PageOfKeys | None = None) -> Record:
    """The record that a message stands for; whatever it holds, nothing is raised but that keys cannot be asked for.

    `epoch` is the one that is read; a record that does not say in which it was sent is of any.
    """
    headers = tuple([(name, value or b"") for name, value in message.headers])
    attributes = dict(headers)
    return Record(
        position=message.offset + 1,
        log_position=_number(_text(attributes.get(_SEQUENCE))),
        id=_text(attributes.get("ce_id")),
        topic=_text(attributes.get("ce_type")),
        body=message.value or b"",
        decode=partial(_decoded, mapper, message, keys),
        target=_text(attributes.get(TARGET)),
        is_stale=bool(epoch) and (_text(attributes.get(EPOCH)) or epoch) != epoch,
        headers=headers,
        key=message.key,
    )


def _decoded(mapper: EventMapper, message: ConsumerRecord, keys: PageOfKeys | None) -> tuple[Event | None, str]:
    try:
        return _to_event(mapper, message, keys), ""
    except _Unreadable as failure:
        return None, str(failure)


def _text(value: bytes | None) -> str:
    """The text of a header; empty where it cannot be read."""
    try:
        return value.decode() if value else ""
    except UnicodeDecodeError:
        return ""


def _to_event(mapper: EventMapper, message: ConsumerRecord, keys: PageOfKeys | None) -> Event:
    attributes = _attributes(message)
    if message.value is None:
        raise _Unreadable("it has no value: a tombstone")
    if len(message.value) > LARGEST:
        raise _Unreadable(f"its value has {len(message.value)} bytes, more than {LARGEST}")
    stored = _to_stored_event(attributes, message.value)
    try:
        event, reason = decoded(mapper, stored, keys.ciphers if keys else None)
    except RecursionError:
        event, reason = None, f"{stored.topic} cannot be read: it is nested too deeply"
    if event is None:
        raise _Unreadable(reason)
    if message.key is None or message.key != event.account.encode("utf-8", "surrogatepass"):
        raise _Unreadable("its key is not the event's account")
    if not _is_in_range(event.at):
        raise _Unreadable(f"{event.TOPIC} cannot be read: its moment has no offset, or is out of range")
    return event


def _attributes(message: ConsumerRecord) -> dict[str, str]:
    """The headers, all of which can be read."""
    found: dict[str, str] = {}
    for name, value in message.headers:
        if SUBSTITUTE in name:
            raise _Unreadable("the name of a header is not UTF-8")
        if value is None:
            raise _Unreadable(f"the header {name!r} has no value")
        if name in found and name.startswith("ce_"):
            raise _Unreadable(f"the header {name!r} comes more than once")
        try:
            found[name] = value.decode()
        except UnicodeDecodeError:
            raise _Unreadable(f"the header {name!r} is not UTF-8") from None
    return found


def _to_stored_event(attributes: Mapping[str, str], value: bytes) -> StoredEvent:
    for name in _NEEDED:
        if name not in attributes:
            raise _Unreadable(f"the header {name!r} is missing")
    _check_attributes(attributes)
    event_id = attributes["ce_id"]
    try:
        stored = to_stored_event(event_id, attributes["ce_type"], value)
    except ValueError:
        raise _Unreadable("ce_id is not the id of an event: originator/version") from None
    if not _ID.fullmatch(event_id) or stored.originator_version > _MOST:
        raise _Unreadable("ce_id is not the id of an event: originator/version")
    return stored


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if attributes["ce_specversion"] != SPECIFICATION:
        raise _Unreadable(f"ce_specversion is {attributes['ce_specversion']!r}, not {SPECIFICATION!r}")
    if attributes["content-type"].partition(";")[0].strip().lower() != JSON:
        raise _Unreadable(f"content-type is {attributes['content-type']!r}, not {JSON!r}")
    if not _number(attributes["ce_sequence"]):
        raise _Unreadable("ce_sequence is not a position in a log")
    if not _is_moment(attributes.get("ce_time")):
        raise _Unreadable("ce_time is not a moment, or is out of range")


def _number(text: str) -> int:
    """The positive number of this text, written as we write them; else 0."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_MOST)) + 1 else 0
    return number if str(number) == text and number <= _MOST else 0


def _is_moment(text: str | None) -> bool:
    """Whether this is a moment with an offset, and in UTC one too; or nothing is said."""
    if text is None:
        return True
    try:
        return _is_in_range(datetime.fromisoformat(text))
    except ValueError:
        return False


def _is_in_range(moment: datetime) -> bool:
    """Whether a moment has an offset, and is one in UTC too."""
    if moment.tzinfo is UTC:
        return True
    try:
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None


SUBSTITUTE = "\x1a"
"""Stands for each byte of such a name."""

_LENGTH = slice(8, 12)
_FIRST_BYTES = 12
"""A batch says how long it is, without these bytes."""

_ATTRIBUTES = slice(21, 23)
_CODEC = 0x07
_RECORDS = 61
"""Where the records of a batch begin."""


def tolerate_header_names() -> None:
    """Let consumers read such names from now on."""
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """What was fetched, batch by batch."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = data
        self._at = 0

    def size_in_bytes(self) -> int:
        """How much was fetched."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> "_TolerantBatch":
        """The next batch."""
        rest = memoryview(self._data)[self._at :]
        length = _FIRST_BYTES + int.from_bytes(rest[_LENGTH])
        self._at += length
        return _TolerantBatch(self._records.next_batch(), rest[:length])


class _TolerantBatch:
    """A batch as the library reads it, as long as it can."""

    def __init__(self, batch: Any, data: memoryview) -> None:  # noqa: ANN401 - the library has no types
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the library's batch has
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401 - as above
        """The next record: the client asks so for the one that ends a transaction, which has no headers."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except UnicodeDecodeError:
            if int.from_bytes(self._data[_ATTRIBUTES]) & _CODEC:
                raise
            yield from islice(DefaultRecordBatch(_mended(self._data)), read, None)


def _mended(data: memoryview) -> bytes:
    """The same uncompressed batch with readable names."""
    batch, at = bytearray(data), _RECORDS
    while at < len(batch):
        length, at = decode_varint(batch, at)
        _mend_names(batch, at)
        at += length
    return bytes(batch)


def _mend_names(batch: bytearray, at: int) -> None:
    """Mend the names in the record whose attributes are here."""
    for _ in ("attributes", "timestamp", "offset"):
        _, at = decode_varint(batch, at)
    for _ in ("key", "value"):
        at = _behind(batch, at)
    count, at = decode_varint(batch, at)
    for _ in range(count):
        start = at
        at, begin = _behind(batch, start), decode_varint(batch, start)[1]
        try:
            batch[begin:at].decode()
        except UnicodeDecodeError:
            batch[begin:at] = SUBSTITUTE.encode() * (at - begin)
        at = _behind(batch, at)


def _behind(batch: bytearray, at: int) -> int:
    """The place behind the bytes whose length is here; one below 0 means that there are none."""
    length, at = decode_varint(batch, at)
    return int(at + max(length, 0))
