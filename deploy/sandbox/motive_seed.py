"""What Motive has before the first sync: part of the fleet under ids of other systems, and users of its own."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType

from fleet import PortalDriver, share, take
from mistakes import mistyped
from people import People, phone

User = dict[str, object]

_START = datetime(2022, 3, 1, 14, 30, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_COMPANY_ZONE = "Mountain Time (US & Canada)"
_ZONES = MappingProxyType(
    {
        "": _COMPANY_ZONE,
        "US/Mountain": "Mountain Time (US & Canada)",
        "America/Los_Angeles": "Pacific Time (US & Canada)",
        "America/Toronto": "Eastern Time (US & Canada)",
    }
)
_INTEGRATIONS = ("generic_tms", "generic_maintenance_system")


def motive_seed(people: People, chance: random.Random, drivers: Sequence[PortalDriver]) -> dict[str, object]:
    """The Motive sandbox's seed: one company with an API key that is not a secret, and what other companies hold."""
    users = Users(people, chance)
    plain = _findable(drivers)
    chance.shuffle(plain)
    known = users.known(plain, len(drivers))
    rows = [*known, *users.strays(12), *users.office(known[0], plain.pop())]
    chance.shuffle(rows)
    elsewhere = [driver.email for driver in take(plain, 2)]
    return {
        "companies": [{"api_key": "sample-motive-key", "users": rows}],
        "elsewhere": elsewhere,
    }


def _findable(drivers: Sequence[PortalDriver]) -> list[PortalDriver]:
    """Those who could be found in each of the three ways, and by none of them mistaken for somebody else."""
    emails = Counter(driver.email for driver in drivers)
    ids = Counter(driver.driveri_driver_id.casefold() for driver in drivers if driver.driveri_driver_id)
    return [
        driver
        for driver in drivers
        if driver.ref_id and driver.licence_number and emails[driver.email] == 1
        if ids[driver.driveri_driver_id.casefold()] <= 1
    ]


