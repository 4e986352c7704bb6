"""What had happened on a link before a fact: without it many a fact cannot be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from domain.driver_link import DriverLink, RenameDecided, apply
from domain.event import Event
from domain.situations import Situation

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A link at a moment, the last fact of each kind before it, and the temporary ids that it has had."""

    link: DriverLink
    facts: Mapping[type[Event], Event] = field(default_factory=dict)
    temporary: frozenset[str] = frozenset()

    def last(self, kind: type[E]) -> E | None:
        """The last fact of this kind."""
        fact = self.facts.get(kind)
        return fact if isinstance(fact, kind) else None

    def after(self, event: Event) -> "Past":
        """The past of whatever comes behind this fact."""
        temporary = self.temporary
        if isinstance(event, RenameDecided) and is_stepping_aside(event):
            temporary |= {event.wished_key or ""}
        facts = {**self.facts, type(event): event}
        return replace(self, link=apply(self.link, event), facts=facts, temporary=temporary)


def is_stepping_aside(event: RenameDecided) -> bool:
    """Whether a rename is to a temporary id, so that drivers who wait for each other's ids can move on."""
    return event.because.get("situation") == Situation.CONTESTED
