"""A user as Motive keeps it, drivers among them.

Source: Motive's public API reference, /v1/users; which fields a user of which role has is the census of 2,665 live
users that the authors of fleetpull (on PyPI, 0.1.4) published in July 2026.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Literal, get_args

from services.sandbox.journal import Effect, Seen, fingerprint_of

Role = Literal["driver", "fleet_user", "admin"]
Status = Literal["active", "deactivated"]
ROLES: frozenset[str] = frozenset(get_args(Role))
STATUSES: frozenset[str] = frozenset(get_args(Status))
_BOOKKEEPING = frozenset({"created_at", "updated_at"})
_COMPOUND = frozenset({"further", "external_ids", "group_ids"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalId:
    """What another system calls a user. `id` is Motive's number for this record."""

    id: int
    external_id: str
    integration_name: str

    @property
    def pair(self) -> tuple[str, str]:
        """What is unique within the company."""
        return (self.external_id, self.integration_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """All that is stored of a user; times are ISO 8601 texts.

    `further` holds the fields that this project never owns, hours-of-service settings for instance.
    """

    id: int
    role: str
    status: str
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    username: str | None = None
    phone: str | None = None
    phone_country_code: str | None = None
    driver_company_id: str | None = None
    drivers_license_number: str | None = None
    drivers_license_state: str | None = None
    time_zone: str | None = None
    group_ids: tuple[int, ...] = ()
    created_at: str
    updated_at: str
    external_ids: tuple[ExternalId, ...] = ()
    further: Mapping[str, object] = field(default_factory=dict)


_PLAIN = tuple(field.name for field in fields(User) if field.name not in _COMPOUND)


_OF_ALL: Mapping[str, object] = MappingProxyType(
    {
        "phone_ext": None,
        "company_reference_id": None,
        "metric_units": False,
        "mobile_current_sign_in_at": None,
        "mobile_last_active_at": None,
        "mobile_last_sign_in_at": None,
        "web_current_sign_in_at": None,
        "web_last_active_at": None,
        "web_last_sign_in_at": None,
    }
)
_OF_OTHERS: Mapping[str, object] = MappingProxyType({"expires_at": None, "phone2": None, "phone_country_code2": None})
_EXCEPTIONS = ("24_hour_restart", "8_hour_break", "adverse_driving", "ca_farm_school_bus", "short_haul", "wait_time")
_OF_DRIVERS: Mapping[str, object] = MappingProxyType(
    {
        "joined_at": None,
        "associated_dispatcher_id": None,
        "duty_status": "off_duty",
        "eld_mode": "logs",
        "cycle": "70_8",
        "cycle2": None,
        "violation_alerts": "never",
        **dict.fromkeys(f"carrier_{part}" for part in ("name", "street", "city", "state", "zip")),
        **dict.fromkeys(f"terminal_{part}" for part in ("street", "city", "state", "zip")),
        **dict.fromkeys((f"exception_{name}{which}" for which in ("", "2") for name in _EXCEPTIONS), False),
        "export_combined": True,
        "export_odometers": True,
        "export_recap": True,
        "manual_driving_enabled": False,
        "minute_logs": True,
        "personal_conveyance_enabled": False,
        "yard_moves_enabled": False,
    }
)
_SHOWN_OF_DRIVERS = frozenset({"username", "driver_company_id", "drivers_license_number", "drivers_license_state"})
_PLAIN_OF_OTHERS = tuple(name for name in _PLAIN if name not in _SHOWN_OF_DRIVERS)
_FURTHER_OF_DRIVERS = {**_OF_ALL, **_OF_DRIVERS}
_FURTHER_OF_OTHERS = {**_OF_ALL, **_OF_OTHERS}
_READ_ONLY = frozenset(name for name in _OF_ALL if name.endswith("_at"))
FURTHER_FIELDS: frozenset[str] = frozenset({**_OF_ALL, **_OF_OTHERS, **_OF_DRIVERS})
"""The fields that are kept in `further`."""
WRITABLE_FIELDS: frozenset[str] = FURTHER_FIELDS - _READ_ONLY
"""Those that a client may state."""


def as_listed(user: User, *, none: Sequence[object] | None = None) -> dict[str, object]:
    """The user as everything but `GET /v1/users/{id}` shows it: external ids without their records, `none` if none."""
    external_ids = [
        {"external_id": record.external_id, "integration_name": record.integration_name} for record in user.external_ids
    ]
    return _shown(user) | {"external_ids": external_ids or none}


def as_read(user: User) -> dict[str, object]:
    """The user as `GET /v1/users/{id}` shows it."""
    return _shown(user) | {"external_ids": _records(user)}


def as_stored(user: User) -> dict[str, object]:
    """Everything that is stored of the user, also what a user of this role does not show."""
    return _plain(user) | {"external_ids": _records(user)}


def field_of(user: User, name: str) -> object:
    """One of the fields that a user of this role shows; None if it shows no such field."""
    if user.role != "driver" and name in _SHOWN_OF_DRIVERS:
        return None
    usual = _FURTHER_OF_DRIVERS if user.role == "driver" else _FURTHER_OF_OTHERS
    return user.further.get(name, usual[name]) if name in usual else getattr(user, name, None)


def _shown(user: User) -> dict[str, object]:
    is_driver = user.role == "driver"
    plain: dict[str, object] = {name: getattr(user, name) for name in (_PLAIN if is_driver else _PLAIN_OF_OTHERS)}
    usual = _FURTHER_OF_DRIVERS if is_driver else _FURTHER_OF_OTHERS
    stated = {name: value for name, value in user.further.items() if name in usual}
    return {**plain, "group_ids": list(user.group_ids), **usual, **stated}


def _records(user: User) -> list[dict[str, object]]:
    return [
        {"id": record.id, "external_id": record.external_id, "integration_name": record.integration_name}
        for record in user.external_ids
    ]


def _plain(user: User) -> dict[str, object]:
    plain: dict[str, object] = {name: getattr(user, name) for name in _PLAIN}
    return {**plain, "group_ids": list(user.group_ids), **user.further}


def effect_between(before: User | None, after: User) -> Effect:
    """What a write did, as the journal tells it."""
    changed = changed_between(before, after)
    return Effect(
        before=_seen(before) if before else None,
        after=_seen(after),
        created=before is None,
        changed=changed,
        fingerprint=fingerprint_of(as_stored(after), changed),
    )


def changed_between(before: User | None, after: User) -> tuple[str, ...]:
    """The sorted names of the fields that hold another value now."""
    was = as_stored(before) if before else {"group_ids": [], "external_ids": []}
    names = (name for name, value in as_stored(after).items() if was.get(name) != value)
    return tuple(sorted(name for name in names if name not in _BOOKKEEPING))


def _seen(user: User) -> Seen:
    return Seen(key=str(user.id), status=user.status)
