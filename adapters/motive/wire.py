"""The forms of Motive's answers, as far as they are used. Source: developer.gomotive.com, Users and External Ids."""

from collections.abc import Mapping

import httpx
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError


class Wire(BaseModel):
    """A part of an answer; what is not named here is ignored."""

    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)


class ExternalId(Wire):
    """What another system calls a user. `id` is the record's own, shown only when one user is read."""

    id: int | None = None
    external_id: str | None = None
    integration_name: str | None = None


class User(Wire):
    """A user of the company; a driver if the role says so."""

    id: int
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
    external_ids: tuple[ExternalId, ...] | None = None


class UserAnswer(Wire):
    """One user, wrapped, as every answer has it."""

    user: User


class Pagination(Wire):
    """Where a page stands in the list; `page_no` counts from 1."""

    per_page: PositiveInt
    page_no: int
    total: int


class UsersPage(Wire):
    """One page of the list."""

    users: tuple[UserAnswer, ...]
    pagination: Pagination


class Problem(Wire):
    """Why Motive refuses; the answer to a look-up that finds nobody, too."""

    error_message: str | None = None


def user_of(reply: httpx.Response) -> User | None:
    """The user that the answer to a write shows, if it shows one."""
    try:
        return UserAnswer.model_validate_json(reply.content).user
    except ValidationError:
        return None


def shows(user: User, body: Mapping[str, object]) -> bool:
    """Whether a user shows these fields, external ids aside, just as they were written."""
    return all(getattr(user, name) == value for name, value in body.items())


def words_of(reply: httpx.Response) -> str:
    """What Motive says to a refusal, if it says anything."""
    try:
        return Problem.model_validate_json(reply.content).error_message or ""
    except ValidationError:
        return ""
