"""What can happen to a small fleet, as hypothesis draws it: each happening is a call on the simulation.

A happening is drawn as one number, from which it follows: much faster than drawing it argument by argument.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

from hypothesis import strategies as st

from domain.account import Mode
from domain.identity import Key, PortalDriverId, Target
from domain.profile import Profile, tidy
from tests.support.simulation import Simulation
from tests.support.target_in_memory import FOREIGN_ZONE, REFUSED_NAME, DriveriInMemory, TargetInMemory

_NUMBERS = st.integers(0, 2**24 - 1)

PERSONAL = {
    "first_name": ("Xanthippe", "Yorick"),
    "last_name": ("Quillfeather", "Zuckermandel", REFUSED_NAME),
    "email": ("xq@fleet.example", "YZ@fleet.example", ""),
    "phone": ("303-555-0142", ""),
    "licence_number": ("LX-9971", "LY-9972", ""),
    "licence_state": ("Wyoming", ""),
    "licence_country": ("Ruritania", ""),
}
"""Values of personal fields: none of them is part of anything else that is stored."""

_FIELDS = {
    **PERSONAL,
    "driveri_driver_id": ("D-1", "D-2", "D-3", "d-1", ""),
    "ref_id": ("R-1", "R-2", "R-3", ""),
    "time_zone": ("America/Denver", FOREIGN_ZONE, ""),
    "driveri_group": ("North", ""),
}


class Happening:
    """A call on the simulation, or on its target, that prints as what it is."""

    def __init__(self, method: Callable[..., object], arguments: Mapping[str, object], *, is_by_hand: bool) -> None:
        self._method = method
        self._arguments = arguments
        self._is_by_hand = is_by_hand

    def __call__(self, simulation: Simulation) -> None:
        """Let it happen."""
        self._method(simulation.target if self._is_by_hand else simulation, **self._arguments)

    def __repr__(self) -> str:
        """The call as it would be written."""
        return f"{self._method.__name__}({', '.join(f'{name}={value!r}' for name, value in self._arguments.items())})"


class Choices(Protocol):
    """Values to choose from."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> object: ...


def _chosen(number: int, choices: Mapping[str, Choices]) -> dict[str, object]:
    """One value for each name: which ones, the number says."""
    values = {}
    for name, each in choices.items():
        number, place = divmod(number, len(each))
        values[name] = each[place]
    return values


@dataclass(frozen=True, slots=True)
class Kind:
    """A method, and what each of its arguments may be."""

    method: Callable[..., object]
    arguments: Mapping[str, Choices]
    is_by_hand: bool

    def happening(self, number: int) -> Happening:
        """The happening of this kind that the number means."""
        return Happening(self.method, _chosen(number, self.arguments), is_by_hand=self.is_by_hand)


class _Profiles:
    """All profiles that can be made of these fields."""

    def __init__(self, *fields: str) -> None:
        self._choices: Mapping[str, Choices] = {name: _FIELDS[name] for name in fields}

    def __len__(self) -> int:
        return prod(map(len, self._choices.values()))

    def __getitem__(self, place: int, /) -> Profile:
        return tidy({name: str(value) for name, value in _chosen(place, self._choices).items()})


_DRIVERS = tuple(PortalDriverId(f"p{number}") for number in range(1, 4))
_RANKS = range(4)
_KEYS = tuple(Key(key) for key in ("D-1", "D-2", "D-3", "d-1"))
_HAND_WRITTEN = _Profiles("first_name", "ref_id", "email")
_OTHER_IDS = tuple({name: text} for name in ("driveri_driver_id", "ref_id") for text in _FIELDS[name])


def kind(method: Callable[..., object], **arguments: Choices) -> Kind:
    """Calls of this method of the simulation."""
    return Kind(method, arguments, is_by_hand=False)


def _hand(method: Callable[..., object], **arguments: Choices) -> Kind:
    return Kind(method, arguments, is_by_hand=True)


_STATE = kind(Simulation.state, driver=_DRIVERS, profile=_Profiles(*_FIELDS))
_RESTATE = kind(Simulation.restate, driver=_DRIVERS, changed=_OTHER_IDS)
_START, _FINISH = (kind(method, rank=_RANKS) for method in (Simulation.start, Simulation.finish))
_DELIVER = kind(Simulation.deliver)
_ADD, _EDIT, _TURN = (
    _hand(TargetInMemory.add_by_hand, key=_KEYS, profile=_HAND_WRITTEN),
    _hand(TargetInMemory.edit_by_hand, rank=_RANKS, changed=_HAND_WRITTEN),
    _hand(TargetInMemory.turn_by_hand, rank=_RANKS),
)

IN_THE_PORTAL = (_STATE, _STATE, _RESTATE, _RESTATE, kind(Simulation.delete, driver=_DRIVERS))
"""The Portal hires, changes, renames, or deletes somebody."""

ON_THE_WAY = (
    *(_START, _START, _FINISH, _FINISH, _DELIVER, _DELIVER),
    kind(Simulation.wait, hours=(1, 13)),
    kind(Simulation.scan),
    kind(Simulation.judge, is_approved=(True, False)),
    kind(Simulation.retry),
)
"""A call starts, takes effect, or is reported; time passes; people decide; the roster is read."""

LOST_ANSWERS = (kind(Simulation.finish, rank=_RANKS, loses_answer=(True,)),)
"""A call takes effect, but its answer does not arrive."""

NEW_TERMS = (kind(Simulation.set_mode, mode=tuple(Mode)),)
"""The account turns synchronisation off or on, or changes how far it may go."""

BY_HAND: Mapping[Target, Sequence[Kind]] = {
    Target.DRIVERI: (_ADD, _EDIT, _TURN, _hand(DriveriInMemory.rename_by_hand, rank=_RANKS, key=_KEYS)),
    Target.MOTIVE: (_ADD, _EDIT, _TURN),
}
"""Somebody changes the target itself."""


@st.composite
def happenings(draw: st.DrawFn, *kinds: Kind, fewest: int = 20) -> list[Happening]:
    """Up to twice as many happenings of these kinds; a kind that is named twice is drawn twice as often."""
    numbers = draw(st.lists(_NUMBERS, min_size=fewest, max_size=2 * fewest))
    return [kinds[number % len(kinds)].happening(number // len(kinds)) for number in numbers]
