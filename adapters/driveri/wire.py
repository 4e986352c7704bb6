"""The forms of Driveri's answers, as far as they are used. Source: driveri-python-sdk 1.0.0."""

from typing import Annotated, Final

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass

from adapters.http import parsed_if

CONFIG: Final = ConfigDict(alias_generator=to_camel, coerce_numbers_to_str=True, cache_strings="none")
"""What is not named in a form is ignored. Hardly any text comes twice."""


class Wire(BaseModel):
    """A part of an answer. What comes by the hundred is a dataclass with slots: made in half of the time."""

    model_config = ConfigDict(**CONFIG, frozen=True)


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class GroupRow:
    """The one group that a driver is in."""

    group_name: str | None = None
    group_unique_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=CONFIG)
class DriverRow:
    """A driver. `phone` is never shown."""

    driver_id: str
    status: int
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    licence_number: str | None = None
    license_state: str | None = None
    license_country: str | None = None
    group: GroupRow | None = None


class DriversData(Wire):
    """The drivers of one page of the list."""

    drivers: tuple[DriverRow, ...]


class Links(Wire):
    """Where a list goes on; blank at its end."""

    next: str | None = None


class DriversPage(Wire):
    """One page of the list."""

    data: DriversData
    links: Links | None = None


class LookupData(Wire):
    """What a look-up by id found."""

    drivers: tuple[DriverRow, ...] | None = None


class Lookup(Wire):
    """The answer to a look-up by id; `data` is empty where nobody is found, but never left out."""

    data: LookupData | None


class StatusRow(Wire):
    """The meaning of one status code of this tenant."""

    status: int
    description: str | None = None


class ConfigurationsData(Wire):
    """The meanings of codes."""

    driver_status: tuple[StatusRow, ...]


class Configurations(Wire):
    """The tenant's configurations."""

    data: ConfigurationsData


class TokenRow(Wire):
    """An access token. `expires_on` and `created_on` are milliseconds since the epoch."""

    access_token: str | None = None
    access_token_id: str | None = None
    expires_on: int
    created_on: int = 0


class IssuedToken(TokenRow):
    """A token that was just issued, so that its secret is shown for certain."""

    access_token: str


class NewToken(Wire):
    """The answer to the request for a token."""

    data: IssuedToken


def _rows(value: object) -> object:
    if isinstance(value, dict):
        return next((part for part in value.values() if isinstance(part, list)), [])
    return value or []


class ActiveTokens(Wire):
    """The active tokens of an API key: a list, or, as the drivers are, a list below a name that is not public."""

    data: Annotated[tuple[TokenRow, ...], BeforeValidator(_rows)] = ()


class Written(Wire):
    """The answer to a write: nothing but a message, and not always that."""

    data: object
    error: None = None


class Problem(Wire):
    """Why Driveri refuses; at the top of the answer or below `error`."""

    message: str | None = None
    message_code: str | None = None


class ProblemAnswer(Problem):
    """The body of a refusal."""

    error: Problem | str | None = None


def is_told(reply: httpx.Response) -> bool:
    """Whether the answer to a write has Driveri's form, and so is Driveri's."""
    return parsed_if(reply, Written) is not None


def words_of(reply: httpx.Response) -> str:
    """What Driveri says to a refusal, if it says anything."""
    told = parsed_if(reply, ProblemAnswer)
    if told is None:
        return ""
    problem = told.error if isinstance(told.error, Problem) else told
    return " ".join(part for part in (problem.message_code, problem.message) if part)
