"""Between the Portal's words for a driver and Motive's."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from adapters.motive.access import MotiveAccess
from adapters.motive.external_ids import shown_ids
from adapters.motive.time_zones import to_iana, to_rails
from adapters.motive.wire import User
from domain.cleaning import LONGEST_ID, clean
from domain.profile import FIELDS, Profile, tidy
from domain.roster import TargetDriver

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


def to_driver(user: User, access: MotiveAccess) -> TargetDriver:
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
    return TargetDriver(
        key=user.key,
        active=user.status != DEACTIVATED,
        profile=tidy(shown | ids) | ids,
    )
