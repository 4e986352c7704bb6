"""Events as they are stored: the library's JSON mapper, with every event under its own name."""

import json
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from functools import cache, partial
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import msgspec
from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.utils import TopicError, register_topic

from domain import account, driver_link, hash_chain, outcomes, portal, reconciliation
from domain.store import DeciderEvent, Event, Record, Resubmission

__all__ = ["account", "decoded", "driver_link", "hash_chain", "new_mapper", "outcomes", "portal", "reconciliation"]


def new_mapper() -> Mapper[UUID]:
    """A mapper that knows every event of the domain, which the modules imported above define."""
    for topic, event in Event.BY_TOPIC.items():
        register_topic(topic, event)
    transcoder = _Transcoder()
    transcoder.register(DatetimeAsISO())
    return _Mapper(transcoder)


class _Mapper(Mapper[UUID]):
    """The library's, with fewer steps for an event of ours that has only had one form."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:  # noqa: ANN401 - the library's signature is narrower
        """The event as it is stored."""
        kind = type(domain_event)
        topic = getattr(kind, "TOPIC", "")
        if Event.BY_TOPIC.get(topic) is not kind or not _has_one_form(topic):
            return super().to_stored_event(domain_event)
        state = dict(vars(domain_event))
        id, version = state.pop("originator_id"), state.pop("originator_version")  # noqa: A001 - the event's word
        return StoredEvent(id, version, topic, self.transcoder.encode(state))

    def to_domain_event(self, stored_event: StoredEvent) -> Any:  # noqa: ANN401 - as above
        """The event that was stored."""
        kind = Event.BY_TOPIC.get(stored_event.topic)
        if kind is None or not _has_one_form(kind.TOPIC) or _VERSION in stored_event.state:
            return super().to_domain_event(stored_event)
        try:
            state = self.transcoder.decode(stored_event.state)
        except Exception:  # noqa: BLE001 - the library says what is wrong
            return super().to_domain_event(stored_event)
        state["originator_id"] = stored_event.originator_id
        state["originator_version"] = stored_event.originator_version
        event = object.__new__(kind)
        vars(event).update(state)
        return event


@cache
def _has_one_form(topic: str) -> bool:
    """Whether the events of this topic only had one form so far."""
    return not hasattr(Event.BY_TOPIC[topic], "class_version")


_VERSION = b'"class_version"'
"""Stands in events of later forms than the first."""

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()

_MARKED = ("_type_", "_data_")
_MARK = b'"_type_"'
_ESCAPED = b"\\u005"
"""How an underscore would be written that hides a mark."""


class _Transcoder(JSONTranscoder):
    """Plain JSON, written and read by msgspec: the moment of an event is text, as RFC 3339 has it.

    The library marks each moment with a type, and so did we once. Whatever is in such a form, or odd, goes the
    library's way, which also says what is wrong with it.
    """

    def encode(self, obj: Any) -> bytes:  # noqa: ANN401 - the library's signature
        """The bytes of an event's state."""
        if isinstance(obj, dict) and isinstance(moment := obj.get("at"), datetime):
            obj = {**obj, "at": moment.isoformat()}
            try:
                return _ENCODER.encode(obj)
            except (TypeError, ValueError, msgspec.MsgspecError):
                pass
        return super().encode(obj)

    def decode(self, data: bytes) -> Any:  # noqa: ANN401 - the library's signature
        """The state of an event."""
        try:
            state = _DECODER.decode(data)
            if type(state) is dict and (moment := _moment(state.get("at"), data)):
                state["at"] = moment
                return state
        except (ValueError, RecursionError, msgspec.MsgspecError):
            pass
        state = super().decode(data)
        if type(state) is dict and isinstance(state.get("at"), str):
            with suppress(ValueError):
                state["at"] = datetime.fromisoformat(state["at"])
        return state


def _moment(stated: object, data: bytes) -> datetime | None:
    """The moment that is stated so; None where only the library can say what else of the data is marked."""
    if isinstance(stated, str):
        return datetime.fromisoformat(stated)
    if data.count(_MARK) == 1 and _ESCAPED not in data and isinstance(stated, dict) and len(stated) == len(_MARKED):
        text = stated.get("_data_") if stated.get("_type_") == DatetimeAsISO.name else None
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    return None


class _MarkedMoment(msgspec.Struct):
    text: str = msgspec.field(name="_data_")


class Envelope(msgspec.Struct):
    """What the stored bytes of an event say of it to those who do not read it."""

    account: str
    at: str | _MarkedMoment
    driver: str = ""
    target: str = ""

    @property
    def time(self) -> str:
        """The moment of the event, as RFC 3339 has it."""
        return self.at if isinstance(self.at, str) else self.at.text


