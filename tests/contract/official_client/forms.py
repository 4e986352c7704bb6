"""Whether an answer has the form that the official client's models declare, field by field.

The client itself is lenient: what it does not know it drops, what it cannot convert it leaves as it is. So an answer
that it reads without an error may still have lost everything. These checks are strict.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from netradyne_sdk.deserialize import wire_name


def declared_fields(model: type) -> dict[str, Any]:
    """The fields of a model by their names on the wire, with their declared types."""
    hints = typing.get_type_hints(model)
    return {wire_name(field): hints[field.name] for field in dataclasses.fields(model)}


def misfits(model: type, value: object, place: str = "") -> list[str]:
    """Where an answer's part departs from its model: names that the model does not have, and values of other types."""
    return list(_misfits(model, value, place))


def _misfits(declared: Any, value: object, place: str) -> Iterator[str]:  # noqa: ANN401 - a type as it is declared
    wanted = _without_none(declared)
    if value is None:
        return
    if typing.get_origin(wanted) is list:
        yield from _of_items(typing.get_args(wanted)[0], value, place)
    elif dataclasses.is_dataclass(wanted):
        yield from _of_fields(typing.cast("type", wanted), value, place)
    elif type(value) is not wanted:
        yield f"{place}: {type(value).__name__} in place of {wanted.__name__}"


def _of_items(wanted: Any, value: object, place: str) -> Iterator[str]:  # noqa: ANN401
    if not isinstance(value, list):
        yield f"{place}: {type(value).__name__} in place of list"
        return
    for number, item in enumerate(value):
        yield from _misfits(wanted, item, f"{place}[{number}]")


def _of_fields(wanted: type, value: object, place: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{place}: {type(value).__name__} in place of {wanted.__name__}"
        return
    declared = declared_fields(wanted)
    for name, part in value.items():
        if name not in declared:
            yield f"{place}.{name}: unknown to {wanted.__name__}"
        else:
            yield from _misfits(declared[name], part, f"{place}.{name}")


def _without_none(declared: Any) -> Any:  # noqa: ANN401
    kinds = [kind for kind in typing.get_args(declared) if kind is not type(None)]
    return kinds[0] if typing.get_origin(declared) is typing.Union and len(kinds) == 1 else declared
