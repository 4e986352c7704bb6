"""Delimited text as records, read one by one, where one broken quote costs one record and not the file."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

LONGEST_RECORD = 16_384
"""Characters that one record may have, over all of its lines."""

_LINE_ENDS = ("\n", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The cells of one record; `line` is its first line in the file, counted from 1.

    `bytes_read` is how much of the file had been read by then.
    """

    line: int
    cells: list[str]
    bytes_read: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenRecord:
    """A record whose cells cannot be told; `reason` is for people and holds nothing of the file."""

    line: int
    reason: str
    bytes_read: int


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


class Records(Iterator[Record | BrokenRecord]):
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
        """From now on each record must have so many cells."""
        self._width = width

    def __next__(self) -> Record | BrokenRecord:
        while True:
            line = self._lines.begin()
            try:
                cells = next(self._cells)
            except _TooLong:
                reason = f"longer than {LONGEST_RECORD} characters; look for a quote that is never closed"
                return self._broken(line, reason)
            except csv.Error:
                return self._broken(line, "a quote is never closed, or is followed by text")
            if any(map(str.strip, cells)):
                return self._filled(line, cells)

    def _filled(self, line: int, cells: list[str]) -> Record | BrokenRecord:
        while self._width is not None and len(cells) > self._width and not cells[-1].strip():
            cells.pop()
        if self._width not in (None, len(cells)):
            return self._broken(line, f"{len(cells)} cells where the header has {self._width}")
        return Record(line=line, cells=cells, bytes_read=self._text.buffer.tell())

    def _broken(self, line: int, reason: str) -> BrokenRecord:
        self._lines.give_back()
        return BrokenRecord(line=line, reason=reason, bytes_read=self._text.buffer.tell())
