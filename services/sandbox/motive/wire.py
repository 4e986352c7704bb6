"""What goes over the wire in Motive: bodies that are written, and what errors look like.

Source: Motive's public API reference, /v1/users and /v1/external_ids.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Literal
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from services.sandbox.motive.company import WRITABLE_FIELDS, Role, Status
from services.sandbox.state import first_problem, parsed_body

NOT_FOUND_PAGE = "<!DOCTYPE html><html><head><title>404</title></head><body><h1>Page not found</h1></body></html>"

FORM = "application/x-www-form-urlencoded"
_NUMBERS = frozenset({"external_id_holder_id"})
_NOT_STORED = frozenset({"password", "external_ids", "external_ids_attributes"})


class Refused(Exception):
    """A request that Motive turns down; the message holds no personal data."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> Refused:
    """A request that breaks a rule of the API."""
    return Refused(400, message)


class WrittenExternalId(BaseModel):
    """An external id as a client states it; with the record's own id it is about that record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int | None = None
    external_id: str | None = Field(default=None, min_length=1)
    integration_name: str | None = Field(default=None, min_length=1)


class AddedExternalId(BaseModel):
    """The body that gives a user an external id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    external_id: str = Field(min_length=1)
    integration_name: str = Field(min_length=1)
    external_id_holder_id: int
    external_id_holder_type: Literal["User", "Vehicle", "Asset", "Group"]


class WrittenUser(BaseModel):
    """A user as a client states it, in a create or in a partial update. A stated null empties the field."""

    model_config = ConfigDict(extra="allow", frozen=True)

    first_name: str | None = None
    last_name: str | None = None
    role: Role | None = None
    status: Status | None = None
    email: str | None = None
    username: str | None = None
    password: str | None = None
    phone: str | None = None
    phone_country_code: str | None = None
    driver_company_id: str | None = None
    drivers_license_number: str | None = None
    drivers_license_state: str | None = None
    time_zone: str | None = None
    group_ids: tuple[int, ...] = ()
    external_ids: tuple[WrittenExternalId, ...] | None = None
    external_ids_attributes: tuple[WrittenExternalId, ...] | None = None

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, time_zone: str | None) -> str | None:
        if time_zone and "/" in time_zone:
            raise ValueError("a Rails time zone name, not an IANA one")
        return time_zone

    @model_validator(mode="after")
    def _check_fields(self) -> "WrittenUser":
        unknown = sorted((self.model_extra or {}).keys() - WRITABLE_FIELDS)
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a field that can be written, or this sandbox does not model it")
        return self

    def stored_values(self) -> dict[str, object]:
        """The stated fields by the names of a stored user; empty text is the same as null."""
        names = self.model_fields_set & type(self).model_fields.keys() - _NOT_STORED
        values = {name: getattr(self, name) for name in names}
        return {name: None if value == "" else value for name, value in values.items()}

    def further_values(self) -> Mapping[str, object]:
        """The stated fields that this project never owns, hours-of-service settings for instance."""
        return self.model_extra or {}


def json_body(body: bytes, content_type: str) -> bytes:
    """A body as JSON, if it is a form of plain fields; raises `Refused` for a form of anything else."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        return body
    stated = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    if any("[" in name or len(values) > 1 for name, values in stated.items()):
        raise invalid("this sandbox takes forms of plain fields only; state lists as JSON")
    return json.dumps(
        {name: _number(values[0]) if name in _NUMBERS else values[0] for name, values in stated.items()}
    ).encode()


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text


def check_parameters(parameters: Iterable[str], known: Collection[str]) -> None:
    """Raises `Refused` for a parameter of an address that the call does not have."""
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise invalid(f"{unknown[0]!r} is not a parameter of this call, or this sandbox does not model it")


def written_user(body: bytes) -> WrittenUser:
    """The user in a body; raises `Refused`."""
    return parsed_body(WrittenUser, body, invalid)


def added_external_id(body: bytes) -> AddedExternalId:
    """The external id in the body of a POST; raises `Refused`."""
    return parsed_body(AddedExternalId, body, invalid)


def edited_external_id(body: bytes, parameters: Mapping[str, str]) -> WrittenExternalId:
    """The external id of a PUT, from the body or, without one, from the address; raises `Refused`."""
    if body.strip():
        return parsed_body(WrittenExternalId, body, invalid)
    stated = {name: parameters.get(name) for name in ("external_id", "integration_name")}
    try:
        return WrittenExternalId.model_validate(stated)
    except ValidationError as error:
        raise invalid(first_problem(error)) from None
