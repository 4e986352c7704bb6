"""Records as CloudEvents 1.0 in Kafka's binary mode: attributes as headers, the stored JSON as the value.

Specification: CloudEvents 1.0.2, "Kafka Protocol Binding", section 3.2.

Our topics as an AsyncAPI 3.0 document, by FastStream's own specification.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any, Protocol, get_type_hints, is_typeddict
from uuid import UUID

from eventsourcing.persistence import Mapper, StoredEvent
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel, ConfigDict, Field, create_model

from adapters.events import decoded, to_id, to_stored_event
from adapters.kafka.connection import StreamsFailed
from adapters.kafka.header_names import SUBSTITUTE
from domain.event import Event
from domain.store import Record


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

_NEEDED = ("ce_specversion", "ce_id", "ce_type", "ce_sequence", "content-type")

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest value that is decoded."""

_MOST = 2**63 - 1
"""The largest number that every store can hold."""


class _Unreadable(Exception):
    """A record cannot be read; the message says why, and quotes none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A record as it is sent."""

    key: bytes
    headers: Headers
    value: bytes


def to_outgoing(record: Record, service: str, installation: str = "") -> Outgoing:
    """A record of this service's own log as it is sent. Raises `StreamsFailed` when it cannot be read."""
    event = record.event
    if event is None:
        raise StreamsFailed(f"record {record.position} of the log of {service} cannot be relayed: {record.reason}")
    return Outgoing(
        key=event.account.encode(), headers=_to_headers(record, event, service, installation), value=record.body
    )


def to_record(mapper: Mapper[UUID], message: ConsumerRecord) -> Record:
    """The record that a message stands for, decoded or not; nothing is raised, whatever it holds."""
    event, reason = None, ""
    try:
        event = _to_event(mapper, message)
    except _Unreadable as failure:
        reason = str(failure)
    attributes = _readable(message)
    return Record(
        position=message.offset + 1,
        log_position=_number(attributes.get("ce_sequence", "")),
        id=attributes.get("ce_id", ""),
        topic=attributes.get("ce_type", ""),
        body=message.value or b"",
        event=event,
        reason=reason,
        headers=tuple((name, value or b"") for name, value in message.headers),
        key=message.key,
    )


def _to_headers(record: Record, event: Event, service: str, installation: str) -> Headers:
    attributes = {
        "ce_specversion": SPECIFICATION,
        "ce_id": record.id,
        "ce_source": f"/driverlink/{service}",
        "ce_type": record.topic,
        "ce_subject": getattr(event, "driver", ""),
        "ce_time": event.at.isoformat(),
        "ce_sequence": str(record.log_position),
        INSTALLATION: installation,
        "content-type": JSON,
    }
    return tuple((name, value.encode()) for name, value in attributes.items() if value)


def _readable(message: ConsumerRecord) -> dict[str, str]:
    """The headers that can be read, whatever is wrong with others."""
    return {name: value.decode() for name, value in message.headers if value is not None and _is_text(value)}


def _to_event(mapper: Mapper[UUID], message: ConsumerRecord) -> Event:
    _check_headers(message)
    stored = _to_stored_event(_readable(message), _value(message))
    try:
        event, reason = decoded(mapper, stored)
    except RecursionError:
        event, reason = None, f"{stored.topic} cannot be read: it is nested too deeply"
    if event is None:
        raise _Unreadable(reason)
    _check_event(event, message)
    return event


def _check_headers(message: ConsumerRecord) -> None:
    counted = Counter(name for name, _ in message.headers)
    for name, value in message.headers:
        if SUBSTITUTE in name:
            raise _Unreadable("the name of a header is no UTF-8")
        if value is None:
            raise _Unreadable(f"the header {name!r} has no value")
        if not _is_text(value):
            raise _Unreadable(f"the header {name!r} is no UTF-8")
        if name.startswith("ce_") and counted[name] > 1:
            raise _Unreadable(f"the header {name!r} comes more than once")


def _value(message: ConsumerRecord) -> bytes:
    if message.value is None:
        raise _Unreadable("it has no value: a tombstone")
    if len(message.value) > LARGEST:
        raise _Unreadable(f"its value has {len(message.value)} bytes, more than {LARGEST}")
    return message.value


def _to_stored_event(attributes: Mapping[str, str], value: bytes) -> StoredEvent:
    _check_presence(attributes)
    _check_attributes(attributes)
    event_id = attributes["ce_id"]
    try:
        stored = to_stored_event(event_id, attributes["ce_type"], value)
    except ValueError:
        raise _Unreadable("ce_id is no id of an event: originator/version") from None
    if to_id(stored) != event_id or not 1 <= stored.originator_version <= _MOST:
        raise _Unreadable("ce_id is no id of an event: originator/version")
    return stored


