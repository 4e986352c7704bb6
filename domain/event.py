"""What every stored fact has in common."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact in the history of one thing; its fields are plain JSON values, so that SQL can read what is stored.

    `TOPIC` is the name under which it is stored; it never changes, wherever the class moves.
    """

    TOPIC: ClassVar[str]
    BY_TOPIC: ClassVar[dict[str, type["Event"]]] = {}

    originator_id: UUID
    originator_version: int
    at: datetime
    account: str

    def __init_subclass__(cls, topic: str = "") -> None:
        """Register the class under its topic; without one it is only a base of others."""
        super().__init_subclass__()
        if topic:
            cls.TOPIC = topic
            Event.BY_TOPIC[topic] = cls


@dataclass(frozen=True, kw_only=True)
class DeciderEvent(Event):
    """A fact about one account on one target, as the decider stores it."""

    target: str
