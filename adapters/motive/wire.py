"""The forms of Motive's answers, as far as they are used, and how its words for a driver relate to the Portal's.

Source of the forms: developer.gomotive.com, Users and External Ids.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Final

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass as wire_dataclass

from adapters.http.oauth import OAuthGrant
from adapters.http.response import Lines, UnexpectedForm, parsed_if, read_one
from domain.cleaning import LONGEST_ID, clean, to_iana, to_rails
from domain.identity import Key
from domain.matching import ObservedDriver
from domain.profile import FIELDS, Profile, tidy

CONFIG: Final = ConfigDict(coerce_numbers_to_str=True, cache_strings="none")
"""What is not named in a form is ignored. Hardly any text comes twice."""


_LONGEST_COUNT: Final = 18
"""Digits of the longest number that can count anything."""


class _MotiveWire(BaseModel):
    """A part of an answer. What comes by the hundred is a dataclass with slots: made in half of the time."""

    model_config = ConfigDict(**CONFIG, frozen=True)


@wire_dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class ExternalId:
    """What another system calls a user. `id` is the record's own, shown only when one user is read."""

    id: int | None = None
    external_id: str | None = None
    integration_name: str | None = None


_UserId = Annotated[int, Field(gt=0, lt=2**63)]
"""Motive's number of a user, as far as a store takes it."""


@wire_dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class User:
    """A user of the company; a driver if the role says so. `external_ids` is None where an answer leaves them out."""

    id: _UserId
    role: str | None = None
    status: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    driver_company_id: str | None = None
    drivers_license_number: str | None = None
    drivers_license_state: str | None = None
    time_zone: str | None = None
    external_ids: Annotated[
        tuple[ExternalId, ...] | None, BeforeValidator(lambda value: () if value is None else value)
    ] = None

    @property
    def key(self) -> Key:
        """The user id, as links have it."""
        return Key(str(self.id))


@wire_dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class UserAnswer:
    """One user, wrapped, as every answer has it."""

    user: User


def _as_count(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_COUNT and int(text) > 0 else None


Count = Annotated[int | None, BeforeValidator(_as_count)]
"""A number above 0 that Motive states; None where it states anything else, because no page is refused for that."""


USERS: Final = Lines(
    place=("users",),
    form=UserAnswer,
    inner=("user",),
    optional=frozenset(
        {
            "first_name",
            "last_name",
            "email",
            "phone",
            "driver_company_id",
            "drivers_license_number",
            "drivers_license_state",
            "time_zone",
        }
    ),
    id="id",
)
"""The lines of a list of users. Without its role, status or external ids a user is not known well enough."""


class _Pagination(_MotiveWire):
    """What a page says of the list, none of which is believed without a second look."""

    per_page: Count = None
    total: Count = None


class UsersPage(_MotiveWire):
    """One page of the list."""

    users: tuple[UserAnswer, ...]
    pagination: _Pagination | None = None

    @property
    def total(self) -> int | None:
        """How many users there are, as the page says."""
        return self.pagination.total if self.pagination else None

    @property
    def per_page(self) -> int | None:
        """How many users fit on a page, as the page says."""
        return self.pagination.per_page if self.pagination else None


class _MotiveProblem(_MotiveWire):
    """Why Motive refuses; the answer to a look-up that finds no user, too."""

    error_message: str | None = None


def user_of(reply: httpx.Response) -> User | None:
    """The user that the answer to a write shows, if it shows one."""
    try:
        return read_one(reply, UserAnswer, USERS).user
    except UnexpectedForm:
        return None


def shows(user: User, body: Mapping[str, object]) -> bool:
    """Whether a user shows these fields, external ids aside, just as they were written."""
    return all(getattr(user, name) == value for name, value in body.items())


def words_of(reply: httpx.Response) -> str:
    """What Motive says to a refusal, if it says anything."""
    problem = parsed_if(reply, _MotiveProblem)
    return (problem and problem.error_message) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotiveAccess:
    """How to reach one company in Motive: by an API key, or by a grant.

    `portal_integration` and `driveri_integration` are the integration names under which a user carries our two
    external ids.
    """

    base_url: str
    api_key: str = field(default="", repr=False)
    grant: OAuthGrant | None = None
    portal_integration: str = "gps_portal"
    driveri_integration: str = "driveri"

    def integrations(self) -> Mapping[str, str]:
        """The integration name of each of our external ids, by the profile's field."""
        return MappingProxyType(
            {"portal_driver_id": self.portal_integration, "driveri_driver_id": self.driveri_integration}
        )


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


def shown_ids(user: User, access: MotiveAccess) -> dict[str, str]:
    """Our external ids that the user carries, by the profile's field."""
    first: dict[str | None, str | None] = {}
    for entry in user.external_ids or ():
        first.setdefault(entry.integration_name, entry.external_id)
    return {field: shown for field, integration in access.integrations().items() if (shown := first.get(integration))}


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
        "time_zone": user.time_zone and (to_iana(user.time_zone) or user.time_zone),
    }
    ids = {field: text for field, shown in shown_ids(user, access).items() if (text := clean(shown, LONGEST_ID))}
    return ObservedDriver(
        key=user.key,
        active=user.status != DEACTIVATED,
        profile=tidy(shown | ids) | ids,
    )
