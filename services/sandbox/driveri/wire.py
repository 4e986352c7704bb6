"""What goes over the wire in Driveri: bodies that are written, and the envelope of every answer.

Source: driveri-python-sdk 1.0.0.

What a Driveri client asks for in the address of a call.

Source: driveri-python-sdk 1.0.0.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from starlette.datastructures import URL, QueryParams

from services.sandbox.driveri.tenant import Assumptions, Query
from services.sandbox.state import UNKNOWN, iso_time, parsed_body

_NOT_STORED = frozenset({"set_password", "password", "group", "driver_preferences", "status"})


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


def not_modelled(what: str) -> Refused:
    """A part of the API that the vendor has and the sandbox has not."""
    return Refused(501, "NOT_MODELLED", f"{what}: the sandbox does not model this")


class _Wire(BaseModel):
    """Fields that a call does not have are refused; null means the same as not stated."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class WrittenGroup(_Wire):
    """A driver's way into a group, or out of it."""

    name: str = Field(min_length=1)
    action: Literal["ADD", "REMOVE"] = "ADD"


class WrittenPreferences(_Wire):
    """A driver's preferences, without the information about carriers, which the sandbox does not model."""

    exempt_hos: bool | None = None
    yard_moves_allowed: bool | None = None
    ruleset: str | None = None
    save_address_for_future_use: bool | None = None
    personal_conveyance_allowed: bool | None = None


class WrittenDriver(_Wire):
    """A driver as a client states it in a create."""

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
    driver_preferences: WrittenPreferences | None = None

    @property
    def stated_status(self) -> int | None:
        """The status that is stated; a create has none."""
        return None

    def stored_values(self) -> dict[str, object]:
        """The stated fields by the names of a stored driver; empty text empties the field."""
        stated = self.model_dump(exclude=set(_NOT_STORED), exclude_none=True)
        if self.driver_preferences is not None:
            stated["driver_preferences"] = self.driver_preferences.model_dump(by_alias=True, exclude_none=True)
        return {name: None if value == "" else value for name, value in stated.items()}


class WrittenUpdate(WrittenDriver):
    """A driver as a client states it in a partial update."""

    status: int | None = None

    @property
    def stated_status(self) -> int | None:
        """The status that is stated."""
        return self.status


class _WrittenRow(WrittenDriver):
    """A driver in a bulk create, where the group stands beside the rows."""

    group: None = None


class _WrittenDrivers(_Wire):
    """The body of a bulk create; each row is checked on its own."""

    drivers: list[object] = Field(min_length=1)
    group: WrittenGroup | None = None


def written_driver(body: bytes) -> WrittenDriver:
    """The driver in the body of a create; raises `Refused`."""
    return parsed_body(WrittenDriver, body, invalid)


def written_update(body: bytes) -> WrittenUpdate:
    """The fields in the body of an update; raises `Refused`."""
    return parsed_body(WrittenUpdate, body, invalid)


def written_drivers(body: bytes, longest: int | None) -> Sequence[WrittenDriver]:
    """The well-formed rows of a bulk create, each with the group for all of them; raises `Refused`."""
    bulk = parsed_body(_WrittenDrivers, body, invalid)
    if longest is not None and len(bulk.drivers) > longest:
        raise invalid(f"drivers: at most {longest} at once")
    overriding = {"group": bulk.group} if bulk.group else {}
    rows = (_row(place, row) for place, row in enumerate(bulk.drivers))
    return [row.model_copy(update=overriding) for row in rows if row]


def _row(place: int, row: object) -> WrittenDriver | None:
    """A row, or None for one that cannot be taken; a field that a row does not have is refused for all of them."""
    known = {field.alias for field in _WrittenRow.model_fields.values()} - {"group"}
    unknown = sorted(row.keys() - known) if isinstance(row, dict) else []
    if unknown:
        raise invalid(f"drivers.{place}.{unknown[0]}: {UNKNOWN}")
    try:
        return _WrittenRow.model_validate(row)
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


def problem(*, at: int, path: str, refused: Refused, reason: str, is_at_the_top: bool = False) -> dict[str, object]:
    """An error: below `error`, or at the top; both occur in the vendor's answers. `at` is in epoch milliseconds."""
    error: dict[str, object] = {
        "timestamp": iso_time(at),
        "status": refused.status,
        "error": reason,
        "message": refused.message,
        "messageCode": refused.message_code,
        "path": path,
    }
    return error if is_at_the_top else envelope(None) | {"error": error}


LONGEST_LIMIT = 200
UNMODELLED = frozenset({"subFleet"})
"""Parameters that the vendor documents, and that the sandbox has nothing for."""

_DEFAULT_PAGE = 100


def stated(parameters: Mapping[str, str], *names: str) -> dict[str, str]:
    """Those of the named parameters that say something."""
    return {name: value for name in names if (value := parameters.get(name, "").strip())}


def flag(parameters: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false, and false when left out; raises `Refused`."""
    value = parameters.get(name, "").lower() or "false"
    if value not in ("true", "false"):
        raise invalid(f"{name}: true or false")
    return value == "true"


def check_known(parameters: QueryParams, known: Collection[str]) -> None:
    """Refuse what would be ignored otherwise: parameters that the call does not have, or that are stated twice."""
    names = [name for name, _ in parameters.multi_items()]
    for name in names:
        if name in UNMODELLED and parameters[name].strip():
            raise not_modelled(name)
        if name not in known and name not in UNMODELLED:
            raise invalid(f"{name}: the sandbox does not know this parameter")
        if names.count(name) > 1:
            raise invalid(f"{name}: stated more than once")


def page_asked_for(parameters: Mapping[str, str], assumptions: Assumptions) -> tuple[int, int]:
    """Offset and limit; raises `Refused`."""
    offset = _number(parameters, "offset")
    limit = _number(parameters, "limit")
    limit = _DEFAULT_PAGE if limit is None else limit
    if limit < 1 or (limit > LONGEST_LIMIT and assumptions.long_limit == "refused"):
        raise invalid(f"limit: 1 to {LONGEST_LIMIT}")
    return offset or 0, min(limit, assumptions.longest_page)


def query_asked_for(parameters: Mapping[str, str]) -> Query:
    """Which drivers a list is about; raises `Refused`."""
    return Query(
        states=_states(parameters),
        show_all=flag(parameters, "showAll"),
        group=parameters.get("group") or None,
        from_date=_number(parameters, "fromDate"),
        to_date=_number(parameters, "toDate"),
    )


def _states(parameters: Mapping[str, str]) -> frozenset[int]:
    codes = [code.strip() for code in parameters.get("state", "").split(",") if code.strip()]
    if not all(code in {"1", "2", "3", "4", "5"} for code in codes):
        raise invalid("state: status codes from 1 to 5, separated by commas")
    return frozenset(map(int, codes))


def _number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"{name}: a whole number, 0 or more")
    return int(text)