def _check_presence(attributes: Mapping[str, str]) -> None:
    for name in _NEEDED:
        if name not in attributes:
            raise _Unreadable(f"the header {name!r} is missing")


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if attributes["ce_specversion"] != SPECIFICATION:
        raise _Unreadable(f"ce_specversion is {attributes['ce_specversion']!r}, not {SPECIFICATION!r}")
    if attributes["content-type"].partition(";")[0].strip().lower() != JSON:
        raise _Unreadable(f"content-type is {attributes['content-type']!r}, not {JSON!r}")
    if not _number(attributes["ce_sequence"]):
        raise _Unreadable("ce_sequence is no position in a log")
    if not _is_moment(attributes.get("ce_time")):
        raise _Unreadable("ce_time is no moment, or out of range")


def _check_event(event: Event, message: ConsumerRecord) -> None:
    if message.key is None or message.key != event.account.encode("utf-8", "surrogatepass"):
        raise _Unreadable("its key is not the event's account")
    if not _is_moment(event.at.isoformat()):
        raise _Unreadable(f"{event.TOPIC} cannot be read: its moment has no offset, or is out of range")


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(text: str) -> int:
    """The positive number of this text, written as we write them; else 0."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_MOST)) + 1 else 0
    return number if str(number) == text and number <= _MOST else 0


def _is_moment(text: str | None) -> bool:
    """Whether this is a moment with an offset, and in UTC one too; or nothing is said."""
    if text is None:
        return True
    try:
        moment = datetime.fromisoformat(text)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None


_IN_HEADERS = ("originator_id", "originator_version")
"""Fields of every event that are in `ce_id`, and not in the value."""

_HEADERS = {
    "ce_specversion": {"const": SPECIFICATION},
    "ce_id": {"type": "string", "description": "The history and the version of the event in it, with a slash between."},
    "ce_source": {"type": "string", "description": "The service that wrote it: `/driverlink/<service>`."},
    "ce_type": {"type": "string", "description": "Under which name the event is stored."},
    "ce_subject": {"type": "string", "description": "The portal driver that it is about; absent where there is none."},
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_sequence": {"type": "string", "description": "Its position in the log of its service: a number that rises."},
    INSTALLATION: {"type": "string", "description": "The id of the installation that wrote it."},
    "content-type": {"const": JSON},
}

_KEY = {
    "type": "string",
    "description": "The account, in UTF-8; its partition is by murmur2, as Kafka's clients do it.",
}


class Moment(BaseModel):
    """A moment as it is stored."""

    model_config = ConfigDict(title="Moment")

    type_: str = Field(alias="_type_", json_schema_extra={"const": "datetime_iso"})
    data_: str = Field(alias="_data_", json_schema_extra={"format": "date-time"})


def asyncapi(topics: Mapping[str, type[Event]], *, version: str) -> dict[str, Any]:
    """The document of these topics, each by what its events have in common; the same for the same code."""
    broker = KafkaBroker("localhost:9092")
    publishers = [
        broker.publisher(topic, title=topic, description=kind.__doc__, schema=_schema(kind))
        for topic, kind in topics.items()
    ]
    made = AsyncAPI(broker, title="Driver Sync", version=version).to_specification().to_jsonable()
    del publishers, made["servers"]
    # FastStream puts a colon into names, which AsyncAPI has not among its letters.
    document: dict[str, Any] = json.loads(json.dumps(made, sort_keys=True).replace(":Message", ".Message"))
    for channel in document["channels"].values():
        del channel["servers"]
    for message in document["components"]["messages"].values():
        _complete(message)
    return document


def _complete(message: dict[str, Any]) -> None:
    """Say what FastStream does not know: our headers and our key."""
    del message["correlationId"]
    message["headers"] = {
        "type": "object",
        "properties": _HEADERS,
        "required": [name for name in _HEADERS if name != "ce_subject"],
    }
    message["bindings"] = {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}}


def _schema(kind: type[Event]) -> Any:  # noqa: ANN401 - a union of models
    kinds = [event for event in Event.BY_TOPIC.values() if issubclass(event, kind)]
    return reduce(or_, map(_to_model, kinds))


def _to_model(event: type[Event]) -> type[BaseModel]:
    hints = get_type_hints(event)
    properties: dict[str, Any] = {each.name: _plain(hints[each.name]) for each in fields(event)}
    properties = {name: (hint, ...) for name, hint in {**properties, "at": Moment}.items() if name not in _IN_HEADERS}
    if form := getattr(event, "class_version", 0):
        properties["class_version"] = Annotated[int, Field(json_schema_extra={"const": form})], ...
    return create_model(event.TOPIC, __doc__=event.__doc__, **properties)


def _plain(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    """The annotation as a model can hold it."""
    return dict[str, Any] if is_typeddict(hint) else hint
