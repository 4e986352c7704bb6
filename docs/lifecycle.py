"""The life of a link, as a reader of its events folds it into the words of `driverlink status`.

These tables are the ones in docs/how-to/consuming.md, and tests compare them with what the services do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

DECISIONS: Final = (
    "CreateDecided",
    "LinkDecided",
    "UpdateDecided",
    "RenameDecided",
    "ReinstateDecided",
    "DeleteDecided",
)

BY_KEY: Final = "by `key`"
"""True where the event has a key, else false."""

Effects = Mapping[str, bool | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What is known of a link after some of its events; at first nothing is."""

    parked: bool = False
    held: bool = False
    pending: bool = False
    linked: bool = False
    kept: bool = False

    @property
    def word(self) -> str:
        """The first of these words that holds."""
        for name in ("parked", "held", "pending"):
            if getattr(self, name):
                return name
        if not self.linked:
            return "ended"
        return "kept" if self.kept else "in_sync"


EFFECTS: Final[Mapping[str, Effects]] = {
    **{name: {"pending": True, "held": False, "parked": False} for name in DECISIONS},
    "DeleteHeld": {"held": True, "pending": False, "parked": False},
    "DeleteApproved": {"held": False, "kept": False},
    "DeleteRejected": {"held": False, "kept": True},
    "DeleteRecalled": {"held": False, "kept": False},
    "Parked": {"parked": True, "pending": False, "held": False},
    "Released": {"parked": False},
    "Confirmed": {"linked": BY_KEY, "pending": False},
    "Refused": {"pending": False},
    "Deferred": {},
    "DriftFound": {},
    "Undone": {},
    "UndoRefused": {},
    "LinkErased": {"parked": False, "held": False, "pending": False, "linked": False, "kept": False},
}
"""What each event makes of the flags; those that it does not name stay."""

_FOLLOWS: Final[Mapping[str, str]] = {
    **dict.fromkeys(DECISIONS, "something is on its way to the target"),
    "DeleteHeld": "the guard holds a delete, until a person decides",
    "DeleteApproved": "a person lets the delete out; the `DeleteDecided` follows at once",
    "DeleteRejected": "a person keeps the driver on the target, though the Portal deleted it",
    "DeleteRecalled": "the hold, or the rejection, is void: the driver came back, or is gone from the target",
    "Parked": "nothing is written until the `reason` is gone",
    "Released": "that reason is gone",
    "Confirmed": "the target shows it: `key` is the target driver's; null means that it has none any more",
    "Refused": "the target did not do it; what follows, if anything, is an event of its own",
    "Deferred": "not now: it stays on its way, and is tried again",
    "DriftFound": "somebody changed it on the target; the decision that overrides it follows",
    "Undone": "a person undoes what was decided; what that takes follows, and at its end a `Parked` as `undone`",
    "UndoRefused": "a person wanted it undone, and the world had moved on: nothing follows",
    "LinkErased": "the driver was erased: forget its `profile`, wherever you have copies of it",
}


def after(flags: Flags, event: str, *, has_key: bool) -> Flags:
    """The flags after an event of this name."""
    effects = EFFECTS[event].items()
    return replace(flags, **{name: has_key if effect == BY_KEY else bool(effect) for name, effect in effects})


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow of the picture."""

    before: str
    event: str
    after: str


DECIDED: Final = "a decision"
_LINKED, _GONE = "Confirmed with a key", "Confirmed without a key"

STEPS: Final = (
    Step("undecided", DECIDED, "pending"),
    Step("undecided", "Parked", "parked"),
    Step("pending", _LINKED, "in_sync"),
    Step("pending", "Refused", "in_sync"),
    Step("pending", _GONE, "ended"),
    Step("pending", "Refused", "ended"),
    Step("pending", "Parked", "parked"),
    Step("pending", "DeleteHeld", "held"),
    Step("in_sync", DECIDED, "pending"),
    Step("in_sync", _GONE, "ended"),
    Step("in_sync", "Parked", "parked"),
    Step("in_sync", "DeleteHeld", "held"),
    Step("held", "DeleteApproved", "in_sync"),
    Step("held", "DeleteRecalled", "in_sync"),
    Step("held", "DeleteRejected", "kept"),
    Step("held", "DeleteRecalled", "ended"),
    Step("kept", DECIDED, "pending"),
    Step("kept", "DeleteRecalled", "in_sync"),
    Step("kept", "Parked", "parked"),
    Step("kept", _GONE, "ended"),
    Step("parked", "Released", "in_sync"),
    Step("parked", "Released", "ended"),
    Step("parked", "LinkErased", "ended"),
    Step("pending", "LinkErased", "ended"),
    Step("ended", DECIDED, "pending"),
    Step("ended", _LINKED, "in_sync"),
    Step("ended", "Parked", "parked"),
)
"""Every step from one word to another that happens; no event is not a step."""


def name_in_picture(event: str, *, has_key: bool) -> str:
    """What the picture calls an event."""
    if event == "Confirmed":
        return _LINKED if has_key else _GONE
    return DECIDED if event in DECISIONS else event


def section() -> Iterator[str]:
    """The picture and the table, as the guide has them."""
    yield from ("```mermaid", "stateDiagram-v2", "    [*] --> undecided")
    arrows: dict[tuple[str, str], list[str]] = {}
    for step in STEPS:
        arrows.setdefault((step.before, step.after), []).append(step.event)
    yield from (f"    {before} --> {now}: {', '.join(events)}" for (before, now), events in arrows.items())
    names = [field.name for field in fields(Flags)]
    yield from ("```", "", f"| `DriverLink.` | {' | '.join(names)} | what it says |")
    yield f"| {' | '.join(['---'] * (len(names) + 2))} |"
    for events, effects in _rows():
        cells = (_cell(effects.get(name)) for name in names)
        yield f"| {', '.join(f'`{each}`' for each in events)} | {' | '.join(cells)} | {_FOLLOWS[events[0]]} |"


def _rows() -> Iterator[tuple[tuple[str, ...], Effects]]:
    yield DECISIONS, EFFECTS[DECISIONS[0]]
    yield from (((event,), effects) for event, effects in EFFECTS.items() if event not in DECISIONS)


def _cell(effect: bool | str | None) -> str:  # noqa: FBT001 - one of the three that a table has
    if isinstance(effect, str):
        return "yes if there is a `key`, else no"
    return "" if effect is None else ("yes" if effect else "no")
