"""The users of one company, found by id, external id and their other names, and listed by id.

What companies granted to OAuth applications: refresh tokens that are good for one use, and access tokens.

Source: developer-docs.gomotive.com, OAuth 2.0; what is assumed beyond it is in docs/reference/sandbox.md.

A user as Motive keeps it, drivers among them.

Source: Motive's public API reference, /v1/users; which fields a user of which role has is the census of 2,665 live
users that the authors of fleetpull (on PyPI, 0.1.4) published in July 2026.

What Motive's texts leave open, as switches: each default is one reading, and each other value another one.

They are stated in the seed of a company below `assumptions`, and described in docs/reference/sandbox.md; the contract
tests run the product under each of them.
"""

import secrets
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from services.sandbox.journal import Effect, Seen, effect_of
from services.sandbox.state import Lagging, Shelves


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one company granted, with the tokens that are good now. `token_lifetime` is in milliseconds.

    `expires_at` is in milliseconds since the epoch; there is no access token until the first renewal.
    """

    company: str
    client_id: str
    client_secret: str
    refresh_token: str
    token_lifetime: int
    access_token: str = ""
    expires_at: int = 0


class Grants:
    """All grants of one sandbox."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self._grants = list(grants)

    def of_company(self, company: str) -> Sequence[Grant]:
        """The grants of one company."""
        return [grant for grant in self._grants if grant.company == company]

    def has_client(self, client_id: str, client_secret: str) -> bool:
        """Whether there is an application of this id and secret."""
        return any((grant.client_id, grant.client_secret) == (client_id, client_secret) for grant in self._grants)

    def renew(self, client_id: str, refresh_token: str, at: int) -> Grant | None:
        """The grant with new tokens, and none of the former good any more; None for an unknown or spent token."""
        for place, grant in enumerate(self._grants):
            if (grant.client_id, grant.refresh_token) == (client_id, refresh_token):
                self._grants[place] = _renewed(grant, at)
                return self._grants[place]
        return None

    def company(self, access_token: str, at: int) -> str | None:
        """The company that this access token opens, if it has not ended."""
        good = (each for each in self._grants if each.access_token and each.expires_at > at)
        return next((grant.company for grant in good if grant.access_token == access_token), None)

    def expire(self, access_token: str, at: int) -> None:
        """End an access token before its time; the refresh token stays good."""
        self._grants = [
            replace(grant, expires_at=at) if grant.access_token == access_token else grant for grant in self._grants
        ]


def _renewed(grant: Grant, at: int) -> Grant:
    return replace(
        grant,
        refresh_token=secrets.token_urlsafe(24),
        access_token=secrets.token_urlsafe(24),
        expires_at=at + grant.token_lifetime,
    )


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
    """What a write did, as the journal shows it."""
    return effect_of(_seen(before) if before else None, _seen(after), as_stored(after), changed_between(before, after))


def changed_between(before: User | None, after: User) -> tuple[str, ...]:
    """The sorted names of the fields that hold another value now."""
    was = as_stored(before) if before else {"group_ids": [], "external_ids": []}
    names = (name for name, value in as_stored(after).items() if was.get(name) != value)
    return tuple(sorted(name for name in names if name not in _BOOKKEEPING))


def _seen(user: User) -> Seen:
    return Seen(key=str(user.id), status=user.status)


Name = Literal["external_ids", "external_ids_attributes"]
LicenseStates = Literal["as_written", "codes", "names", "with_country", "lower_case", "codes_only"]
NAMES: tuple[Name, ...] = ("external_ids", "external_ids_attributes")


