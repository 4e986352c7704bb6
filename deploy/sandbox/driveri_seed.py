"""What Driveri has before the first sync: part of the fleet, retyped by hand, and drivers of its own."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from fleet import PortalDriver, depots, share
from mistakes import mistyped
from people import People, phone

Row = dict[str, object]

TENANT = "sample-fleet"
ACTIVE, INACTIVE, SUSPENDED, DELETED = range(1, 5)

_STATUSES = MappingProxyType({ACTIVE: "Active", INACTIVE: "Inactive", SUSPENDED: "Suspended", DELETED: "Deleted"})
_COMPARED = ("first_name", "last_name", "email", "driveri_group", "licence_number")
_START = datetime(2023, 1, 9, 8, tzinfo=UTC)
_DAY = timedelta(days=1)


def driveri_seed(people: People, chance: random.Random, drivers: Sequence[PortalDriver]) -> Row:
    """The Driveri sandbox's seed: one tenant with an API key that is not a secret."""
    rows = [*_known(chance, drivers), *_strays(people, chance)]
    chance.shuffle(rows)
    tenant = {
        "tenant": TENANT,
        "clients": [{"client_id": "sample-client", "client_secret": "sample-secret"}],
        "statuses": [{"status": code, "description": text} for code, text in _STATUSES.items()],
        "drivers": rows,
    }
    return {"tenants": [tenant]}


def _known(chance: random.Random, drivers: Sequence[PortalDriver]) -> list[Row]:
    """The drivers of the fleet that are there: five with other letters in their ids, some deleted, some equal."""
    chosen = chance.sample(_nameable(drivers), share(300, len(drivers)))
    recased = [driver for driver in chosen if driver.wished_key.swapcase() != driver.wished_key][:5]
    others = [driver for driver in chosen if driver not in recased]
    equal = 20 + share(40, len(drivers))
    return [
        *(_row(chance, driver, driver_id=driver.wished_key.swapcase()) for driver in recased),
        *(_row(chance, driver, status=DELETED) for driver in others[:20]),
        *(_row(chance, driver) for driver in others[20:equal]),
        *(_row(chance, mistyped(chance, driver, _COMPARED)) for driver in others[equal:]),
    ]


def _nameable(drivers: Sequence[PortalDriver]) -> list[PortalDriver]:
    """Drivers that the Portal has, each with a name of their own."""
    names = Counter(driver.wished_key.casefold() for driver in drivers)
    return [driver for driver in drivers if driver.wished_key and names[driver.wished_key.casefold()] == 1]


def _row(chance: random.Random, driver: PortalDriver, *, driver_id: str = "", status: int = ACTIVE) -> Row:
    """The driver in Driveri's words; what is not known there is left out."""
    facts = {
        "driverId": driver_id or driver.wished_key,
        "firstName": driver.first_name,
        "lastName": driver.last_name,
        "email": driver.email,
        "phone": driver.phone,
        "licenceNumber": driver.licence_number,
        "licenseCountry": driver.licence_country,
        "licenseState": driver.licence_state,
    }
    known: Row = {name: text for name, text in facts.items() if text}
    return known | {"status": status} | _group(driver.driveri_group) | _dates(chance)


def _group(depot: str) -> Row:
    if not depot:
        return {}
    return {"group": {"groupName": depot, "groupUniqueName": depot.casefold().replace(" ", "-")}}


def _dates(chance: random.Random) -> Row:
    created = _START + chance.randrange(600) * _DAY
    updated = created + chance.randrange(300) * _DAY
    return {"createdDate": _milliseconds(created), "updatedDate": _milliseconds(updated)}


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1_000


def _strays(people: People, chance: random.Random) -> list[Row]:
    statuses = [ACTIVE] * 10 + [INACTIVE] * 3 + [SUSPENDED] * 2
    return [_stray(people, chance, number, status) for number, status in enumerate(statuses, start=1)]


def _stray(people: People, chance: random.Random, number: int, status: int) -> Row:
    first, last = people.name()
    facts: Row = {
        "driverId": f"CAM-{number:03}",
        "firstName": first,
        "lastName": last,
        "email": people.email(first, last),
        "phone": phone(chance, "303"),
        "status": status,
    }
    return facts | _group(chance.choice(depots())) | _dates(chance)
