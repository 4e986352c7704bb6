"""What the requests and responses of all resources share."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

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
    """What is wrong with one field of a request, or, where `field` is empty, with it as a whole."""

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
    """These errors in one line, each with its field first, where it is about one."""
    return "; ".join(f"{each.field}: {each.detail}" if each.field else each.detail for each in errors)


ACCOUNT_FORM: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TIME_FORM: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$"
PLAN_FORM: Final = r"^[0-9a-f]{16}$"
SIGNING_FORM: Final = r"^[!-~]{8,200}$"
_FORMS: Final[Mapping[str, str]] = {
    ACCOUNT_FORM: (
        "must be up to 64 letters from A to Z, digits, dots, hyphens and underscores, and begin with a letter or digit"
    ),
    TIME_FORM: "must be a time of day as HH:MM, such as 02:30, or empty",
    PLAN_FORM: "must be the hash of a plan: 16 digits and letters from a to f",
    SIGNING_FORM: "must be 8 to 200 characters of ASCII without spaces",
}
"""What is said where a text does not have its form."""

_WHOLE, _YES_NO, _TEXT, _LIST, _OBJECT = (
    f"must be {what}" for what in ("a whole number", "true or false", "text", "a list", "an object")
)
_ERRORS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "is not a known field",
    "enum": lambda said: f"must be {said['expected']}",
    "literal_error": lambda said: f"must be {said['expected']}",
    "string_pattern_mismatch": lambda said: _FORMS.get(said["pattern"], f"must match {said['pattern']}"),
    "string_too_long": lambda said: f"must have {said['max_length']} characters at most",
    "string_too_short": lambda said: f"must have {said['min_length']} characters at least",
    # Of a text that something else has looked at before, the type is not known any more.
    "too_long": lambda said: (
        f"must have {said['max_length']} {'characters' if said['field_type'] == 'Value' else 'entries'} at most"
    ),
    "too_short": lambda said: f"must have {said['min_length']} entries at least",
    "greater_than_equal": lambda said: f"must be {said['ge']} or more",
    "less_than_equal": lambda said: f"must be {said['le']} or less",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), lambda _: _WHOLE),
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: _YES_NO),
    "string_type": lambda _: _TEXT,
    **dict.fromkeys(("list_type", "tuple_type"), lambda _: _LIST),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), lambda _: _OBJECT),
}
"""By pydantic's types of errors: what is wrong, in words that go on from the field's name."""


def field_errors(errors: Iterable[Mapping[str, Any]]) -> list[FieldError]:
    """The errors of pydantic in plain words, each with its field as it is written."""
    return [FieldError(field=_field(error["loc"]) or "body", detail=_detail(error)) for error in errors]


def _field(place: Iterable[str | int]) -> str:
    """Where it is; that a key of a mapping is wrong, and not what stands there, is in the words."""
    return ".".join(str(part) for part in place if part != "[key]")


def _detail(error: Mapping[str, Any]) -> str:
    if words := _ERRORS.get(error["type"]):
        return words(error.get("ctx", {}))
    message = str(error["msg"]).removeprefix("Value error, ")
    first = message[:1].lower() if message[1:2].islower() else message[:1]
    return f"{first}{message[1:]}"


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON
    """A response, or a part of one, as plain JSON."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")
