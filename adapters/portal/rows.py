"""What one row of an export says of a driver, or why it is refused."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from adapters.portal.header import DRIVER_ID, Header
from adapters.portal.records import BrokenRecord, Record
from adapters.portal.time_zones import to_iana
from domain.identity import PortalDriverId
from domain.profile import tidy

LONGEST_CELL = 200
"""Characters that a cell may have; no field of a driver needs as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """A driver as one row states it.

    `line` is the row's first line in the file, counted from 1.
    `driver` is the Portal's internal id, None where the file does not tell it.
    `notes` name the cells that were left out of the profile, and why.
    `bytes_read` is how much of the file had been read by then; it is no part of what the row says.
    """

    line: int
    driver: PortalDriverId | None
    profile: dict[str, str]
    notes: tuple[str, ...] = ()
    bytes_read: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that cannot be used.

    `column` is named as the file spells it, None when the row as a whole is wrong.
    `driver` and `ref_id` tell whose row it is, as far as that could be read.
    """

    line: int
    column: str | None
    reason: str
    driver: PortalDriverId | None = None
    ref_id: str | None = None
    bytes_read: int = field(default=0, compare=False)


_Cells = Mapping[str, str]

# Excel shows a long number as 4.55E+06, with a decimal comma in some countries.
_SHORTENED = re.compile(r"\d+([.,]\d+)?E\+\d+|\d+[.,]\d+E-\d+", re.IGNORECASE)
_IDS = (DRIVER_ID, "ref_id", "driveri_driver_id", "licence_number")
_REQUIRED = ("first_name", "last_name")


def _is_shortened(text: str) -> bool:
    return _SHORTENED.fullmatch(text) is not None


def _has_line_break(text: str) -> bool:
    return len(text.splitlines()) > 1


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def _is_long(text: str) -> bool:
    return len(text) > LONGEST_CELL


def _is_no_address(text: str) -> bool:
    return bool(text) and "@" not in text


def _is_blank(text: str) -> bool:
    return not text


# Each flaw, the fields in which it matters (None for all), and what it is called; the first that applies is told.
_FLAWS: tuple[tuple[Callable[[str], bool], tuple[str, ...] | None, str], ...] = (
    (_has_line_break, None, "holds a line break; look for a quote that is never closed"),
    (_has_control, None, "holds a control character"),
    (_is_long, None, f"is longer than {LONGEST_CELL} characters"),
    (_is_shortened, _IDS, "was shortened by Excel, as in 4.55E+06; format the column as text and export again"),
    (_is_no_address, ("email",), "is no e-mail address"),
    (_is_blank, _REQUIRED, "is blank"),
)


def flaw(name: str, text: str) -> str | None:
    """Why this text cannot stand in this field; None if it can."""
    return next((reason for has, fields, reason in _FLAWS if (fields is None or name in fields) and has(text)), None)


def to_row(record: Record | BrokenRecord, header: Header) -> ExportRow | RefusedRow:
    """The driver of one record, whose cells are as many as the header's, or why it is refused."""
    if isinstance(record, BrokenRecord):
        return RefusedRow(line=record.line, column=None, reason=record.reason, bytes_read=record.bytes_read)
    cells = {name: record.cells[place].strip() for name, place in header.places.items()}
    for name, text in cells.items():
        if reason := flaw(name, text):
            return _refused(record, cells, header.spelled(name), reason)
    if not cells.get(DRIVER_ID) and not cells.get("ref_id"):
        return _refused(record, cells, None, "has neither a Driver ID nor a Reference ID")
    return _accepted(record, cells, header)


def _refused(record: Record, cells: _Cells, column: str | None, reason: str) -> RefusedRow:
    return RefusedRow(
        line=record.line,
        column=column,
        reason=reason,
        driver=_driver(cells),
        ref_id=_sound(cells, "ref_id"),
        bytes_read=record.bytes_read,
    )


def _accepted(record: Record, cells: _Cells, header: Header) -> ExportRow:
    usable, notes = _usable(cells, header)
    return ExportRow(
        line=record.line, driver=_driver(cells), profile=tidy(usable), notes=notes, bytes_read=record.bytes_read
    )


def _usable(cells: _Cells, header: Header) -> tuple[_Cells, tuple[str, ...]]:
    """The cells in the domain's words without those that say nothing of use, and a note on each that was left out."""
    usable, notes = dict(cells), []
    if zone := usable.pop("time_zone", ""):
        usable["time_zone"] = to_iana(zone) or ""
        if not usable["time_zone"]:
            notes.append(f"{header.spelled('time_zone')} is no time zone that we know; left out")
    if _is_shortened(usable.get("phone", "")):
        del usable["phone"]
        notes.append(f"{header.spelled('phone')} was shortened by Excel; left out")
    return usable, tuple(notes)


def _driver(cells: _Cells) -> PortalDriverId | None:
    sound = _sound(cells, DRIVER_ID)
    return PortalDriverId(sound) if sound else None


def _sound(cells: _Cells, name: str) -> str | None:
    text = cells.get(name, "")
    return None if flaw(name, text) else text or None