class Users:
    """Makes Motive's users, each with an id, a login and external ids of its own."""

    def __init__(self, people: People, chance: random.Random) -> None:
        self._people, self._chance = people, chance
        self._ids: Iterator[int] = count(3_100_020, 17)
        self._record_ids: Iterator[int] = count(880_001)

    def known(self, pile: list[PortalDriver], size: int) -> list[User]:
        """The users who are drivers of the fleet, taken from the pile: by RefID, by e-mail, by licence, in conflict."""
        total = share(400, size)
        by_email, by_licence = total // 4, total * 3 // 20
        users = [
            *(self._by_ref_id(driver) for driver in take(pile, total - by_email - by_licence - 3)),
            *(self._by_email(driver) for driver in take(pile, by_email)),
            *(self._by_licence(driver) for driver in take(pile, by_licence)),
        ]
        self._deactivate(users, share(30, size))
        self._mark(users, share(120, size))
        return [*users, *(user for driver in take(pile, 3) for user in self._contested(driver))]

    def strays(self, number: int) -> list[User]:
        """Drivers that the Portal does not have."""
        return [self._newcomer("driver", driver_company_id=f"T-{place:03}") for place in range(1, number + 1)]

    def office(self, known: User, unknown: PortalDriver) -> list[User]:
        """Users who are not drivers, two of them under the RefID of a driver: one who is in Motive, one who is not."""
        alike = [
            self._newcomer("fleet_user", driver_company_id=known["driver_company_id"]),
            self._newcomer("fleet_user", driver_company_id=unknown.ref_id),
        ]
        gone = [self._newcomer("fleet_user", status="deactivated") for _ in range(3)]
        dispatchers = [self._newcomer("fleet_user") for _ in range(15)]
        return [*alike, *gone, *dispatchers, *(self._newcomer("admin") for _ in range(5))]

    def _by_ref_id(self, driver: PortalDriver) -> User:
        """Some in step, some with a typing error, some without an address of their own."""
        match self._chance.randrange(3):
            case 0:
                return self._driver(driver)
            case 1:
                return self._driver(mistyped(self._chance, driver, ("first_name", "last_name", "email")))
            case _:
                return self._driver(driver, email=None, drivers_license_number=None, drivers_license_state=None)

    def _by_email(self, driver: PortalDriver) -> User:
        email = self._chance.choice((driver.email, driver.email, driver.email.title()))
        unknown = {"driver_company_id": None, "drivers_license_number": None, "drivers_license_state": None}
        return self._driver(driver, email=email, **unknown)

    def _by_licence(self, driver: PortalDriver) -> User:
        return self._driver(driver, email=None, driver_company_id=None)

    def _contested(self, driver: PortalDriver) -> list[User]:
        return [self._driver(driver), self._driver(driver, email=None, status="deactivated")]

    def _driver(self, driver: PortalDriver, **otherwise: object) -> User:
        """The driver in Motive's words, otherwise where it is said."""
        facts: User = {
            "first_name": driver.first_name,
            "last_name": driver.last_name,
            "email": driver.email,
            "phone": _ten_digits(driver.phone) or None,
            "phone_country_code": "+1" if driver.phone else None,
            "driver_company_id": driver.ref_id,
            "drivers_license_number": driver.licence_number,
            "drivers_license_state": driver.licence_state,
            "time_zone": _ZONES.get(driver.time_zone, driver.time_zone),
        }
        return self._user(self._people.login(driver.first_name, driver.last_name), "driver") | facts | otherwise

    def _newcomer(self, role: str, **otherwise: object) -> User:
        first, last = self._people.name()
        facts: User = {
            "first_name": first,
            "last_name": last,
            "email": self._people.email(first, last),
            "phone": _ten_digits(phone(self._chance, "303")),
            "phone_country_code": "+1",
        }
        return self._user(self._people.login(first, last), role) | facts | otherwise

    def _user(self, login: str, role: str) -> User:
        created = _START + self._chance.randrange(900_000) * _MINUTE
        updated = created + self._chance.randrange(400_000) * _MINUTE
        return {
            "id": next(self._ids),
            "first_name": None,
            "last_name": None,
            "email": None,
            "username": login,
            "phone": None,
            "phone_country_code": None,
            "driver_company_id": None,
            "drivers_license_number": None,
            "drivers_license_state": None,
            "role": role,
            "status": "active",
            "time_zone": _COMPANY_ZONE,
            "external_ids": [],
            "created_at": _written(created),
            "updated_at": _written(updated),
        } | self._hours_of_service(role)

    def _hours_of_service(self, role: str) -> User:
        if role != "driver":
            return {}
        cycle, mode = (
            self._chance.choice(("70_8", "70_8", "60_7", "canada_70_7")),
            self._chance.choice(("logs", "exempt")),
        )
        return {"cycle": cycle, "eld_mode": mode, "exception_short_haul": mode == "exempt"}

    def _deactivate(self, users: Sequence[User], number: int) -> None:
        for user in self._chance.sample(users, number):
            user["status"] = "deactivated"

    def _mark(self, users: Sequence[User], number: int) -> None:
        """Give so many users the external ids of other integrations, every third of them two."""
        for place, user in enumerate(self._chance.sample(users, number)):
            names = _INTEGRATIONS if place % 3 == 0 else _INTEGRATIONS[:1]
            user["external_ids"] = [self._external_id(name) for name in names]

    def _external_id(self, integration: str) -> User:
        record_id = next(self._record_ids)
        prefix = "DRV" if integration == "generic_maintenance_system" else ""
        return {"id": record_id, "external_id": f"{prefix}{record_id - 880_000 + 200}", "integration_name": integration}


def _written(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _ten_digits(phone_number: str) -> str:
    return "".join(character for character in phone_number if character.isdigit())[-10:]
