"""Events as they are stored: the library's JSON mapper, with every event under its own name."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

from eventsourcing.domain import EventSourcingError
from eventsourcing.persistence import (
    DatetimeAsISO,
    JSONTranscoder,
    Mapper,
    StoredEvent,
)
from eventsourcing.utils import TopicError, register_topic

from domain import account, driver_link, portal, report
from domain.event import Event
from domain.storing import Record

__all__ = ["account", "decoded", "driver_link", "new_mapper", "portal", "report"]


def new_mapper() -> Mapper[UUID]:
    """A mapper that knows every event of the domain; the modules imported above define them all."""
    for topic, event in Event.BY_TOPIC.items():
        register_topic(topic, event)
    transcoder = JSONTranscoder()
    transcoder.register(DatetimeAsISO())
    return Mapper(transcoder)


def decoded(mapper: Mapper[UUID], stored: StoredEvent) -> tuple[Event | None, str]:
    """The event, or None and why it cannot be read."""
    if stored.topic not in Event.BY_TOPIC:
        return None, f"unknown type {stored.topic!r}"
    try:
        event = to_event(mapper, stored)
    except (EventSourcingError, TopicError, LookupError, TypeError, ValueError) as failure:
        return None, f"{stored.topic} cannot be read: {failure}"
    if wrong := _wrong_fields(event):
        return None, f"{stored.topic} cannot be read: missing or of another type: {', '.join(wrong)}"
    return event, ""


def to_record(mapper: Mapper[UUID], position: int, stored: StoredEvent) -> Record:
    """The record of a log at this position, decoded or not."""
    event, reason = decoded(mapper, stored)
    return Record(position=position, topic=stored.topic, body=stored.state, event=event, reason=reason)


def to_event(mapper: Mapper[UUID], stored: StoredEvent) -> Event:
    """The event; raises what the library raises when it cannot be read, as a service's own history always can."""
    event = mapper.to_domain_event(stored)
    if not isinstance(event, Event):
        raise TypeError(f"{stored.topic} is no event")
    return event


def _wrong_fields(event: Event) -> list[str]:
    """The fields that are missing or of another type: the library's mapper takes whatever JSON there is."""
    stored = vars(event)
    return [
        name for name, types in _shape(event.TOPIC).items() if name not in stored or not isinstance(stored[name], types)
    ]


@cache
def _shape(topic: str) -> Mapping[str, tuple[type, ...]]:
    kind = Event.BY_TOPIC[topic]
    hints = get_type_hints(kind)
    return {field.name: _types(hints[field.name]) for field in fields(kind)}


def _types(hint: Any) -> tuple[type, ...]:  # noqa: ANN401 - an annotation
    if isinstance(hint, UnionType):
        return tuple(each for part in get_args(hint) for each in _types(part))
    return (dict,) if is_typeddict(hint) else (get_origin(hint) or hint,)
