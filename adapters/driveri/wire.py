"""The forms of Driveri's answers, as far as they are used, and how its words for a driver relate to the Portal's.

The state of a licence is a code of ISO 3166-2 with its country, as in US-CO, or without it. Which of them Driveri takes
is not public, so a form that it refuses is followed by the other one.
Source: driveri-python-sdk 1.0.0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Final

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass as wire_dataclass

from adapters.http.response import (
    IF_LEGIBLE,
    REFUSED,
    Lines,
    UnexpectedForm,
    down,
    legible,
    parsed,
    parsed_if,
    parsed_python,
)
from domain.cleaning import LONGEST_ID, clean, folded, spellings
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key, Target
from domain.matching import ObservedDriver
from domain.profile import FIELDS, SPECS, Profile, chosen, differing, tidy

CONFIG: Final = ConfigDict(alias_generator=to_camel, coerce_numbers_to_str=True, cache_strings="none")
"""What is not named in a form is ignored. Hardly any text comes twice."""


_Anything: Any = dict[str, object] | list[object] | str | float | bool | None
"""Any JSON."""


_DriverId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""A DriverID as it is, because calls name drivers by it: one that no store can hold is invalid."""


class _DriveriWire(BaseModel):
    """A part of an answer. What comes by the hundred is a dataclass with slots: made in half of the time."""

    model_config = ConfigDict(**CONFIG, frozen=True)


@wire_dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class GroupRow:
    """The one group that a driver is in."""

    group_name: str | None = None
    group_unique_name: str | None = None


@wire_dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class DriverRow:
    """A driver. `phone` is never shown; one without a status is not known to be deleted."""

    driver_id: _DriverId
    status: int | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    licence_number: str | None = None
    license_state: str | None = None
    license_country: str | None = None
    group: GroupRow | None = None


def _as_number(value: object) -> object:
    """A number that is stated; None for anything else, because no page is refused for that."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


DRIVERS: Final = Lines(
    place=("data", "drivers"),
    form=DriverRow,
    optional=frozenset({"firstName", "lastName", "email", "licenceNumber", "licenseState", "licenseCountry", "group"}),
    id="driverId",
)
"""The lines of a list of drivers."""


class _DriversData(_DriveriWire):
    """The drivers of one page of the list, or those that a look-up found."""

    drivers: tuple[DriverRow, ...] | None = None


class PageLinks(_DriveriWire):
    """Where a list goes on; blank at its end."""

    next: str | None = None


class DriversPage(_DriveriWire):
    """One page of the list; without drivers only where the list says that it has none at all."""

    data: _DriversData | None
    links: PageLinks | None = None
    total_count: Annotated[int | None, BeforeValidator(_as_number)] = None

    @property
    def drivers(self) -> tuple[DriverRow, ...]:
        """The drivers of this page."""
        return (self.data and self.data.drivers) or ()

    @model_validator(mode="after")
    def _check_drivers(self) -> "DriversPage":
        if (self.data is None or self.data.drivers is None) and self.total_count != 0:
            raise ValueError("a page without drivers")
        return self


class Lookup(_DriveriWire):
    """The answer to a look-up by id; `data` is empty where no driver is found, but never left out."""

    data: _DriversData | None


class StatusRow(_DriveriWire):
    """The meaning of one status code of this tenant."""

    status: int
    description: str | None = None


_MOST_NAMES: Final = 8
_LONGEST_NAME: Final = 40


def statuses_of(reply: httpx.Response) -> tuple[StatusRow, ...]:
    """The meanings of the driver status codes: below `data.configuration`, or right below `data`.

    Raises `TargetFailed` with the names that were found in their place: NOT_CONFIGURED where Driveri's own envelope
    holds something else, since that stays so; DOWN where the answer may come from another server, or be cut off.
    """
    body = parsed(reply, _Anything)
    for place in (("data", "configuration"), ("data",)):
        rows = _below(body, *place, "driverStatus")
        if isinstance(rows, list) and rows:
            # One of an odd form hides no others.
            if found := tuple(status for row in rows if (status := parsed_python(row, StatusRow))):
                return found
            detail = f"the configurations list driver statuses of an unknown form: {_names(rows[0], 'the first')}"
            raise TargetFailed(Rejected(reason=Reason.NOT_CONFIGURED, detail=detail))
    where = f"found {_names(body, 'the answer')}, {_names(_below(body, 'data'), 'data')}"
    detail = (
        f"the configurations have no data.configuration.driverStatus, but {where}: "
        "correct DRIVERLINK_DRIVERI_URL, or ask Driveri which configurations this tenant has"
    )
    is_driveri = isinstance(_below(body, "data"), Mapping)
    raise TargetFailed(Rejected(reason=Reason.NOT_CONFIGURED, detail=detail) if is_driveri else down(detail))


def _below(body: object, *names: str) -> object:
    for name in names:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _names(part: object, what: str) -> str:
    """The names in a part of an answer, never the values; cleaned, since they come from outside."""
    if not isinstance(part, Mapping):
        return f"{what}: {type(part).__name__}" if part is not None else f"no {what}"
    names = [clean(str(name), _LONGEST_NAME) for name in list(part)[:_MOST_NAMES]]
    return f"{what} with {', '.join(names) or 'nothing'}{', ...' if len(part) > _MOST_NAMES else ''}"


class TokenRow(_DriveriWire):
    """An access token. `expires_on` and `created_on` are milliseconds since the epoch; any field may be left out.

    A field of another form counts as left out, so that it spoils neither the token nor the list.
    """

    access_token: Annotated[str | None, IF_LEGIBLE] = None
    access_token_id: Annotated[str | None, IF_LEGIBLE] = None
    expires_on: Annotated[int | None, IF_LEGIBLE] = None
    created_on: Annotated[int | None, IF_LEGIBLE] = None


class _IssuedToken(TokenRow):
    """A token that was just issued, so that its secret is shown for certain."""

    access_token: str


class NewToken(_DriveriWire):
    """The answer to the request for a token."""

    data: _IssuedToken


def active_tokens_of(reply: httpx.Response) -> tuple[TokenRow, ...]:
    """The active tokens of an API key: a list, or, as the drivers are, a list below a name that is not public.

    An entry that has not the form of a token counts all the same, though nothing is known of it.
    Raises `UnexpectedForm` when the frame is another.
    """
    body = legible(reply.content)
    rows = body.get("data") if isinstance(body, Mapping) else False
    if isinstance(rows, Mapping):
        rows = next((part for part in rows.values() if isinstance(part, list)), None)
    if rows is None:
        return ()
    if not isinstance(rows, list):
        raise UnexpectedForm(down("an answer of an unexpected form in place of the list of access tokens"))
    return tuple(parsed_python(row, TokenRow) or TokenRow() for row in rows)


class Written(_DriveriWire):
    """The answer to a write: nothing but a message, and not always that."""

    data: object
    error: None = None


class DriveriProblem(_DriveriWire):
    """Why Driveri refuses; at the top of the answer or below `error`."""

    message: str | None = None
    message_code: str | None = None


class _ProblemAnswer(DriveriProblem):
    """The body of a refusal."""

    error: DriveriProblem | str | None = None


def is_from_driveri(reply: httpx.Response) -> bool:
    """Whether the answer to a write has Driveri's form, and so is Driveri's."""
    return parsed_if(reply, Written) is not None


def words_of(reply: httpx.Response) -> str:
    """What Driveri says to a refusal, if it says anything."""
    body = parsed_if(reply, _ProblemAnswer)
    if body is None:
        return ""
    problem = body.error if isinstance(body.error, DriveriProblem) else body
    return " ".join(part for part in (problem.message_code, problem.message) if part)


VIEW_DRIVERS: Final = "View Drivers"
UPDATE_DRIVERS: Final = "Update Drivers"
VIEW_CONFIGURATIONS: Final = "View Fleet Configurations"
TOKEN_SCOPES: Final = ("Create Access Token", "View Access Token", "Delete Access Token")
"""What an API key has to be allowed to do, all of these, as Driveri names it. Source: driveri-python-sdk 1.0.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveriAccess:
    """How to reach one tenant of Driveri.

    `client_id` and `client_secret` are the two halves of an API key with every scope above.
    `active_status` and `deleted_status` are words from the tenant's configurations, in any letter case.
    `language` is an Accept-Language: the one that those words are in.
    """

    base_url: str
    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    active_status: str = "Active"
    deleted_status: str = "Deleted"
    language: str = "en-US"


