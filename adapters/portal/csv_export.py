"""The Portal's *Admin: Drivers* list, read from its CSV export: what its columns and each of its rows say.

Rows come in the order of the file, one at a time: the file is never held in memory, and a broken quote costs one row.
Where two rows are about the same driver, both come; the later one counts.
"""

import codecs
import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple, TextIO

from domain.cleaning import LINE_BREAK, clean, flaw, folded, is_shortened, normal_form, to_iana
from domain.failures import ClearFailure
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

LONGEST_RECORD: Final = 16_384
"""Characters that one record may have, over all of its lines."""

_NAMES: Final = ("first_name", "last_name")
"""Fields without a column for which no driver can be read."""

_AGAIN: Final = "export the list again from Admin: Drivers"
_SAVE_AS: Final = "open it in Excel, save it as 'CSV UTF-8' and use that file"
_SIGNATURES: Final = {
    b"PK\x03\x04": "it is an Excel workbook",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook",
    **dict.fromkeys((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "it is UTF-32 text"),
}
_DELIMITERS: Final = ",;\t|"
_PIECE: Final = 1 << 16
_BETWEEN_WORDS: Final = re.compile(r"[\s_\-\u2010-\u2015]+")
_FIELDS_BY_NAME: Final = MappingProxyType(
    {_BETWEEN_WORDS.sub("", folded(name)): field for field, names in COLUMNS.items() for name in names}
)


class UnreadableExport(ClearFailure):
    """The file is not a readable export; the message says on one line what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRow:
    """A driver as one row states it.

    `line` is its first line in the file, from 1 on; `driver` the Portal's internal id, None where the file lacks it.
    `profile` says something of each field that has a column. `notes` name the cells that say nothing of use, and why.
    """

    line: int
    driver: PortalDriverId | None
    profile: StatedProfile
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that cannot be used; `reason` is for people and holds nothing of the file.

    `column` is as the file spells it, None for the row as a whole. `driver` and `ref_id` say whose it is, if known.
    """

    line: int
    reason: str
    column: str | None = None
    driver: PortalDriverId | None = None
    ref_id: str | None = None


class CsvRecord(NamedTuple):
    """The cells of one record, and its first line."""

    line: int
    cells: list[str]


def _field_of(name: str) -> str | None:
    return _FIELDS_BY_NAME.get(_BETWEEN_WORDS.sub("", folded(name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The columns as the file spells them, on its line `line`, and where each field stands; others are passed over."""

    delimiter: str
    names: tuple[str, ...]
    places: Mapping[str, int]
    line: int = 1

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


def _to_header(cells: Sequence[str], *, delimiter: str, line: int = 1) -> Header:
    """The header that these cells make, whatever their order and spelling; empty ones at its end are not columns."""
    names = [clean(cell, 200) for cell in cells]
    while names and not names[-1]:
        names.pop()
    places = {field: place for place, name in enumerate(names) if (field := _field_of(name))}
    return Header(delimiter=delimiter, names=tuple(names), places=places, line=line)


class Export(Iterator[ExportRow | RefusedRow]):
    """The rows of one export, good and refused, to be gone through once: none says anything of what has no column.

    `total_bytes` is the size of the file, and `bytes_read` how much of it was read so far.
    Raises `UnreadableExport` on the way if the file changes under the reader.
    """

    def __init__(self, path: Path, header: Header, *, encoding: str) -> None:
        self.header = header
        self.total_bytes = path.stat().st_size
        self.bytes_read = 0
        self._rows = self._read(path, encoding)

    def __next__(self) -> ExportRow | RefusedRow:
        return next(self._rows)

    def _read(self, path: Path, encoding: str) -> Iterator[ExportRow | RefusedRow]:
        try:
            with path.open("rb") as file, TextIOWrapper(file, encoding, newline="") as text:
                records = read_records(text, delimiter=self.header.delimiter, header=self.header)
                for row in _to_rows((each for each in records if each.line > self.header.line), self.header):
                    self.bytes_read = file.tell()
                    yield row
        except OSError as error:
            raise UnreadableExport(path, _access_problem(error)) from error
        except UnicodeError as error:
            raise UnreadableExport(path, f"it was changed while it was read: {_SAVE_AS}") from error


def read_export(path: Path) -> Export:
    """The export in this file, after a look at its header and at the encoding of the whole.

    Whether commas, semicolons, tabs or bars separate the cells shows in the header, one of the first lines.
    Raises `UnreadableExport` before the first row if the file is not an export.
    """
    try:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise UnreadableExport(path, "it is not an ordinary file: save the export to a file first")
        with path.open("rb") as file:
            encoding, problem = _look_at_bytes(file)
        header = _header(path, encoding)
        if flawed := problem or header.problem():
            raise UnreadableExport(path, flawed)
        return Export(path, header, encoding=encoding)
    except OSError as error:
        raise UnreadableExport(path, _access_problem(error)) from error


def _access_problem(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file: check the path"
    if isinstance(error, IsADirectoryError):
        return "it is a folder: name the CSV file in it"
    return f"it cannot be read ({error.strerror}): check who may read it"


def _look_at_bytes(file: BinaryIO) -> tuple[str, str]:
    """How the text is encoded, and why these bytes are not an export, if they are not.

    UTF-16, which Excel calls Unicode text, is known by its byte-order mark. The whole file is read, piece by piece: a
    wrong encoding has to be known before the first row is used.
    """
    first = file.read(_PIECE)
    file.seek(0)
    is_wide = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding, name = ("utf-16", "UTF-16") if is_wide else ("utf-8-sig", "UTF-8")
    if finding := next((said for signature, said in _SIGNATURES.items() if first.startswith(signature)), ""):
        return encoding, f"{finding}: {_SAVE_AS}"
    start, line, problem = first.decode(encoding, "replace"), 1, ""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in iter(partial(file.read, _PIECE), b""):
            line += decoder.decode(piece).count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line += error.object[: error.start].decode(encoding, "replace").count("\n")
        problem = f"line {line} is not {name}: {_SAVE_AS}"
    # A NUL further down is the trouble of one row.
    if "\0" in start.partition("\n")[0]:
        problem = "it is not text: give the CSV file that the Portal exports"
    elif not start.strip(" \t\r\n\ufeff") and not problem:
        problem = "it is empty: export the list of drivers again"
    return encoding, problem


def _header(path: Path, encoding: str) -> Header:
    """The header: that of the first 20 records, and of the delimiters, of which most columns make sense.

    Before it, people and programs write a title, the date, or `sep=;`.
    """
    found: list[Header] = []
    for delimiter in _DELIMITERS:
        with path.open(encoding=encoding, newline="", errors="replace") as text:
            found += [
                _to_header(record.cells, delimiter=delimiter, line=record.line)
                for record in islice(read_records(text, delimiter=delimiter), 20)
                if isinstance(record, CsvRecord)
            ]
    return max(found, key=lambda header: len(header.places), default=_to_header((), delimiter=","))


def _to_rows(records: Iterable[CsvRecord | RefusedRow], header: Header) -> Iterator[ExportRow | RefusedRow]:
    """The drivers of the records below a header, or why they are refused.

    Where exports were joined, headers stand among the records. None is a driver; below one whose columns stand in other
    places, no record can be read.
    """
    other: int | None = None
    for record in records:
        if isinstance(record, CsvRecord) and header.is_again(record.cells):
            is_same = _to_header(record.cells, delimiter=header.delimiter).places == header.places
            other = None if is_same else record.line
            yield RefusedRow(line=record.line, reason="is the header once more; take this line out")
        elif other is not None:
            reason = f"stands below another header, on line {other}; give each export a file of its own"
            yield RefusedRow(line=record.line, reason=reason)
        else:
            yield record if isinstance(record, RefusedRow) else to_row(record, header)


def to_row(record: CsvRecord, header: Header) -> ExportRow | RefusedRow:
    """The driver of one record below a header, or why it is refused."""
    written = {name: record.cells[place] for name, place in header.places.items()}
    cells = {name: normal_form(_field(name), text) for name, text in written.items()}
    for name, text in written.items():
        if problem := _flaw(name, text):
            return _refused(record.line, written, header.spelled(name), problem)
    if not cells.get(DRIVER_ID) and not cells.get("ref_id"):
        return _refused(record.line, cells, None, "has neither a Driver ID nor a Reference ID")
    notes = []
    if zone := cells.get("time_zone"):
        if known := to_iana(zone):
            cells["time_zone"] = known
        else:
            del cells["time_zone"]
            notes.append(f"{header.spelled('time_zone')} is not a time zone that we know; left as it is known")
    if is_shortened(cells.get("phone", "")):
        del cells["phone"]
        notes.append(f"{header.spelled('phone')} was shortened by Excel; left as it is known")
    return ExportRow(
        line=record.line,
        driver=PortalDriverId(cells[DRIVER_ID]) if cells.get(DRIVER_ID) else None,
        profile=StatedProfile(fields={field: cells[field] for field in FIELDS if field in cells}),
        notes=tuple(notes),
    )


def _field(name: str) -> str:
    """How `domain.cleaning` names what this cell holds."""
    return "driver" if name == DRIVER_ID else name


def _flaw(name: str, text: str) -> str | None:
    """Why the whole row is refused for this cell; a cell by which no driver is recognised is only left out."""
    if name == "time_zone" or (name == "phone" and is_shortened(text)):
        return None
    reason = flaw(_field(name), text)
    return f"{reason}; look for a quote that is never closed" if reason == LINE_BREAK else reason


def _refused(line: int, written: Mapping[str, str], column: str | None, reason: str) -> RefusedRow:
    driver = PortalDriverId(_sound(written, DRIVER_ID)) or None
    return RefusedRow(line=line, column=column, reason=reason, driver=driver, ref_id=_sound(written, "ref_id") or None)


def _sound(written: Mapping[str, str], name: str) -> str:
    text = written.get(name, "")
    return "" if flaw(_field(name), text) else normal_form(_field(name), text)


class _TooLong(Exception):
    """The record has more than `LONGEST_RECORD` characters."""


class _Lines:
    """The lines of a text; iterating over them takes those of one record."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._given_back: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        self.taken, length = [], 0
        while line := self._given_back.popleft() if self._given_back else self._text.readline(LONGEST_RECORD + 1):
            self.taken.append(line)
            length += len(line)
            if length > LONGEST_RECORD:
                raise _TooLong
            yield line

    def give_back(self) -> None:
        """Give back all lines of the record but its first, the rest of which is skipped."""
        first, *others = self.taken
        self._given_back.extendleft(reversed(others))
        while first and not first.endswith(("\n", "\r")):
            first = self._text.readline(LONGEST_RECORD)


def read_records(text: TextIO, *, delimiter: str, header: Header | None = None) -> Iterator[CsvRecord | RefusedRow]:
    """The records of a text, opened with `newline=""`; blank ones are left out.

    Where the header is known, it and each below it must have as many cells; blank ones behind them do not count.
    After a broken record reading goes on at its second line, so a quote that is never closed swallows nothing.
    """
    lines, number = _Lines(text), 1
    while (cells := _cells(lines, delimiter, header if header and number >= header.line else None)) is not None:
        if isinstance(cells, str):
            lines.give_back()
            yield RefusedRow(line=number, reason=cells)
            number += 1
            continue
        if cells:
            yield CsvRecord(line=number, cells=cells)
        number += len(lines.taken)


def _cells(lines: _Lines, delimiter: str, header: Header | None) -> list[str] | str | None:
    """The cells of the next record, none if it is blank, or what is wrong with it; None at the end of the text."""
    try:
        cells = next(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True), None)
    except _TooLong:
        return f"longer than {LONGEST_RECORD} characters; look for a quote that is never closed"
    except csv.Error:
        return "a quote is never closed, or is followed by text"
    if cells is None or not any(map(str.strip, cells)):
        return cells and []
    width = len(header.names) if header else len(cells)
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    return cells if len(cells) == width else f"{len(cells)} cells where the header has {width}"
