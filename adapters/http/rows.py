"""Bodies in their wire forms, and lists with an unreadable line: it is left out, and all others are read."""

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import httpx
import structlog
from pydantic import TypeAdapter, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from adapters.http.answer import down
from domain.cleaning import LONGEST_ID, clean
from domain.failures import TargetFailed
from domain.matching import UnreadableRecord

_log = structlog.stdlib.get_logger()

FEW: Final = 10
"""So many odd lines do not speak against a list; more do if they are more than a third."""

_MOST_LOGGED: Final = 10

Form = TypeVar("Form")


class UnexpectedForm(TargetFailed):
    """An answer has another form than its wire form."""


def parsed(reply: httpx.Response, form: type[Form]) -> Form:
    """The body in its wire form.

    Raises `UnexpectedForm` when it has another form; the places are named, never the values.
    """
    try:
        return _adapter(form).validate_json(_json_of(reply))
    except ValidationError as error:
        places = {".".join(str(part) for part in found["loc"]) or "body" for found in error.errors(include_input=False)}
    raise UnexpectedForm(down(f"an answer of an unexpected form at {', '.join(sorted(places)[:5])}"))


def parsed_if(reply: httpx.Response, form: type[Form]) -> Form | None:
    """The body in its wire form; None when it has another."""
    try:
        return _adapter(form).validate_json(_json_of(reply))
    except ValidationError:
        return None


def _json_of(reply: httpx.Response) -> bytes:
    """The body without a byte-order mark, which some servers write before JSON. Source: RFC 8259, 8.1."""
    return reply.content.removeprefix(codecs.BOM_UTF8)


_ADAPTERS: dict[type[object], TypeAdapter[Any]] = {}


def _adapter(form: type[Form]) -> TypeAdapter[Form]:
    if form not in _ADAPTERS:
        _ADAPTERS[form] = TypeAdapter(form)
    return _ADAPTERS[form]


def _if_legible(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


IF_LEGIBLE: Final = WrapValidator(_if_legible)
"""Marks a part of a wire form without which the rest is of use: None where it has another form."""


class OddLine(UnexpectedForm):
    """An answer shows somebody, in a form that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Where an answer has its lines, and which of their fields may be missing.

    `inner` is the part of a line that holds the fields, empty for the line itself, and `id` the field that names it.
    """

    place: tuple[str, ...]
    form: Any
    optional: frozenset[str]
    id: str
    inner: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[Form]):
    """An answer, and which of its lines could not be read, or only in part."""

    answer: Form
    unreadable: tuple[UnreadableRecord, ...] = ()

    @property
    def left_out(self) -> int:
        """How many lines had to be left out."""
        return sum(record.is_left_out for record in self.unreadable)


def read_lines(reply: httpx.Response, form: type[Form], lines: Lines) -> Read[Form]:
    """The body in its wire form. A field of a line that cannot be read is taken as not shown.

    Raises `UnexpectedForm` when the frame, or many lines, have another form.
    """
    try:
        return Read(answer=parsed(reply, form))
    except UnexpectedForm:
        body = legible(reply.content)
        rows = _below(body, lines.place)
        if not isinstance(rows, list) or not rows:
            raise
        kept, unreadable = _kept(rows, lines)
        if are_many(len(rows) - len(kept), len(rows)) or _is_most(len(unreadable), len(rows)):
            raise
        rows[:] = kept
        answer = parsed_python(body, form)
        if answer is None:
            raise
        return Read(answer=answer, unreadable=unreadable)


def are_many(odd: int, lines: int) -> bool:
    """Whether so many lines are odd that the list itself is to be doubted: all of them, or more than a few."""
    return 0 < odd == lines or _is_most(odd, lines)


def _is_most(odd: int, lines: int) -> bool:
    return odd > FEW and odd * 3 > lines


def read_one(reply: httpx.Response, form: type[Form], lines: Lines) -> Form:
    """The body in its wire form, which is that of one line; a field that cannot be read is taken as not shown.

    Raises `OddLine` when there is a line that cannot be read, and `UnexpectedForm` when there is none.
    """
    try:
        return parsed(reply, form)
    except UnexpectedForm as unexpected:
        body = legible(reply.content)
        wrong = _odd_fields(body, lines, TypeAdapter[object](form))
        answer = parsed_python(_without(body, wrong, lines), form) if wrong <= lines.optional else None
        if answer is not None:
            return answer
        if _id(body, lines):
            raise OddLine(unexpected.failure) from None
        raise


def legible(body: bytes) -> object:
    """JSON, with U+FFFD for what is no character, so that a text that was cut hides no others; None if it is none."""
    try:
        return _whole(json.loads(body.decode("utf-8-sig", errors="replace"), strict=False, parse_int=_number))
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> int | str:
    """A whole number; one that is longer than any id stays text, and so hides no other lines."""
    return int(digits) if len(digits) <= LONGEST_ID else digits


def parsed_python(body: object, form: type[Form]) -> Form | None:
    """JSON that was read already, in its wire form; None when it has another."""
    try:
        return TypeAdapter(form).validate_python(body)
    except ValidationError:
        return None


def _kept(rows: list[object], lines: Lines) -> tuple[list[object], tuple[UnreadableRecord, ...]]:
    """The lines that can be read, without their odd fields, and those that were odd in any way."""
    adapter, kept, found = TypeAdapter[object](lines.form), [], list[UnreadableRecord]()
    for number, row in enumerate(rows):
        wrong = _odd_fields(row, lines, adapter)
        if wrong:
            found.append(_record(row, number, wrong, lines))
        if wrong <= lines.optional:
            kept.append(_without(row, wrong, lines))
    for record in found[:_MOST_LOGGED]:
        _log.warning("line_unreadable", at=record.place, fields=list(record.fields), id=record.key)
    return kept, tuple(found)


def _record(row: object, number: int, wrong: set[str], lines: Lines) -> UnreadableRecord:
    return UnreadableRecord(
        place=".".join((*lines.place, str(number))),
        key=_id(row, lines),
        fields=tuple(sorted(filter(None, wrong))),
        is_left_out=not wrong <= lines.optional,
    )


def _odd_fields(row: object, lines: Lines, adapter: TypeAdapter[object]) -> set[str]:
    try:
        adapter.validate_python(row)
    except ValidationError as error:
        depth = len(lines.inner)
        return {clean(".".join(map(str, each["loc"][depth : depth + 1]))) for each in error.errors(include_input=False)}
    return set()


def _without(row: object, fields: set[str], lines: Lines) -> object:
    inner = _below(row, lines.inner)
    if isinstance(inner, dict):
        for field in fields:
            inner.pop(field, None)
    return row


def _id(row: object, lines: Lines) -> str:
    inner = _below(row, lines.inner)
    value = inner.get(lines.id) if isinstance(inner, Mapping) else None
    return clean(str(value), LONGEST_ID) if isinstance(value, int | str) else ""


def _whole(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same JSON with U+FFFD for halves of a character, which no form takes."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {_whole(name): _whole(each) for name, each in value.items()}
    return value


def _below(body: object, names: tuple[str, ...]) -> object:
    for name in names:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body
