"""How settings are read from the environment: each is a variable `DRIVERLINK_<NAME>`, and a wrong one is named."""

import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

PREFIX = "DRIVERLINK_"

S = TypeVar("S", bound=BaseSettings)


class WrongSettings(Exception):
    """A setting is wrong; the message names each one and says what is wrong with it."""


def read_settings(reading: Callable[[], S], kinds: Iterable[type[BaseSettings]]) -> S:
    """The settings that this reads from the environment; `kinds` are all kinds of settings that there are.

    Raises `WrongSettings`.
    """
    _check_names({f"{PREFIX}{name.upper()}" for kind in kinds for name in kind.model_fields})
    try:
        return reading()
    except ValidationError as wrong:
        raise WrongSettings("; ".join(map(_problem, wrong.errors()))) from None


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's own shape
    named = f"{PREFIX}{str(error['loc'][0]).upper()}: " if error["loc"] else ""
    return f"{named}{error['msg'].removeprefix('Value error, ')}"


def _check_names(known: set[str]) -> None:
    """A name that is nearly one of ours is a slip, and what it was to set would be missed in silence."""
    for name in sorted(os.environ):
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.9)
        if name.startswith(PREFIX) and name not in known and near:
            raise WrongSettings(f"{name} is no setting; did you mean {near[0]}?")
