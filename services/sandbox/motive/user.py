"""A user as Motive keeps it, drivers among them.

Source: Motive's public API reference, /v1/users.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from services.sandbox.journal import Effect, Seen

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


def as_listed(user: User) -> dict[str, object]:
    """The user as everything but `GET /v1/users/{id}` shows it: external ids without their records, null if none."""
    external_ids = [
        {"external_id": record.external_id, "integration_name": record.integration_name} for record in user.external_ids
    ]
    return _plain(user) | {"external_ids": external_ids or None}


def as_read(user: User) -> dict[str, object]:
    """The user as `GET /v1/users/{id}` shows it, which is everything that is stored."""
    external_ids = [
        {"id": record.id, "external_id": record.external_id, "integration_name": record.integration_name}
        for record in user.external_ids
    ]
    return _plain(user) | {"external_ids": external_ids}


def _plain(user: User) -> dict[str, object]:
    plain: dict[str, object] = {name: getattr(user, name) for name in _PLAIN}
    return {**plain, "group_ids": list(user.group_ids), **user.further}


def effect_between(before: User | None, after: User) -> Effect:
    """What a write did, as the journal tells it."""
    return Effect(
        before=_seen(before) if before else None,
        after=_seen(after),
        created=before is None,
        changed=changed_between(before, after),
    )


def changed_between(before: User | None, after: User) -> tuple[str, ...]:
    """The sorted names of the fields that hold another value now."""
    was = as_listed(before) if before else {"group_ids": []}
    names = (name for name, value in as_listed(after).items() if was.get(name) != value)
    return tuple(sorted(name for name in names if name not in _BOOKKEEPING))


def _seen(user: User) -> Seen:
    return Seen(key=str(user.id), status=user.status)
