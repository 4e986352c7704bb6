"""The words in which people are told things: targets, keys, fields, moments, persons."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from domain.account import Role
from domain.identity import Target
from domain.profile import Profile

_TARGETS: Mapping[str, str] = {Target.DRIVERI: "Driveri", Target.MOTIVE: "Motive"}
_KEYS: Mapping[str, str] = {Target.DRIVERI: "DriverID", Target.MOTIVE: "user"}
_DELETED: Mapping[str, str] = {Target.DRIVERI: "deleted", Target.MOTIVE: "deactivated"}
_FIELDS: Mapping[str, str] = {
    "ref_id": "RefID",
    "driveri_driver_id": "Driveri DriverID",
    "portal_driver_id": "our external id",
    "email": "e-mail",
    "driveri_group": "Driveri group",
}
_ROLES: Mapping[str, str] = {Role.MASTER_USER: "Master User", Role.ACCOUNT_MANAGER: "account manager"}


def named(target: str) -> str:
    """A target by its name."""
    return _TARGETS.get(target, target)


def keyed(target: str, key: str) -> str:
    """A target driver by its key."""
    return f"{_KEYS.get(target, 'key')} {key}"


def deleted(target: str) -> str:
    """What a driver is called whom the target keeps, but not as an active one."""
    return _DELETED.get(target, "deleted")


def field_name(field: str) -> str:
    """A field of a profile by its name; never what stands in it."""
    return _FIELDS.get(field, field.replace("_", " "))


def field_names(fields: Iterable[str]) -> str:
    """Fields of a profile by their names, as one phrase."""
    return listed(map(field_name, fields))


def listed(phrases: Iterable[str]) -> str:
    """Phrases as one: `a, b and c`."""
    *others, last = [*phrases] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def moment(at: datetime) -> str:
    """A moment, to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def person(by: str, role: str) -> str:
    """Who acted, and as what."""
    return f"{by} ({_ROLES.get(role, role)})"


def name_of(profile: Profile) -> str:
    """The driver's name, for the account's own people; empty if the Portal gives none."""
    return " ".join(profile[field] for field in ("first_name", "last_name") if field in profile)


def command(name: str, *arguments: str) -> str:
    """A command of ours, as it is typed."""
    return f"`{' '.join(('driverlink', name, *arguments))}`"
