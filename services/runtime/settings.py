"""How settings are read from the environment: each is a variable `DRIVERLINK_<NAME>`, and a wrong one is named."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, HttpUrl, ValidationError
from pydantic_settings import BaseSettings

PREFIX = "DRIVERLINK_"

S = TypeVar("S", bound=BaseSettings)


def _check_base(url: HttpUrl) -> HttpUrl:
    if url.username or url.password or url.query is not None or url.fragment is not None:
        raise ValueError("must be an address without a user name, a password and anything behind the path")
    return url


BaseUrl = Annotated[HttpUrl, AfterValidator(_check_base)]
"""The address below which an API is."""


class WrongSettings(Exception):
    """A setting is wrong; the message names each one and says what is wrong with it."""


def read_settings(reading: Callable[[], S], kinds: Iterable[type[BaseSettings]]) -> S:
    """The settings that this reads from the environment; `kinds` are all kinds of settings that there are.

    Raises `WrongSettings`.
    """
    known = {_variable(name): field.description or "" for kind in kinds for name, field in kind.model_fields.items()}
    _check_names(set(known))
    try:
        return reading()
    except ValidationError as wrong:
        raise WrongSettings("; ".join(_problem(error, known) for error in wrong.errors())) from None


_Described = Mapping[str, Any]

_PROBLEMS: Mapping[str, Callable[[_Described], str]] = {
    "missing": lambda _: "is not set",
    "int_parsing": lambda _: "must be a whole number",
    "float_parsing": lambda _: "must be a number",
    "finite_number": lambda _: "must be a number",
    "greater_than_equal": lambda said: f"must be {said['ge']:g} or more",
    "less_than_equal": lambda said: f"must be {said['le']:g} or less",
    "literal_error": lambda said: f"must be {said['expected']}",
    "string_too_short": lambda _: "must not be empty",
    "string_pattern_mismatch": lambda said: f"must match {said['pattern']}",
    "url_scheme": lambda said: f"must begin with {_schemes(str(said['expected_schemes']))}",
    "url_parsing": lambda said: f"is no URL: {said['error']}",
}
"""By pydantic's types of errors: what is wrong, in words that go on from the variable's name."""


_UNKNOWN = ("missing", "url_parsing")
"""Errors of those who may not know what a setting is for."""


def _problem(error: Any, known: Mapping[str, str]) -> str:  # noqa: ANN401 - pydantic's own shape
    told = _PROBLEMS.get(error["type"])
    problem = told(error.get("ctx", {})) if told else str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return problem
    variable = _variable(str(error["loc"][0]))
    meaning = known[variable].removesuffix(".") if error["type"] in _UNKNOWN else ""
    return f"{variable} {problem}{f' ({meaning})' if meaning else ''}"


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _schemes(expected: str) -> str:
    """The plain ones of these quoted schemes, as a URL begins with them."""
    schemes = sorted(re.findall(r"'([a-z]+)'", expected))
    return " or ".join(f"{scheme}://" for scheme in schemes)


def _check_names(known: set[str]) -> None:
    """A name that is nearly one of ours is a slip, and what it was to set would be missed in silence."""
    for name in sorted(os.environ):
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.9)
        if name.startswith(PREFIX) and name not in known and near:
            raise WrongSettings(f"{name} is no setting; did you mean {near[0]}?")
