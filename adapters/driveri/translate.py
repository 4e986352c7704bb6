"""Between the Portal's words for a driver and Driveri's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from adapters.driveri.access import DriveriAccess
from adapters.driveri.wire import DriverRow, StatusRow
from domain.cleaning import LONGEST_ID, clean, folded
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.profile import FIELDS, Profile, chosen, differing, tidy
from domain.roster import TargetDriver

# Left out for good: enableDriveriApp, userName and the passwords, because Driveri answers them with e-mails to the
# driver, and a repeated call would send those again.
_PLAIN: Final = MappingProxyType(
    {"first_name": "firstName", "last_name": "lastName", "email": "email", "phone": "phone"}
)
_LICENCE: Final = MappingProxyType(
    {"licence_number": "licenceNumber", "licence_state": "licenseState", "licence_country": "licenseCountry"}
)
_GROUP: Final = "driveri_group"
_UNREADABLE: Final = frozenset({"phone"})
_SEEN_APART: Final = frozenset({"driverId", "status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCodes:
    """What this tenant's status codes mean, as far as we use them."""

    active: int
    deleted: int


def to_status_codes(rows: Iterable[StatusRow], access: DriveriAccess) -> StatusCodes:
    """The codes of the two configured words.

    Raises `TargetFailed` when this tenant has no such word, with those that it has.
    """
    codes = {clean(row.description, LONGEST_ID): row.status for row in rows if row.description}
    return StatusCodes(active=_code(access.active_status, codes), deleted=_code(access.deleted_status, codes))


def _code(word: str, codes: dict[str, int]) -> int:
    for known, code in codes.items():
        if folded(known) == folded(word):
            return code
    detail = f"no driver status is called {word!r} here; there are: {', '.join(codes) or 'none'}"
    raise TargetFailed(Rejected(reason=Reason.NOT_CONFIGURED, detail=detail))


def to_wire(profile: Profile, fields: Iterable[str] = FIELDS) -> dict[str, object]:
    """The named fields as Driveri takes them; a licence only whole, because a part of it is refused."""
    named = frozenset(fields)
    body: dict[str, object] = {_PLAIN[field]: profile[field] for field in _PLAIN if field in named and field in profile}
    if not named.isdisjoint(_LICENCE) and _has_licence(profile):
        body |= {_LICENCE[field]: profile[field] for field in _LICENCE}
    if _GROUP in named and _GROUP in profile:
        body["group"] = {"name": profile[_GROUP], "action": "ADD"}
    return body


def as_shown(profile: Profile) -> dict[str, str]:
    """What Driveri shows of a profile once it is written: without the phone, and without a part of a licence."""
    readable = (frozenset(_PLAIN) - _UNREADABLE) | {_GROUP}
    return tidy(chosen(profile, readable | frozenset(_LICENCE) if _has_licence(profile) else readable))


def to_driver(row: DriverRow, codes: StatusCodes) -> TargetDriver:
    """The driver that Driveri shows: active in every status but the deleted one."""
    shown = {
        "first_name": row.first_name,
        "last_name": row.last_name,
        "email": row.email,
        "licence_number": row.licence_number,
        "licence_state": row.license_state,
        "licence_country": row.license_country,
        # A group is written by its unique name, so it is compared by that one.
        _GROUP: (row.group.group_unique_name or row.group.group_name) if row.group else None,
    }
    profile = tidy(shown)
    return TargetDriver(key=Key(row.driver_id), active=row.status != codes.deleted, profile=profile)


def shows(driver: TargetDriver, body: Mapping[str, object]) -> bool:
    """Whether a driver shows what a body wrote; not, where the body is all about what cannot be read back."""
    names = {field: name for field, name in {**_PLAIN, **_LICENCE}.items() if field not in _UNREADABLE}
    written = {field: str(body[name]) for field, name in names.items() if name in body}
    group = body.get("group")
    if isinstance(group, Mapping):
        written[_GROUP] = str(group["name"])
    can_be_seen = written or not body.keys().isdisjoint(_SEEN_APART)
    has_key = body.get("driverId", driver.key) == driver.key
    return bool(can_be_seen) and has_key and not differing(tidy(written), driver.profile)


def is_same(one: str, other: str) -> bool:
    """Whether two DriverIDs name the same driver: letter case and what nobody sees do not count."""
    return folded(one) == folded(other)


def _has_licence(profile: Profile) -> bool:
    return all(field in profile for field in _LICENCE)
