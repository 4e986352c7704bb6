"""What goes over the wire in Driveri: bodies that are written, and the envelope of every answer.

Source: driveri-python-sdk 1.0.0.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.datastructures import URL

from services.sandbox.validation import parsed_body

_NOT_STORED = frozenset({"set_password", "password", "group"})


class Refused(Exception):
    """A request that Driveri turns down; the message holds no personal data."""

    def __init__(self, status: int, message_code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message_code = message_code
        self.message = message


def invalid(message: str) -> Refused:
    """A request that breaks a rule of the API."""
    return Refused(400, "INVALID_REQUEST", message)


class _Wire(BaseModel):
    """Fields that a call does not have are ignored; null means the same as not stated."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class WrittenGroup(_Wire):
    """A driver's way into a group, or out of it."""

    name: str = Field(min_length=1)
    action: Literal["ADD", "REMOVE"] = "ADD"


class WrittenDriver(_Wire):
    """A driver as a client states it, in a create or in a partial update."""

    driver_id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    licence_number: str | None = None
    license_country: str | None = None
    license_state: str | None = None
    email: str | None = None
    user_name: str | None = None
    enable_driveri_app: bool | None = None
    set_password: bool | None = None
    password: str | None = None
    group: WrittenGroup | None = None
    authorized_to_drive: int | None = Field(default=None, ge=0, le=1)
    driver_preferences: dict[str, object] | None = None
    status: int | None = None

    def stored_values(self) -> dict[str, object]:
        """The stated fields by the names of a stored driver; empty text empties the field."""
        stated = self.model_dump(exclude=set(_NOT_STORED), exclude_none=True)
        return {name: None if value == "" else value for name, value in stated.items()}


class _WrittenDrivers(_Wire):
    """The body of a bulk create; each row is looked at by itself."""

    drivers: list[object] = Field(min_length=1)
    group: WrittenGroup | None = None


def written_driver(body: bytes) -> WrittenDriver:
    """The driver in a body; raises `Refused`."""
    return parsed_body(WrittenDriver, body, invalid)


def written_drivers(body: bytes) -> Sequence[WrittenDriver]:
    """The well-formed rows of a bulk create, each with the group for all of them; raises `Refused`."""
    bulk = parsed_body(_WrittenDrivers, body, invalid)
    overriding = {"group": bulk.group} if bulk.group else {}
    return [row.model_copy(update=overriding) for row in map(_row, bulk.drivers) if row]


def _row(row: object) -> WrittenDriver | None:
    try:
        return WrittenDriver.model_validate(row)
    except ValidationError:
        return None


def envelope(
    data: object, *, links: Mapping[str, str | None] | None = None, total: int | None = None
) -> dict[str, object]:
    """What every good answer is wrapped in."""
    return {"data": data, "error": None, "links": links, "totalCount": total}


def message(text: str) -> dict[str, object]:
    """The answer to a write."""
    return {"data": {"message": text}}


def page_links(url: URL, *, offset: int, limit: int, total: int) -> dict[str, str | None]:
    """Where the other pages are, as absolute addresses; null where there is none."""

    def at(start: int) -> str:
        return str(url.include_query_params(offset=start, limit=limit))

    return {
        "self": at(offset),
        "next": at(offset + limit) if offset + limit < total else None,
        "prev": at(max(offset - limit, 0)) if offset else None,
        "first": at(0),
        "last": at(max(total - 1, 0) // limit * limit),
    }


def problem(*, at: int, path: str, refused: Refused, reason: str) -> dict[str, object]:
    """An error: below `error` on a tenant's paths, at the top elsewhere; both occur in the vendor's answers."""
    error: dict[str, object] = {
        "timestamp": at,
        "status": refused.status,
        "error": reason,
        "message": refused.message,
        "messageCode": refused.message_code,
        "path": path,
    }
    return envelope(None) | {"error": error} if path.startswith("/v1/tenants/") else error
