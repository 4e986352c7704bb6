"""The Portal's *Admin: Drivers* list, read from its CSV export: what its columns and each of its rows say.

Rows come in the order of the file, one at a time: the file is never held in memory.
Where two rows are about the same driver, both come; the later one counts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

from adapters.portal.csv_syntax import SAVE_AS, CsvRecord, CsvRecords, RefusedRow, content_problem, encoding_of
from domain.cleaning import LINE_BREAK, clean, flaw, folded, is_shortened, normal_form
from domain.failures import ClearFailure
from domain.geography import to_iana
from domain.identity import PortalDriverId
from domain.profile import FIELDS, StatedProfile

DRIVER_ID = "portal_driver_id"
"""The cell of the Portal's own internal id, beside the fields of a profile.

The Portal's spreadsheet import gives this name to the key-fob id; its exports mean the internal one.
"""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        DRIVER_ID: ("Driver ID",),
        "ref_id": ("Reference ID", "RefID"),
        "driveri_driver_id": ("Driveri DriverID",),
        "first_name": ("First Name",),
        "last_name": ("Last Name",),
        "time_zone": ("Time Zone",),
        "phone": ("Phone",),
        "email": ("Email",),
        "country": ("Country",),
        "driveri_group": ("Driveri Group",),
        "licence_number": ("Licence Number", "License Number"),
        "licence_state": ("Licence State", "License State"),
        "licence_country": ("Licence Country", "License Country"),
    }
)
"""The columns of each field, the usual name first; letter case, blanks, hyphens and underscores are ignored."""

_NAMES: Final = ("first_name", "last_name")
"""Fields without a column for which no driver can be read."""

_LONGEST_NAME: Final = 200
_BETWEEN_WORDS: Final = re.compile(r"[\s_\-\u2010-\u2015]+")
_AGAIN = "export the list again from Admin: Drivers"


def _comparable(name: str) -> str:
    return _BETWEEN_WORDS.sub("", folded(name))


_FIELDS_BY_NAME: Final = MappingProxyType(
    {_comparable(name): field for field, names in COLUMNS.items() for name in names}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The columns as the file spells them, and where each field stands; other columns are passed over.

    `line` is the header's own line in the file, counted from 1.
    """

    delimiter: str
    names: tuple[str, ...]
    places: Mapping[str, int]
    line: int = 1

    @property
    def width(self) -> int:
        """How many cells each row has."""
        return len(self.names)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns that mean no field, as the file spells them."""
        return tuple(name for name in self.names if name and _field_of(name) is None)

    @property
    def missing(self) -> tuple[str, ...]:
        """The usual names of the fields that have no column: the file says nothing of them."""
        return tuple(names[0] for field, names in COLUMNS.items() if field not in self.places)

    def spelled(self, field: str) -> str:
        """The name of a field's column, as the file spells it."""
        return self.names[self.places[field]]

    def is_again(self, cells: Sequence[str]) -> bool:
        """Whether a record, as wide as this header, is a header too: names of columns stand where people's should."""
        return all(_field_of(cells[self.places[field]]) for field in _NAMES)

    def problem(self) -> str | None:
        """Why no driver can be read below this header, and what to do; None if they can."""
        if not self.places:
            return f"it has no header row with the names of the columns: {_AGAIN}"
        fields = [_field_of(name) for name in self.names]
        often = {field for field, count in Counter(fields).items() if field and count > 1}
        if often:
            # Columns that mean no field may repeat, since they are not read.
            places = " and ".join(str(place) for place, field in enumerate(fields, start=1) if field in often)
            return f"columns {places} of its header say the same: keep one of them"
        lacking = [names[0] for field, names in COLUMNS.items() if field in _NAMES and field not in self.places]
        if not lacking and not {DRIVER_ID, "ref_id"} & set(self.places):
            lacking = ["Driver ID or Reference ID"]
        return f"it has no column {lacking[0]}: {_AGAIN}" if lacking else None


def to_header(cells: Sequence[str], *, delimiter: str, line: int = 1) -> Header:
    """The header that these cells make, whatever their order and spelling; empty ones at its end are not columns."""
    names = [clean(cell, _LONGEST_NAME) for cell in cells]
    while names and not names[-1]:
        names.pop()
    places = {field: place for place, name in enumerate(names) if (field := _field_of(name))}
    return Header(delimiter=delimiter, names=tuple(names), places=places, line=line)


