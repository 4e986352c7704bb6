"""What can happen to a small fleet, as hypothesis draws it: each happening is a call on the simulation."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from domain.account import Mode
from domain.identity import Key, PortalDriverId, Target
from domain.profile import Profile, tidy
from tests.support.simulation import Simulation
from tests.support.target_in_memory import FOREIGN_ZONE, REFUSED_NAME, DriveriInMemory, TargetInMemory


@dataclass(frozen=True, slots=True)
class Happening:
    """A call on the simulation, or on its target, that prints as what it is."""

    method: Callable[..., object]
    arguments: Mapping[str, object]
    is_by_hand: bool = False

    def __call__(self, simulation: Simulation) -> None:
        """Let it happen."""
        self.method(simulation.target if self.is_by_hand else simulation, **self.arguments)

    def __repr__(self) -> str:
        """The call as it would be written."""
        return f"{self.method.__name__}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


DRIVERS = st.sampled_from([PortalDriverId(f"p{number}") for number in range(1, 4)])
RANKS = st.integers(0, 3)
KEYS = st.sampled_from([Key(key) for key in ("D-1", "D-2", "D-3", "d-1")])

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

_OTHERS = {
    "driveri_driver_id": ("D-1", "D-2", "D-3", "d-1", ""),
    "ref_id": ("R-1", "R-2", "R-3", ""),
    "time_zone": ("America/Denver", FOREIGN_ZONE, ""),
    "driveri_group": ("North", ""),
}
_CHOICES = {**PERSONAL, **_OTHERS}


def _drawn(fields: Iterable[str]) -> SearchStrategy[Profile]:
    """Profiles of these fields, each drawn as one number, which is much faster than field by field."""
    choices = {name: _CHOICES[name] for name in fields}

    def to_profile(number: int) -> Profile:
        profile = {}
        for name, values in choices.items():
            number, place = divmod(number, len(values))
            profile[name] = values[place]
        return tidy(profile)

    return st.integers(0, prod(map(len, choices.values())) - 1).map(to_profile)


PROFILES = _drawn(_CHOICES)
HAND_WRITTEN = _drawn(["first_name", "ref_id", "email"])
CHANGED_IDS = st.sampled_from([{name: text} for name in ("driveri_driver_id", "ref_id") for text in _OTHERS[name]])


def _calls(method: Callable[..., object], **arguments: SearchStrategy[Any]) -> SearchStrategy[Happening]:
    return st.fixed_dictionaries(arguments).map(lambda drawn: Happening(method, drawn))


def _by_hand(method: Callable[..., object], **arguments: SearchStrategy[Any]) -> SearchStrategy[Happening]:
    return st.fixed_dictionaries(arguments).map(lambda drawn: Happening(method, drawn, is_by_hand=True))


def in_the_portal() -> SearchStrategy[Happening]:
    """The Portal hires, changes, renames, or deletes somebody."""
    state = _calls(Simulation.state, driver=DRIVERS, profile=PROFILES)
    restate = _calls(Simulation.restate, driver=DRIVERS, changed=CHANGED_IDS)
    return st.one_of(state, state, restate, restate, _calls(Simulation.delete, driver=DRIVERS))


def on_the_way() -> SearchStrategy[Happening]:
    """A call starts, takes effect, or is reported; time passes; people decide; the roster is read."""
    start, finish = _calls(Simulation.start, rank=RANKS), _calls(Simulation.finish, rank=RANKS)
    deliver = _calls(Simulation.deliver)
    seldom = st.one_of(
        _calls(Simulation.wait, hours=st.sampled_from([1, 13])),
        _calls(Simulation.walk),
        _calls(Simulation.judge, is_approved=st.booleans()),
    )
    return st.one_of(start, start, finish, finish, deliver, deliver, seldom)


def lost_answers() -> SearchStrategy[Happening]:
    """A call takes effect, but its answer does not arrive."""
    return _calls(Simulation.finish, rank=RANKS, loses_answer=st.just(value=True))


def new_terms() -> SearchStrategy[Happening]:
    """The account turns synchronisation off or on, or changes how far it may go."""
    return _calls(Simulation.set_mode, mode=st.sampled_from(list(Mode)))


def by_hand(target: Target) -> SearchStrategy[Happening]:
    """Somebody changes the target itself."""
    changes = [
        _by_hand(TargetInMemory.add_by_hand, key=KEYS, profile=HAND_WRITTEN),
        _by_hand(TargetInMemory.edit_by_hand, rank=RANKS, changed=HAND_WRITTEN),
        _by_hand(TargetInMemory.turn_by_hand, rank=RANKS),
    ]
    if target is Target.DRIVERI:
        changes.append(_by_hand(DriveriInMemory.rename_by_hand, rank=RANKS, key=KEYS))
    return st.one_of(changes)
