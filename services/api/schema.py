"""What the requests and responses of all resources share."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from domain.cleaning import LONGEST, clean, is_storable, storable

LARGEST_INTEGER = 2**63 - 1
"""The largest number that every store can hold."""


class Malformed(Exception):
    """A request is not as it should be; the message says what is wrong with it, and `errors` with which fields."""

    def __init__(self, words: str, errors: "Sequence[FieldError]" = ()) -> None:
        super().__init__(words)
        self.errors = errors


IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "What the sender saw, as an ETag; if it is otherwise now, the request is refused with 412.",
        }
    ]
}
"""What OpenAPI says of a route that honours `If-Match`."""


class RequestBody(BaseModel):
    """The JSON object of a request: unknown fields are refused, and spaces around texts removed."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


class ResponseBody(BaseModel):
    """The JSON object of a response, or a part of one."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class FieldError(ResponseBody):
    """What is wrong with one field of a request."""

    field: str
    detail: str


class Problem(ResponseBody):
    """Why a request was refused, as RFC 9457 has it: `type` leads to a page about the kind, `detail` is one line.

    `errors` are those of single fields, where the request itself is wrong.
    """

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


def _named(text: str) -> str:
    if storable(text) != text or any(character < " " for character in text):
        raise ValueError("must not hold control characters")
    if not (named := clean(text, len(text) + 1)):
        raise ValueError("must not be blank")
    return named


Named = Annotated[str, AfterValidator(_named), Field(max_length=LONGEST["driver"])]
"""The name of a person or a thing, in the normal form in which such names are stored."""

NamedOrBlank = Annotated[str, AfterValidator(lambda text: _named(text) if text else text), Field(max_length=200)]
"""A `Named` that may be blank."""


def _check_storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("must not hold control characters")
    return text


Storable = Annotated[str, AfterValidator(_check_storable)]
"""A text that every store takes."""

Moment = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str)]
"""A point in time, written in ISO 8601 with its offset from UTC."""


Note = Annotated[str, AfterValidator(lambda text: _named(text) if text else text), Field(max_length=500)]
"""Why something is asked, in the person's own words; may be blank."""


class Reasoned(RequestBody):
    """A request with an optional reason in `note`, which is stored."""

    note: Note = ""


class ByPerson(RequestBody):
    """A request about an account, with an optional reason in `note`, which is stored.

    `by` is who asks, unless it names somebody of the account: then an admin asks in their name, and both are stored.
    """

    by: Named | None = None
    note: Note = ""


B = TypeVar("B", bound=RequestBody)


def parse(text: str | bytes, kind: type[B]) -> B:
    """Parse JSON as a body of this kind. Raises `Malformed`."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as wrong:
        raise malformed(field_errors(wrong.errors())) from None


def malformed(errors: Sequence[FieldError]) -> Malformed:
    """That these fields of a request are not as they should be."""
    return Malformed(in_one_line(errors), errors)


def in_one_line(errors: Iterable[FieldError]) -> str:
    """These errors in one line, each with its field first."""
    return "; ".join(f"{each.field}: {each.detail}" for each in errors)


def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """The errors of pydantic, each with its field, without pydantic's own words."""
    found = []
    for error in errors:
        field = ".".join(str(part) for part in error["loc"]) or "body"
        message = str(error["msg"]).removeprefix("Value error, ")
        first = message[:1].lower() if message[1:2].islower() else message[:1]
        found.append(FieldError(field=field.replace("_", " "), detail=f"{first}{message[1:]}"))
    return found


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON
    """A response, or a part of one, as plain JSON."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")