# Left out for good: enableDriveriApp, userName and the passwords, because Driveri answers them with e-mails to the
# driver, and a repeated call would send those again.
_PLAIN: Final = MappingProxyType(
    {"first_name": "firstName", "last_name": "lastName", "email": "email", "phone": "phone"}
)
_LICENCE: Final = MappingProxyType(
    {"licence_number": "licenceNumber", "licence_state": "licenseState", "licence_country": "licenseCountry"}
)
_GROUP: Final = "driveri_group"
_UNREADABLE: Final = SPECS[Target.DRIVERI].unreadable
_SEEN_APART: Final = frozenset({"driverId", "status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCodes:
    """What this tenant's status codes mean, as far as we use them."""

    active: int
    deleted: int


def to_status_codes(rows: Iterable[StatusRow], access: DriveriAccess) -> StatusCodes:
    """The codes of the two configured words.

    Raises `TargetFailed` when this tenant does not have the word, with those that it has.
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


def to_driver(row: DriverRow, codes: StatusCodes) -> ObservedDriver:
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
    return ObservedDriver(key=Key(row.driver_id), active=row.status != codes.deleted, profile=profile)


def shows(driver: ObservedDriver, body: Mapping[str, object]) -> bool:
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
    """Whether two DriverIDs name the same driver: letter case and invisible characters are ignored."""
    return folded(one) == folded(other)


def _has_licence(profile: Profile) -> bool:
    return all(field in profile for field in _LICENCE)


_STATE = "licenseState"


def is_refused_for_state(reply: httpx.Response) -> bool:
    """Whether Driveri refuses a write, and names the state of the licence as the reason."""
    return reply.status_code in REFUSED and _STATE.casefold() in words_of(reply).casefold()


def in_both_forms(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The body as it is and, where it states a state and a country of two letters, with the state in the other form."""
    state, country = str(body.get(_STATE) or ""), str(body.get("licenseCountry") or "")
    if not state or len(country) != len("US"):
        return [body]
    prefix = f"{country.upper()}-"
    is_with_country = state.upper().startswith(prefix)
    known = spellings(state)
    code = known[1] if len(known) > 1 else state[len(prefix) :] if is_with_country else state
    return [body, {**body, _STATE: code if is_with_country else f"{prefix}{code}"}]
