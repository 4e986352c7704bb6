"""One record of a log as people and scripts see it, and which of them were asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from json import dumps, loads
from typing import Any

from domain.event import Event
from domain.identity import Target
from domain.storing import Record
from services.asking.answers import Answer

_HEADER = frozenset({"originator_id", "originator_version", "at", "account", "target", "driver"})
_KEYS = ("key", "wished_key", "left")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent(Answer):
    """One record of a log. `data` holds the event's own fields as plain JSON, personal data in `profile` included.

    `target` and `driver` are empty where an event has none. A record that cannot be decoded says why in `unreadable`;
    it has no moment and version 0, and of the rest what could be made out.
    """

    log: str
    position: int
    at: datetime | None
    type: str
    account: str
    target: str
    driver: str
    version: int
    data: Mapping[str, Any]
    unreadable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which events are asked for; what is None or empty is not asked about.

    `driver` is a portal driver id, `driver_id` a Driveri DriverID and `types` are names such as `CreateDecided`, both
    in any letter case. `since` and `until` carry a time zone; what has no moment is within any.
    """

    account: str | None = None
    driver: str | None = None
    driver_id: str | None = None
    target: str | None = None
    types: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def let_through(self, event: LoggedEvent) -> bool:
        """Whether this event is asked for."""
        return self._is_of_place(event) and self._is_in_time(event) and self._is_about(event)

    def _is_of_place(self, event: LoggedEvent) -> bool:
        types = {name.casefold() for name in self.types}
        return (
            self.account in (None, event.account)
            and self.target in (None, event.target)
            and (not types or event.type.casefold() in types)
        )

    def _is_in_time(self, event: LoggedEvent) -> bool:
        if event.at is None:
            return True
        return (self.since is None or event.at >= self.since) and (self.until is None or event.at <= self.until)

    def _is_about(self, event: LoggedEvent) -> bool:
        if self.driver is not None and self.driver not in _drivers(event):
            return False
        return self.driver_id is None or self.driver_id.casefold() in _driver_ids(event)


def logged(log: str, record: Record) -> LoggedEvent:
    """A record as it is shown; never raises."""
    if record.event is None:
        return _unreadable(log, record)
    event = record.event
    return LoggedEvent(
        log=log,
        position=record.position,
        at=event.at,
        type=type(event).__name__,
        account=event.account,
        target=getattr(event, "target", ""),
        driver=getattr(event, "driver", ""),
        version=event.originator_version,
        data=_own_fields(event),
    )


def _own_fields(event: Event) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in fields(event) if field.name not in _HEADER}


def _unreadable(log: str, record: Record) -> LoggedEvent:
    stored = _made_out(record.body)
    header = {name: value for name in ("account", "target", "driver") if isinstance(value := stored.get(name), str)}
    return LoggedEvent(
        log=log,
        position=record.position,
        at=None,
        type=record.topic.rpartition(".")[2],
        account=header.get("account", ""),
        target=header.get("target", ""),
        driver=header.get("driver", ""),
        version=0,
        data={name: value for name, value in stored.items() if name not in header},
        unreadable=record.reason,
    )


def _made_out(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object that can be printed as JSON again; else the bare text."""
    text = body.decode("utf-8", "backslashreplace")
    try:
        stored = loads(text)
        dumps(stored, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return {"body": text}
    return stored if isinstance(stored, dict) else {"body": text}


def _drivers(event: LoggedEvent) -> Iterator[str]:
    """The portal drivers that an event is about: its own, or those whose held deletes it judges."""
    yield event.driver
    holds = event.data.get("holds")
    yield from (str(hold[0]) for hold in (holds if isinstance(holds, list) else ()) if isinstance(hold, list) and hold)


def _driver_ids(event: LoggedEvent) -> set[str]:
    """The DriverIDs that an event speaks of, in small letters: keys in Driveri, and what the Portal states."""
    profile = event.data.get("profile")
    stated = profile.get("driveri_driver_id") if isinstance(profile, dict) else None
    keys = [event.data.get(name) for name in _KEYS] if event.target == Target.DRIVERI else []
    return {text.casefold() for text in (stated, *keys) if isinstance(text, str)}
