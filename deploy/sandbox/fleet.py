"""The sample fleet as the Portal has it: made-up people, with every oddity that real fleets have."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from people import People, phone

_Item = TypeVar("_Item")

STANDARD_SIZE = 1_500
SMALLEST_SIZE = 600
"""Fewer drivers have no room for all cases."""

COLUMNS = {
    "Driver ID": "driver_id",
    "Reference ID": "ref_id",
    "Driveri DriverID": "driveri_driver_id",
    "First Name": "first_name",
    "Last Name": "last_name",
    "Time Zone": "time_zone",
    "Phone": "phone",
    "Email": "email",
    "Message Preference": "message_preference",
    "Assign Ct.": "assign_count",
    "Vehicle": "vehicle",
    "Country": "country",
    "Driveri Group": "driveri_group",
    "Licence Number": "licence_number",
    "Licence State": "licence_state",
    "Licence Country": "licence_country",
}
"""The export's columns in the Portal's order, and what each says of a driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalDriver:
    """A driver profile as the export shows it; a blank field is an empty text."""

    driver_id: str
    ref_id: str
    driveri_driver_id: str
    first_name: str
    last_name: str
    time_zone: str
    phone: str
    email: str
    message_preference: str
    assign_count: str
    vehicle: str
    country: str
    driveri_group: str
    licence_number: str
    licence_state: str
    licence_country: str

    @property
    def wished_key(self) -> str:
        """How Driveri shall name the driver; empty if the Portal gives nothing to name it by."""
        return self.driveri_driver_id or self.ref_id

    def cells(self) -> list[str]:
        """The driver's row in the export."""
        return [getattr(self, field) for field in COLUMNS.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where a driver lives, and how the Portal's people spell that place's time zone."""

    depot: str
    state: str
    country: str
    area_code: str
    time_zone: str


_HOMES = tuple(
    Home(depot=depot, state=state, country=country, area_code=area_code, time_zone=time_zone)
    for depot, state, country, area_code, time_zone in (
        ("Denver", "CO", "US", "303", "Mountain Time (US & Canada)"),
        ("Grand Junction", "CO", "US", "970", "Mountain Time (US & Canada)"),
        ("Salt Lake City", "UT", "US", "801", "Mountain Time (US & Canada)"),
        ("Albuquerque", "NM", "US", "505", "US/Mountain"),
        ("Phoenix", "AZ", "US", "602", "Arizona"),
        ("Dallas", "TX", "US", "214", "Central Time (US & Canada)"),
        ("Omaha", "NE", "US", "402", "Central Time (US & Canada)"),
        ("Fresno", "CA", "US", "559", "Pacific Time (US & Canada)"),
        ("Tacoma", "WA", "US", "253", "America/Los_Angeles"),
        ("Atlanta", "GA", "US", "404", "Eastern Time (US & Canada)"),
        ("Calgary", "AB", "CA", "403", "Mountain Time (US & Canada)"),
        ("Regina", "SK", "CA", "306", "Saskatchewan"),
        ("Toronto", "ON", "CA", "416", "America/Toronto"),
    )
)
_WEIGHTS = (24, 12, 12, 6, 6, 8, 6, 5, 5, 5, 5, 3, 3)
_VEHICLES = ("Truck {}", "Van {}", "Reefer {}", 'Box, 26" ({})', "Tractor {}")


def fleet(people: People, chance: random.Random, size: int) -> list[PortalDriver]:
    """The whole fleet by Driver ID, with its oddities spread over it."""
    drivers = [_driver(people, chance, number) for number in range(1, size + 1)]
    places = chance.sample(range(size), size)
    _leave_out_ids(drivers, places)
    _double_driver_ids(drivers, places)
    _share_emails(drivers, places, share(15, size))
    for place in chance.sample(range(size), share(150, size)):
        drivers[place] = replace(drivers[place], phone="")
    return drivers


def share(count: int, size: int) -> int:
    """What a count in a fleet of the standard size comes to in one of this size."""
    return count * size // STANDARD_SIZE


def take(pile: list[_Item], count: int) -> list[_Item]:
    """The last so many, which are in the pile no more."""
    start = len(pile) - count
    taken = pile[start:]
    del pile[start:]
    return taken


def _driver(people: People, chance: random.Random, number: int) -> PortalDriver:
    first, last = people.name()
    [home] = chance.choices(_HOMES, _WEIGHTS)
    vehicles = chance.choice((0, 1, 1, 1, 2))
    licence = _licence(chance, home, number)
    return PortalDriver(
        driver_id=str(200_000 + 3 * number),
        ref_id=_ref_id(chance, number),
        driveri_driver_id=_driveri_driver_id(chance, number, people.login(first, last)),
        first_name=first,
        last_name=last,
        time_zone=home.time_zone if chance.random() < 0.97 else "",
        phone=phone(chance, home.area_code),
        email=people.email(first, last),
        message_preference=chance.choice(("Email", "SMS")),
        assign_count=str(vehicles),
        vehicle=chance.choice(_VEHICLES).format(1_000 + number) if vehicles else "",
        country=home.country,
        driveri_group=f"{home.depot} Depot" if chance.random() < 0.92 else "",
        licence_number=licence,
        licence_state=home.state if licence else "",
        licence_country=home.country if licence else "",
    )


def depots() -> Sequence[str]:
    """The names of all groups."""
    return [f"{home.depot} Depot" for home in _HOMES]


def _ref_id(chance: random.Random, number: int) -> str:
    [text] = chance.choices(
        (f"{1_000 + 7 * number:07}", f"E-{10_000 + 3 * number}", f"{60_000 + number}"), (70, 20, 10)
    )
    return text


def _driveri_driver_id(chance: random.Random, number: int, login: str) -> str:
    [text] = chance.choices((f"DRV-{number:05}", login, f"0{8_000_000 + number}"), (50, 30, 20))
    return text


def _licence(chance: random.Random, home: Home, number: int) -> str:
    """A licence number, unlike all others; some drivers have none on file."""
    if chance.random() < 0.12:
        return ""
    # Multiples of one number, by a prime: spread out, and never the same.
    digits = number * 7_654_321 % 900_000_011
    return f"{home.state[0]}{digits:09}" if home.country == "CA" else f"{digits:09}"


def _leave_out_ids(drivers: list[PortalDriver], places: list[int]) -> None:
    size = len(drivers)
    for place in take(places, 3):
        drivers[place] = replace(drivers[place], ref_id="", driveri_driver_id="")
    for place in take(places, share(30, size) - 3):
        drivers[place] = replace(drivers[place], ref_id="")
    for place in take(places, share(500, size)):
        drivers[place] = replace(drivers[place], driveri_driver_id="")


def _double_driver_ids(drivers: list[PortalDriver], places: list[int]) -> None:
    *alike, (first, second) = _pairs(take(places, 8))
    for one, other in alike:
        drivers[other] = replace(drivers[other], driveri_driver_id=drivers[one].driveri_driver_id)
    drivers[first] = replace(drivers[first], driveri_driver_id="DRV-7X001")
    drivers[second] = replace(drivers[second], driveri_driver_id="drv-7x001")


def _share_emails(drivers: list[PortalDriver], places: list[int], pairs: int) -> None:
    for one, other in _pairs(take(places, 2 * pairs)):
        drivers[other] = replace(drivers[other], email=drivers[one].email)


def _pairs(places: Iterable[int]) -> list[tuple[int, int]]:
    rest = iter(places)
    return list(zip(rest, rest, strict=True))