class Assumptions(BaseModel):
    """How the sandbox behaves where the texts are silent; the first value of each switch is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names_in_updates: Literal["both", "external_ids", "external_ids_attributes", "neither"] = "both"
    names_in_creates: Literal["external_ids_attributes", "external_ids", "both", "neither"] = "external_ids_attributes"
    other_name: Literal["ignored", "refused"] = "ignored"
    external_ids: Literal["replace", "merge"] = "replace"
    external_ids_attributes: Literal["merge", "replace"] = "merge"
    no_external_ids: Literal["null", "empty"] = "null"
    unique_external_ids: Literal["in_company", "everywhere", "nowhere"] = "in_company"
    status_in_updates: Literal["changes", "ignored", "refused"] = "changes"
    deactivated_users: Literal["editable", "status_first", "status_alone"] = "editable"
    password: Literal["optional", "required"] = "optional"  # noqa: S105 - whether one is needed, not one
    username: Literal["kept", "dropped"] = "kept"
    phones: Literal["as_written", "digits"] = "as_written"
    emails: Literal["as_written", "lower_case"] = "as_written"
    licences: Literal["as_written", "bare_capitals"] = "as_written"
    license_states: LicenseStates = "as_written"
    external_ids_calls: Literal["there", "absent"] = "there"
    wrong_key: Literal[401, 403] = 401
    created_users: Literal["there", "not_there"] = "there"
    test_mode_create: Literal[200, 201] = 200
    longest_page: int = Field(default=100, ge=1)
    longer_pages: Literal["shortened", "refused"] = "shortened"
    list_order: Literal["by_id", "newest_first", "shuffled"] = "by_id"
    total: Literal["listed", "all_roles", "page", "missing", "zero"] = "listed"
    miss: Literal[404, 400, 200] = 404
    shown_after: float = Field(default=0.0, ge=0.0, le=3600.0)

    def names(self, *, in_create: bool) -> frozenset[str]:
        """The names under which external ids are taken."""
        taken = self.names_in_creates if in_create else self.names_in_updates
        return frozenset(name for name in NAMES if taken in (name, "both"))


LOOKUPS = ("email", "username", "driver_company_id", "phone")
UNIQUE_NAMES = ("email", "username")


class Company:
    """One customer of Motive and its users; a test-mode key answers as if, and changes nothing."""

    def __init__(self, *, name: str, api_key: str, test_mode: bool, assumptions: Assumptions) -> None:
        self.name = name
        self.api_key = api_key
        self.test_mode = test_mode
        self.assumptions = assumptions
        self._users: dict[int, User] = {}
        self._shelves = Shelves()
        self._records: dict[int, int] = {}
        self._late: Lagging[Company, User] | None = None
        if assumptions.shown_after:
            at_once = assumptions.model_copy(update={"shown_after": 0.0})
            copy = Company(name=name, api_key=api_key, test_mode=test_mode, assumptions=at_once)
            self._late = Lagging(copy, Company.put, 1000 * assumptions.shown_after)

    def shown(self, now: int) -> "Company":
        """What lists and look-ups show at this moment, in milliseconds since the epoch."""
        return self._late.at(now) if self._late else self

    def find(self, user_id: int) -> User | None:
        """The user of this id."""
        return self._users.get(user_id)

    def user(self, user_id: int) -> User:
        """The user of an id that is known."""
        return self._users[user_id]

    def with_name(self, field: str, value: str) -> User | None:
        """The user whose field (one of `LOOKUPS`) has this value; of several the one with the lowest id."""
        numbers = self._shelves.on(named(field, value))
        return self._users[numbers[0]] if numbers else None

    def holder(self, external_id: str, integration_name: str) -> User | None:
        """The user with this external id of that integration; of several the one with the lowest id."""
        numbers = self._shelves.on(_called(external_id, integration_name))
        return self._users[numbers[0]] if numbers else None

    def holder_of_record(self, record_id: int) -> User | None:
        """The user who has the external id with this record number."""
        return self._users.get(self._records.get(record_id, 0))

    def all(self) -> Iterable[User]:
        """Every user, by id."""
        return [self._users[number] for number in self._shelves.on(("list", None, None))]

    def listed(self, role: str | None, status: str | None) -> Sequence[int]:
        """The ids of the users with this role and status (None for any)."""
        return self._shelves.on(("list", role, status))

    def put(self, before: User | None, after: User, at: int = 0) -> None:
        """Take in a new user, or the new version of one, at this moment; of a seed it was long ago."""
        if self._late:
            self._late.add(before, after, at)
        self._users[after.id] = after
        self._shelves.move(after.id, _labels(before) if before else frozenset(), _labels(after))
        for record in before.external_ids if before else ():
            del self._records[record.id]
        for record in after.external_ids:
            self._records[record.id] = after.id


def _labels(user: User) -> frozenset[Hashable]:
    lists = (("list", role, status) for role in (user.role, None) for status in (user.status, None))
    names = ((field, str(field_of(user, field) or "")) for field in LOOKUPS)
    called = (_called(*record.pair) for record in user.external_ids)
    return frozenset((*lists, *called)) | {named(field, value) for field, value in names if value}


def named(field: str, value: str) -> str:
    """The label of a value in any letter case; a text, since a pair takes twice the memory."""
    return f"{field}:{value.casefold()}"


def _called(external_id: str, integration_name: str) -> str:
    return f"external id:{integration_name}\0{external_id}"


class TakenNames:
    """Which e-mail addresses and user names are taken, in all companies, also in those that this sandbox hides."""

    def __init__(self, elsewhere: Iterable[str] = ()) -> None:
        self._owners = {named(field, name): 0 for name in elsewhere for field in UNIQUE_NAMES}

    def taken_for(self, user: User) -> str | None:
        """The first field of the user whose value somebody else has."""
        for name, label in _names(user).items():
            if self._owners.get(label, user.id) != user.id:
                return name
        return None

    def put(self, before: User | None, after: User) -> None:
        """Give up the names a user had, and take those the user has now."""
        for label in _names(before).values() if before else ():
            del self._owners[label]
        self._owners.update(dict.fromkeys(_names(after).values(), after.id))


def _names(user: User) -> dict[str, str]:
    names = ((field, getattr(user, field)) for field in UNIQUE_NAMES)
    return {field: named(field, value) for field, value in names if value}