_ENVELOPES = msgspec.json.Decoder(Envelope)


def envelope_of(body: bytes) -> Envelope | None:
    """The envelope of a stored event; None where the bytes are those of no event."""
    try:
        return _ENVELOPES.decode(body)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def names_in(body: bytes) -> tuple[str, str]:
    """The account and the driver by which a stored event is found; empty where it is about none, or is none."""
    envelope = envelope_of(body)
    return (envelope.account, envelope.driver) if envelope else ("", "")


def target_of(topic: str, body: bytes) -> str:
    """The target that a fact of the decider concerns; empty for every other record."""
    kind = Event.BY_TOPIC.get(topic)
    if kind is None or not issubclass(kind, DeciderEvent):
        return ""
    envelope = envelope_of(body)
    return envelope.target if envelope else ""


def decoded(mapper: Mapper[UUID], stored: StoredEvent) -> tuple[Event | None, str]:
    """The event, or None and why it cannot be read."""
    if stored.topic not in Event.BY_TOPIC:
        return None, f"unknown type {stored.topic!r}"
    try:
        _check_version(stored)
        event = to_event(mapper, stored)
    except (EventSourcingError, TopicError, LookupError, TypeError, ValueError) as failure:
        return None, f"{stored.topic} cannot be read: {failure}"
    stored_fields = vars(event)
    wrong = [
        name
        for name, types in _shape(event.TOPIC).items()
        if name not in stored_fields or not isinstance(stored_fields[name], types)
    ]
    # A field that came later, and has a default, is not in what was stored before.
    wrong = [name for name in wrong if name in stored_fields or not hasattr(type(event), name)]
    if wrong:
        # The library's mapper takes whatever JSON there is.
        return None, f"{stored.topic} cannot be read: missing or of another type: {', '.join(wrong)}"
    return event, ""


def to_record(mapper: Mapper[UUID], position: int, stored: StoredEvent) -> Record:
    """The record of a log at this position."""
    return Record(
        position=position,
        log_position=position,
        id=to_id(stored),
        topic=stored.topic,
        body=stored.state,
        decode=partial(decoded, mapper, stored),
        target=target_of(stored.topic, stored.state),
    )


def to_id(stored: StoredEvent) -> str:
    """The id of an event: its originator and version."""
    return f"{stored.originator_id}/{stored.originator_version}"


def to_stored_event(id: str, topic: str, body: bytes) -> StoredEvent:  # noqa: A002 - the record's word
    """The stored event of this id; raises `ValueError` when it is none."""
    originator, _, version = id.partition("/")
    return StoredEvent(originator_id=UUID(originator), originator_version=int(version), topic=topic, state=body)


def again(mapper: Mapper[UUID], resubmission: Resubmission) -> Record:
    """The record that a resubmission stands for."""
    body = b64decode(resubmission.body)

    def decode() -> tuple[Event | None, str]:
        try:
            stored = to_stored_event(resubmission.id, resubmission.topic, body)
        except ValueError:
            return None, f"{resubmission.id!r} is not the id of an event: originator/version"
        return decoded(mapper, stored)

    return Record(
        position=resubmission.position,
        log_position=resubmission.log_position,
        id=resubmission.id,
        topic=resubmission.topic,
        body=body,
        decode=decode,
        target=target_of(resubmission.topic, body),
    )


def to_event(mapper: Mapper[UUID], stored: StoredEvent) -> Event:
    """The event; raises what the library raises when it cannot be read, as a service's own history always can."""
    event = mapper.to_domain_event(stored)
    if not isinstance(event, Event):
        raise TypeError(f"{stored.topic} is not an event")
    return event


def _check_version(stored: StoredEvent) -> None:
    """Raise `ValueError` for an event of a later version than is known: the library would take it for an old one."""
    if _VERSION not in stored.state:
        return
    stated = json.loads(stored.state)
    version = stated.get("class_version", 1) if isinstance(stated, dict) else 1
    if version not in range(1, getattr(Event.BY_TOPIC[stored.topic], "class_version", 1) + 1):
        raise ValueError(f"its version {version!r} is unknown here")


@cache
def _shape(topic: str) -> Mapping[str, tuple[type, ...]]:
    kind = Event.BY_TOPIC[topic]
    hints = get_type_hints(kind)
    return {field.name: _types(hints[field.name]) for field in fields(kind)}


def _types(hint: Any) -> tuple[type, ...]:  # noqa: ANN401 - an annotation
    if isinstance(hint, UnionType):
        return tuple(each for part in get_args(hint) for each in _types(part))
    return (dict,) if is_typeddict(hint) else (get_origin(hint) or hint,)
