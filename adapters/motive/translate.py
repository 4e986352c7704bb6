"""Between the Portal's words for a driver and Motive's.

Between IANA's names of time zones and those of Rails, which Motive speaks.

Source of the Rails names: ActiveSupport::TimeZone. A North American zone that Rails has no name for goes by the name of
the zone that keeps the same time, and is therefore shown as that one.

The state of a licence: by its code, by its code with the country, or by its name.

Which of them Motive takes is not public, so a spelling that it refuses is followed by the others.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import httpx

from adapters.http.failures import REFUSED
from adapters.motive.external_ids import shown_ids
from adapters.motive.wire import MotiveAccess, User, words_of
from domain.cleaning import LONGEST_ID, clean
from domain.licence_states import spellings
from domain.matching import ObservedDriver
from domain.profile import FIELDS, Profile, tidy

DRIVER: Final = "driver"
"""The only role that is ever touched."""

ACTIVE: Final = "active"
DEACTIVATED: Final = "deactivated"

# Hours-of-service fields are left out for good: they have legal weight.
_PLAIN: Final = MappingProxyType(
    {
        "first_name": "first_name",
        "last_name": "last_name",
        "ref_id": "driver_company_id",
        "email": "email",
        "phone": "phone",
        "licence_number": "drivers_license_number",
        "licence_state": "drivers_license_state",
    }
)


def to_wire(profile: Profile, fields: Iterable[str] = FIELDS) -> dict[str, object]:
    """The named fields as Motive takes them, external ids aside; a time zone only if Motive has a name for it."""
    named = frozenset(fields)
    body: dict[str, object] = {_PLAIN[field]: profile[field] for field in _PLAIN if field in named and field in profile}
    zone = to_rails(profile.get("time_zone", "")) if "time_zone" in named else None
    return body if zone is None else body | {"time_zone": zone}


def to_driver(user: User, access: MotiveAccess) -> ObservedDriver:
    """The driver that Motive shows."""
    shown = {
        "first_name": user.first_name,
        "last_name": user.last_name,
        "ref_id": user.driver_company_id,
        "email": user.email,
        "phone": user.phone,
        "licence_number": user.drivers_license_number,
        "licence_state": user.drivers_license_state,
        "time_zone": user.time_zone and to_iana(user.time_zone),
    }
    ids = {field: text for field, shown in shown_ids(user, access).items() if (text := clean(shown, LONGEST_ID))}
    return ObservedDriver(
        key=user.key,
        active=user.status != DEACTIVATED,
        profile=tidy(shown | ids) | ids,
    )


_PAIRS: Final = (
    ("America/New_York", "Eastern Time (US & Canada)"),
    ("America/Indiana/Indianapolis", "Indiana (East)"),
    ("America/Chicago", "Central Time (US & Canada)"),
    ("America/Regina", "Saskatchewan"),
    ("America/Denver", "Mountain Time (US & Canada)"),
    ("America/Phoenix", "Arizona"),
    ("America/Los_Angeles", "Pacific Time (US & Canada)"),
    ("America/Anchorage", "Alaska"),
    ("Pacific/Honolulu", "Hawaii"),
    ("Pacific/Pago_Pago", "American Samoa"),
    ("Pacific/Guam", "Guam"),
    ("America/Halifax", "Atlantic Time (Canada)"),
    ("America/St_Johns", "Newfoundland"),
    ("America/Puerto_Rico", "Puerto Rico"),
    ("America/Mexico_City", "Mexico City"),
    ("America/Monterrey", "Monterrey"),
    ("America/Chihuahua", "Chihuahua"),
    ("America/Mazatlan", "Mazatlan"),
    ("America/Tijuana", "Tijuana"),
    ("America/Guatemala", "Central America"),
    ("America/Bogota", "Bogota"),
    ("America/Lima", "Lima"),
    ("America/Caracas", "Caracas"),
    ("America/La_Paz", "La Paz"),
    ("America/Santiago", "Santiago"),
    ("America/Sao_Paulo", "Brasilia"),
    ("America/Argentina/Buenos_Aires", "Buenos Aires"),
    ("America/Montevideo", "Montevideo"),
    ("America/Guyana", "Georgetown"),
    ("Etc/UTC", "UTC"),
    ("Europe/London", "London"),
    ("Europe/Dublin", "Dublin"),
    ("Europe/Lisbon", "Lisbon"),
    ("Europe/Madrid", "Madrid"),
    ("Europe/Paris", "Paris"),
    ("Europe/Brussels", "Brussels"),
    ("Europe/Amsterdam", "Amsterdam"),
    ("Europe/Berlin", "Berlin"),
    ("Europe/Rome", "Rome"),
    ("Europe/Vienna", "Vienna"),
    ("Europe/Prague", "Prague"),
    ("Europe/Warsaw", "Warsaw"),
    ("Europe/Budapest", "Budapest"),
    ("Europe/Copenhagen", "Copenhagen"),
    ("Europe/Stockholm", "Stockholm"),
    ("Europe/Athens", "Athens"),
    ("Europe/Bucharest", "Bucharest"),
    ("Europe/Helsinki", "Helsinki"),
    ("Europe/Istanbul", "Istanbul"),
    ("Africa/Johannesburg", "Pretoria"),
    ("Asia/Dubai", "Abu Dhabi"),
    ("Asia/Karachi", "Karachi"),
    ("Asia/Kolkata", "New Delhi"),
    ("Asia/Singapore", "Singapore"),
    ("Asia/Hong_Kong", "Hong Kong"),
    ("Asia/Tokyo", "Tokyo"),
    ("Asia/Seoul", "Seoul"),
    ("Australia/Perth", "Perth"),
    ("Australia/Adelaide", "Adelaide"),
    ("Australia/Brisbane", "Brisbane"),
    ("Australia/Sydney", "Sydney"),
    ("Australia/Melbourne", "Melbourne"),
    ("Pacific/Auckland", "Auckland"),
)

_SAME_TIME: Final = (
    ("America/Toronto", "America/New_York"),
    ("America/Montreal", "America/New_York"),
    ("America/Detroit", "America/New_York"),
    ("America/Kentucky/Louisville", "America/New_York"),
    ("US/Eastern", "America/New_York"),
    ("America/Winnipeg", "America/Chicago"),
    ("America/Menominee", "America/Chicago"),
    ("America/Indiana/Knox", "America/Chicago"),
    ("America/North_Dakota/Center", "America/Chicago"),
    ("US/Central", "America/Chicago"),
    ("America/Edmonton", "America/Denver"),
    ("America/Boise", "America/Denver"),
    ("US/Mountain", "America/Denver"),
    ("US/Arizona", "America/Phoenix"),
    ("America/Vancouver", "America/Los_Angeles"),
    ("US/Pacific", "America/Los_Angeles"),
    ("America/Juneau", "America/Anchorage"),
    ("US/Alaska", "America/Anchorage"),
    ("US/Hawaii", "Pacific/Honolulu"),
    ("America/Moncton", "America/Halifax"),
    ("UTC", "Etc/UTC"),
)

_RAILS: Final = MappingProxyType(dict(_PAIRS))
_IANA: Final = MappingProxyType(
    {rails: iana for iana, rails in _PAIRS}
    | {
        "Guadalajara": "America/Mexico_City",
        "Quito": "America/Lima",
        "Edinburgh": "Europe/London",
        "Muscat": "Asia/Dubai",
        "Mumbai": "Asia/Kolkata",
        "Wellington": "Pacific/Auckland",
    }
)
_NAMED: Final = MappingProxyType(dict(_SAME_TIME))


def to_rails(iana: str) -> str | None:
    """The Rails name of an IANA zone; None if there is none for it."""
    return _RAILS.get(_NAMED.get(iana, iana))


def to_iana(rails: str) -> str:
    """The IANA name of a Rails zone; the same text if it has no counterpart here."""
    return _IANA.get(rails, rails)


_STATE: Final = "drivers_license_state"


def is_refused_for_state(reply: httpx.Response) -> bool:
    """Whether Motive refuses a write, and names the state of the licence as the reason."""
    words = words_of(reply).casefold().replace(" ", "_")
    return reply.status_code in REFUSED and "license_state" in words


class LicenceStateSpelling:
    """Which spelling a company takes, as far as it was found out; as it is written until then."""

    def __init__(self) -> None:
        self._place = 0

    def bodies(self, body: Mapping[str, object]) -> Iterator[tuple[int, Mapping[str, object]]]:
        """The same body in each spelling that it can have, the one that worked last first, with its place.

        None where it states no licence.
        """
        if not body.get(_STATE):
            return
        written = spellings(str(body[_STATE]))
        first = self._place if self._place < len(written) else 0
        places = {text: place for place, text in reversed([*enumerate(written)])}
        ordered = sorted(set(places.values()) | {first}, key=lambda place: (place != first, place))
        for place in ordered:
            yield place, {**body, _STATE: written[place]}

    def has_worked(self, place: int) -> None:
        """A write in this spelling was not refused for it."""
        self._place = place
