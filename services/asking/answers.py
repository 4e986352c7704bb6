"""Answers as plain JSON, for the control socket and for scripts."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any


class Answer:
    """An answer to a question, as a frozen dataclass."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """The answer as a plain JSON object: moments in ISO 8601, values within it as objects."""
        found: dict[str, Any] = _plain(self)
        return found


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
