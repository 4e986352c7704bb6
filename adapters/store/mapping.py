"""Events as they are stored: the library's JSON mapper, with every event under its own name."""

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
        event = mapper.to_domain_event(stored)
    except (EventSourcingError, TopicError, TypeError, ValueError) as failure:
        return None, f"{stored.topic} cannot be read: {failure}"
    return (event, "") if isinstance(event, Event) else (None, f"{stored.topic} is no event")


def to_event(mapper: Mapper[UUID], stored: StoredEvent) -> Event:
    """The event; raises what the library raises when it cannot be read, as a service's own history always can."""
    event = mapper.to_domain_event(stored)
    if not isinstance(event, Event):
        raise TypeError(f"{stored.topic} is no event")
    return event
