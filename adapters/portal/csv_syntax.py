"""Delimited text as records, read one at a time: one broken quote costs one record and not the file.

Whether a file can be an export at all is judged by its bytes, which also show how its text is encoded.
"""

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Final, TextIO

from domain.identity import PortalDriverId

SAVE_AS = "open it in Excel, save it as 'CSV UTF-8' and use that file"

_PIECE = 1 << 16
_BLANK = " \t\r\n\ufeff"
_SIGNATURES = {
    b"PK\x03\x04": "it is an Excel workbook",
    b"\xd0\xcf\x11\xe0": "it is an old Excel workbook",
    b"\xff\xfe\0\0": "it is UTF-32 text",
    b"\0\0\xfe\xff": "it is UTF-32 text",
}
_UTF_8: Final = "utf-8-sig"
_UTF_16: Final = "utf-16"
_NAMES: Final = {_UTF_8: "UTF-8", _UTF_16: "UTF-16"}


def encoding_of(file: BinaryIO) -> str:
    """How the text is encoded: UTF-16, which Excel calls Unicode text, by its byte-order mark, else UTF-8."""
    start = file.read(len(codecs.BOM_UTF16))
    file.seek(0)
    return _UTF_16 if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else _UTF_8


def content_problem(file: BinaryIO) -> str | None:
    """Why these bytes are not an export, and what to do; None if they may be one.

    Reads the whole file, piece by piece: a wrong encoding has to be known before the first row is used.
    """
    first = file.read(_PIECE)
    file.seek(0)
    for signature, finding in _SIGNATURES.items():
        if first.startswith(signature):
            return f"{finding}: {SAVE_AS}"
    encoding = encoding_of(file)
    decoder = codecs.getincrementaldecoder(encoding)()
    line, start = 1, ""
    try:
        for piece in iter(partial(file.read, _PIECE), b""):
            text = decoder.decode(piece)
            line += text.count("\n")
            start = start or text
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if not start:
            start = error.object[: error.start].decode(encoding, "replace")
        line += error.object[: error.start].decode(encoding, "replace").count("\n")
        return _start_problem(start, is_whole=False) or f"line {line} is not {_NAMES[encoding]}: {SAVE_AS}"
    return _start_problem(start, is_whole=True)


def _start_problem(start: str, *, is_whole: bool) -> str | None:
    if is_whole and not start.strip(_BLANK):
        return "it is empty: export the list of drivers again"
    # A NUL further down is the trouble of one row.
    if "\0" in start.partition("\n")[0]:
        return "it is not text: give the CSV file that the Portal exports"
    return None


LONGEST_RECORD = 16_384
"""Characters that one record may have, over all of its lines."""

_LINE_ENDS = ("\n", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRecord:
    """The cells of one record; `line` is its first line in the file, counted from 1.

    `bytes_read` is how much of the file had been read by then.
    """

    line: int
    cells: list[str]
    bytes_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that cannot be used; `reason` is for people and holds nothing of the file.

    `column` is named as the file spells it, None when the row as a whole is wrong.
    `driver` and `ref_id` tell whose row it is, as far as that could be read.
    """

    line: int
    reason: str
    column: str | None = None
    driver: PortalDriverId | None = None
    ref_id: str | None = None
    bytes_read: int = field(default=0, compare=False)


class _TooLong(Exception):
    """The record has more than `LONGEST_RECORD` characters."""


class _Lines(Iterator[str]):
    """The lines of a text, of which those of the current record can be given back."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._given_back: deque[str] = deque()
        self._taken: list[str] = []
        self._length = 0
        self._number = 0

    def begin(self) -> int:
        """The number of the line on which the next record begins."""
        self._taken, self._length = [], 0
        return self._number + 1

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else self._text.readline(LONGEST_RECORD + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._taken.append(line)
        self._length += len(line)
        if self._length > LONGEST_RECORD:
            raise _TooLong
        return line

    def give_back(self) -> None:
        """Give back all lines of the current record but its first, the rest of which is skipped."""
        first, *others = self._taken
        self._number -= len(others)
        self._given_back.extendleft(reversed(others))
        while first and not first.endswith(_LINE_ENDS):
            first = self._text.readline(LONGEST_RECORD)


class CsvRecords(Iterator[CsvRecord | RefusedRow]):
    """The records of a text, opened with `newline=""`; blank ones are left out.

    `width` is the number of cells that each must have; blank ones behind them do not count.
    After a broken record reading goes on at its second line, so a quote that is never closed swallows nothing.
    """

    def __init__(self, text: TextIO, *, delimiter: str, width: int | None = None) -> None:
        self._text = text
        self._lines = _Lines(text)
        self._cells = csv.reader(self._lines, delimiter=delimiter, skipinitialspace=True, strict=True)
        self._width = width

    def expect(self, width: int) -> None:
        """From now on each record must have this many cells."""
        self._width = width

    def __next__(self) -> CsvRecord | RefusedRow:
        while True:
            line = self._lines.begin()
            try:
                cells = next(self._cells)
            except _TooLong:
                reason = f"longer than {LONGEST_RECORD} characters; look for a quote that is never closed"
                return self._broken(line, reason)
            except csv.Error:
                return self._broken(line, "a quote is never closed, or is followed by text")
            if not any(map(str.strip, cells)):
                continue
            while self._width is not None and len(cells) > self._width and not cells[-1].strip():
                cells.pop()
            if self._width not in (None, len(cells)):
                return self._broken(line, f"{len(cells)} cells where the header has {self._width}")
            return CsvRecord(line=line, cells=cells, bytes_read=self._text.buffer.tell())

    def _broken(self, line: int, reason: str) -> RefusedRow:
        self._lines.give_back()
        return RefusedRow(line=line, reason=reason, bytes_read=self._text.buffer.tell())
