"""Each fact about a portal driver in one plain sentence, without personal data."""

from collections.abc import Iterable, Iterator

from domain.event import Event
from domain.portal import (
    DriverCreated,
    DriverDeleted,
    DriverMissed,
    DriverSeenAgain,
    DriverUpdated,
    PortalDriver,
    PortalDriverEvent,
)
from domain.profile import Profile
from services.asking.telling.words import field_name, listed

_IDS = ("ref_id", "driveri_driver_id")
"""The fields whose values are told: they identify, and are no personal data."""


def told(event: Event, before: PortalDriver) -> str:
    """A fact about a portal driver, told to a person who knows what was known before."""
    match event:
        case DriverCreated():
            return f"The Portal has {'the driver again' if before.version else 'a new driver'}{_way(event)}."
        case DriverUpdated():
            return f"The Portal changed {_changes(before.profile or {}, event.profile)}{_way(event)}."
        case DriverDeleted():
            missed = ", whom a complete list had lacked before" if before.missed else ""
            return f"The Portal deleted the driver{missed}{_way(event)}."
        case DriverMissed():
            return f"A complete list lacked the driver{_way(event)}; one alone is no proof that it was deleted."
        case DriverSeenAgain():
            return f"The driver is in the Portal's list again{_way(event)}."
    raise TypeError(f"there are no words for {type(event).__name__}")


def _way(event: PortalDriverEvent) -> str:
    return f" (stated by {event.source})"


def _changes(before: Profile, after: Profile) -> str:
    fields = dict.fromkeys((*before, *after))
    return listed(_told_changes((field, before.get(field, ""), after.get(field, "")) for field in fields))


def _told_changes(fields: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    for field, before, after in fields:
        if before != after:
            values = f" from {before or 'nothing'} to {after or 'nothing'}" if field in _IDS else ""
            yield f"{field_name(field)}{values}"
