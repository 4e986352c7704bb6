"""What a process logs: its level, which can be changed while it runs, and a line for each fact that was stored.

Lines name accounts, drivers and targets by their ids, and hold no personal data.
"""

import asyncio
import logging
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import structlog

from domain.driver_link import Confirmed, Deferred, LinkEvent, Refused
from domain.outcomes import CallAnswered
from domain.store import Event

_log = structlog.get_logger()


class LogLevel(StrEnum):
    """How much is logged: `info` adds a line for each decision and each outcome of a call, `debug` for every event."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        """The level as the standard library counts it."""
        return logging.getLevelNamesMapping()[self.upper()]


class _Current:
    """The level of this process."""

    level = LogLevel.WARNING


def set_level(level: LogLevel) -> None:
    """Log from this level on, from the next line."""
    _Current.level = level
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level.number))


_FINER: Final = {LogLevel.ERROR: LogLevel.WARNING, LogLevel.WARNING: LogLevel.INFO, LogLevel.INFO: LogLevel.DEBUG}


@contextmanager
def level_by_signals() -> Iterator[None]:
    """While this lasts, SIGUSR1 makes the process log one level more, and SIGUSR2 as much as it did at first."""
    loop, first = asyncio.get_running_loop(), _Current.level

    def change(level: LogLevel) -> None:
        set_level(level)
        _log.warning("log level is set", to=str(level))

    loop.add_signal_handler(signal.SIGUSR1, lambda: change(_FINER.get(_Current.level, LogLevel.DEBUG)))
    loop.add_signal_handler(signal.SIGUSR2, lambda: change(first))
    try:
        yield
    finally:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.remove_signal_handler(number)


def log_stored(events: Sequence[Event]) -> None:
    """Log a line for each of these events, which were just stored, as far as the level asks for it."""
    if _Current.level.number > logging.INFO:
        return
    is_everything = _Current.level is LogLevel.DEBUG
    for event in events:
        if is_everything or _is_told(event):
            _log.info("stored", **line_of(event))


def _is_told(event: Event) -> bool:
    """Whether it is a decision, or the outcome of a call; what the decider stores of an outcome repeats it."""
    if isinstance(event, LinkEvent):
        return not isinstance(event, Confirmed | Refused | Deferred)
    return isinstance(event, CallAnswered)


_NAMED: Final = ("account", "target", "driver", "sequence", "decision", "outcome", "reason")
"""The fields of an event that a line repeats; none of them can hold personal data."""

_RATIONALE: Final = ("trigger", "ref", "situation", "mode")


def line_of(event: Event) -> Mapping[str, object]:
    """What a line says of an event: what it is, whose, and why."""
    stated = vars(event)
    named = {name: stated[name] for name in _NAMED if stated.get(name) not in (None, "")}
    rationale = stated.get("rationale", {})
    why = {name: rationale[name] for name in _RATIONALE if name in rationale}
    return {"type": event.TOPIC, "id": f"{event.originator_id}/{event.originator_version}", **named, **why}
