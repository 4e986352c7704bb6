"""The mistakes that people make when they retype drivers from one system into another."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType

from fleet import PortalDriver, depots


def swapped(chance: random.Random, text: str) -> str:
    """The text with two unlike neighbours exchanged; doubled if it has none."""
    places = [place for place in range(1, len(text)) if text[place - 1] != text[place]]
    if not places:
        return text * 2
    place = chance.choice(places)
    return text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]


def _of_a_former_domain(_: random.Random, email: str) -> str:
    return email.replace("@", "@former.")


def _of_another_depot(chance: random.Random, depot: str) -> str:
    return chance.choice([other for other in depots() if other != depot])


_MISTAKES: MappingProxyType[str, Callable[[random.Random, str], str]] = MappingProxyType(
    {
        "first_name": swapped,
        "last_name": swapped,
        "email": _of_a_former_domain,
        "driveri_group": _of_another_depot,
        "licence_number": swapped,
    }
)


def mistyped(chance: random.Random, driver: PortalDriver, fields: Sequence[str]) -> PortalDriver:
    """The driver with one of these fields wrong, one that is not blank; `first_name` never is."""
    field = chance.choice([field for field in fields if getattr(driver, field)])
    wrong = _MISTAKES[field](chance, getattr(driver, field))
    return replace(driver, **{field: wrong})
