"""What one row of an export says of a driver, or why it is refused."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from adapters.portal.header import DRIVER_ID, Header, to_header
from adapters.portal.records import BrokenRecord, Record
from domain.cleaning import LINE_BREAK, flaw, is_shortened, normal_form
from domain.identity import PortalDriverId
from domain.profile import FIELDS, StatedProfile
from domain.time_zones import to_iana


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """A driver as one row states it.

    `line` is the row's first line in the file, counted from 1.
    `driver` is the Portal's internal id, None where the file does not tell it.
    `profile` says something of each field that has a column. `notes` name the cells that say nothing of use, and why.
    `bytes_read` is how much of the file had been read by then; it is no part of what the row says.
    """

    line: int
    driver: PortalDriverId | None
    profile: StatedProfile
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

_DRIVER = "driver"
"""How the Portal's own id is named among the fields of `domain.cleaning`."""


def to_rows(records: Iterable[Record | BrokenRecord], header: Header) -> Iterator[ExportRow | RefusedRow]:
    """The drivers of the records below a header, or why they are refused.

    Where exports were joined, headers stand among the records. None is a driver; below one whose columns stand in other
    places, no record can be read.
    """
    other: int | None = None
    for record in records:
        if isinstance(record, Record) and header.is_again(record.cells):
            is_same = to_header(record.cells, delimiter=header.delimiter).places == header.places
            other = None if is_same else record.line
            yield _refused_whole(record, "is the header once more; take this line out")
        elif other is not None:
            yield _refused_whole(
                record, f"stands below another header, on line {other}; give each export a file of its own"
            )
        else:
            yield to_row(record, header)


def to_row(record: Record | BrokenRecord, header: Header) -> ExportRow | RefusedRow:
    """The driver of one record, whose cells are as many as the header's, or why it is refused."""
    if isinstance(record, BrokenRecord):
        return _refused_whole(record, record.reason)
    written = {name: record.cells[place] for name, place in header.places.items()}
    cells = {name: normal_form(_field(name), text) for name, text in written.items()}
    for name, text in written.items():
        if reason := _flaw(name, text):
            return _refused(record, written, header.spelled(name), reason)
    if not cells.get(DRIVER_ID) and not cells.get("ref_id"):
        return _refused(record, cells, None, "has neither a Driver ID nor a Reference ID")
    return _accepted(record, cells, header)


def _refused_whole(record: Record | BrokenRecord, reason: str) -> RefusedRow:
    return RefusedRow(line=record.line, column=None, reason=reason, bytes_read=record.bytes_read)


def _field(name: str) -> str:
    return _DRIVER if name == DRIVER_ID else name


def _flaw(name: str, text: str) -> str | None:
    """Why the whole row is refused for this cell; a cell that nobody is recognised by is only left out."""
    if name == "time_zone" or (name == "phone" and is_shortened(text)):
        return None
    reason = flaw(_field(name), text)
    return f"{reason}; look for a quote that is never closed" if reason == LINE_BREAK else reason


def _refused(record: Record, written: _Cells, column: str | None, reason: str) -> RefusedRow:
    driver = _sound(written, DRIVER_ID)
    return RefusedRow(
        line=record.line,
        column=column,
        reason=reason,
        driver=PortalDriverId(driver) if driver else None,
        ref_id=_sound(written, "ref_id"),
        bytes_read=record.bytes_read,
    )


def _accepted(record: Record, cells: _Cells, header: Header) -> ExportRow:
    usable, notes = _usable(cells, header)
    return ExportRow(
        line=record.line,
        driver=PortalDriverId(cells[DRIVER_ID]) if cells.get(DRIVER_ID) else None,
        profile=_stated(usable),
        notes=notes,
        bytes_read=record.bytes_read,
    )


def _usable(cells: _Cells, header: Header) -> tuple[_Cells, tuple[str, ...]]:
    """The cells in the domain's words without those that say nothing of use, and a note on each that was left out."""
    usable, notes = dict(cells), []
    if zone := usable.get("time_zone"):
        if known := to_iana(zone):
            usable["time_zone"] = known
        else:
            del usable["time_zone"]
            notes.append(f"{header.spelled('time_zone')} is no time zone that we know; left as it is known")
    if is_shortened(usable.get("phone", "")):
        del usable["phone"]
        notes.append(f"{header.spelled('phone')} was shortened by Excel; left as it is known")
    return usable, tuple(notes)


def _stated(cells: _Cells) -> StatedProfile:
    return StatedProfile(fields={field: cells[field] for field in FIELDS if field in cells})


def _sound(written: _Cells, name: str) -> str | None:
    text = written.get(name, "")
    return None if flaw(_field(name), text) else normal_form(_field(name), text) or None