def _field_of(name: str) -> str | None:
    return _FIELDS_BY_NAME.get(_comparable(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """A driver as one row states it.

    `line` is the row's first line in the file, counted from 1.
    `driver` is the Portal's internal id, None where the file does not have it.
    `profile` says something of each field that has a column. `notes` name the cells that say nothing of use, and why.
    `bytes_read` is how much of the file had been read by then; it is not part of what the row says.
    """

    line: int
    driver: PortalDriverId | None
    profile: StatedProfile
    notes: tuple[str, ...] = ()
    bytes_read: int = field(default=0, compare=False)


_Cells = Mapping[str, str]

_DRIVER = "driver"
"""How the Portal's own id is named among the fields of `domain.cleaning`."""


def to_rows(records: Iterable[CsvRecord | RefusedRow], header: Header) -> Iterator[ExportRow | RefusedRow]:
    """The drivers of the records below a header, or why they are refused.

    Where exports were joined, headers stand among the records. None is a driver; below one whose columns stand in other
    places, no record can be read.
    """
    other: int | None = None
    for record in records:
        if isinstance(record, CsvRecord) and header.is_again(record.cells):
            is_same = to_header(record.cells, delimiter=header.delimiter).places == header.places
            other = None if is_same else record.line
            reason = "is the header once more; take this line out"
            yield RefusedRow(line=record.line, reason=reason, bytes_read=record.bytes_read)
        elif other is not None:
            reason = f"stands below another header, on line {other}; give each export a file of its own"
            yield RefusedRow(line=record.line, reason=reason, bytes_read=record.bytes_read)
        else:
            yield to_row(record, header)


def to_row(record: CsvRecord | RefusedRow, header: Header) -> ExportRow | RefusedRow:
    """The driver of one record, whose cells are as many as the header's, or why it is refused."""
    if isinstance(record, RefusedRow):
        return record
    written = {name: record.cells[place] for name, place in header.places.items()}
    cells = {name: normal_form(_field(name), text) for name, text in written.items()}
    for name, text in written.items():
        if reason := _flaw(name, text):
            return _refused(record, written, header.spelled(name), reason)
    if not cells.get(DRIVER_ID) and not cells.get("ref_id"):
        return _refused(record, cells, None, "has neither a Driver ID nor a Reference ID")
    usable, notes = _usable(cells, header)
    return ExportRow(
        line=record.line,
        driver=PortalDriverId(cells[DRIVER_ID]) if cells.get(DRIVER_ID) else None,
        profile=StatedProfile(fields={field: usable[field] for field in FIELDS if field in usable}),
        notes=notes,
        bytes_read=record.bytes_read,
    )


def _field(name: str) -> str:
    return _DRIVER if name == DRIVER_ID else name


def _flaw(name: str, text: str) -> str | None:
    """Why the whole row is refused for this cell; a cell by which no driver is recognised is only left out."""
    if name == "time_zone" or (name == "phone" and is_shortened(text)):
        return None
    reason = flaw(_field(name), text)
    return f"{reason}; look for a quote that is never closed" if reason == LINE_BREAK else reason


def _refused(record: CsvRecord, written: _Cells, column: str | None, reason: str) -> RefusedRow:
    driver = _sound(written, DRIVER_ID)
    return RefusedRow(
        line=record.line,
        column=column,
        reason=reason,
        driver=PortalDriverId(driver) if driver else None,
        ref_id=_sound(written, "ref_id"),
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
            notes.append(f"{header.spelled('time_zone')} is not a time zone that we know; left as it is known")
    if is_shortened(usable.get("phone", "")):
        del usable["phone"]
        notes.append(f"{header.spelled('phone')} was shortened by Excel; left as it is known")
    return usable, tuple(notes)


def _sound(written: _Cells, name: str) -> str | None:
    text = written.get(name, "")
    return None if flaw(_field(name), text) else normal_form(_field(name), text) or None


__all__ = ["Export", "ExportRow", "RefusedRow", "UnreadableExport", "read_export"]

_DELIMITERS = ",;\t|"
_FIRST = 20
"""Records in which the header is looked for."""


class UnreadableExport(ClearFailure):
    """The file is not a readable export; the message says on one line what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Export(Iterator[ExportRow | RefusedRow]):
    """The rows of one export, good and refused, to be gone through once.

    `total_bytes` is the size of the file; each row says how much of it was read by then.
    `header` says what is in it: of a field that has no column, no row says anything.
    Raises `UnreadableExport` on the way if the file changes under the reader.
    """

    def __init__(self, path: Path, header: Header, *, encoding: str, total_bytes: int) -> None:
        self.header = header
        self.total_bytes = total_bytes
        self._rows = _rows(path, header, encoding)

    def __next__(self) -> ExportRow | RefusedRow:
        return next(self._rows)


def read_export(path: Path) -> Export:
    """The export in this file, after a look at its header and at the encoding of the whole.

    Whether commas, semicolons, tabs or bars separate the cells shows in the header, one of the first lines.
    Raises `UnreadableExport` before the first row if the file is not an export.
    """
    try:
        _check(path, _file_problem(path))
        with path.open("rb") as file:
            encoding = encoding_of(file)
        header = _header(path, encoding)
        _check(path, header.problem())
        return Export(path, header, encoding=encoding, total_bytes=path.stat().st_size)
    except OSError as error:
        raise UnreadableExport(path, _access_problem(error)) from error


def _check(path: Path, problem: str | None) -> None:
    if problem:
        raise UnreadableExport(path, problem)


def _file_problem(path: Path) -> str | None:
    if path.exists() and not path.is_dir() and not path.is_file():
        return "it is not an ordinary file: save the export to a file first"
    with path.open("rb") as file:
        return content_problem(file)


def _access_problem(error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return "there is no such file: check the path"
        case IsADirectoryError():
            return "it is a folder: name the CSV file in it"
        case _:
            return f"it cannot be read ({error.strerror}): check who may read it"


def _header(path: Path, encoding: str) -> Header:
    """The header: that of the first records, and of the delimiters, of which most columns make sense.

    Before it, people and programs write a title, the date, or `sep=;`.
    """
    found: list[Header] = []
    for delimiter in _DELIMITERS:
        with path.open(encoding=encoding, newline="") as text:
            records = islice(CsvRecords(text, delimiter=delimiter), _FIRST)
            found += [
                to_header(record.cells, delimiter=delimiter, line=record.line)
                for record in records
                if isinstance(record, CsvRecord)
            ]
    return max(found, key=lambda header: len(header.places), default=to_header((), delimiter=","))


def _rows(path: Path, header: Header, encoding: str) -> Iterator[ExportRow | RefusedRow]:
    try:
        with path.open(encoding=encoding, newline="") as text:
            records = CsvRecords(text, delimiter=header.delimiter)
            for record in records:
                if record.line >= header.line:
                    break
            records.expect(header.width)
            yield from to_rows(records, header)
    except OSError as error:
        raise UnreadableExport(path, _access_problem(error)) from error
    except UnicodeError as error:
        raise UnreadableExport(path, f"it was changed while it was read: {SAVE_AS}") from error
