"""What is wrong with a body or a seed, in one line."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

UNKNOWN = "the sandbox does not know this field"

_Body = TypeVar("_Body", bound=BaseModel)


class SeedRefused(ValueError):
    """A seed that a sandbox cannot start from; the text says where and why, without repeating its values."""


def parsed_body(model: type[_Body], body: bytes, refusal: Callable[[str], Exception]) -> _Body:
    """The body as its wire model; raises what `refusal` makes of the first problem."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refusal(first_problem(error, unknown=UNKNOWN)) from None


def first_problem(error: ValidationError, unknown: str = "Extra inputs are not permitted") -> str:
    """The first thing found wrong: where, and what the rule is; never the value itself.

    `unknown` is the rule that a field breaks which has no place there.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    rule = unknown if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")
    return f"{where}: {rule}" if where else rule


def check_unique(what: str, values: Iterable[object]) -> None:
    """Raises `ValueError` when a value comes twice, and says at which places, counted from 0; None may come often."""
    first_places: dict[object, int] = {}
    for place, value in enumerate(values):
        if value is not None and first_places.setdefault(value, place) != place:
            raise ValueError(f"numbers {first_places[value]} and {place} have the same {what}")
