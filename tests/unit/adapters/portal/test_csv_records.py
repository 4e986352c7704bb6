"""Records are taken from the text as they are asked for: nothing gathers."""

import io
import itertools
from collections.abc import Iterable, Iterator

import pytest

from adapters.portal.csv_export import LONGEST_RECORD, CsvRecord, Header, RefusedRow, read_records

AHEAD = 65_536
"""Bytes that a reader may be ahead of the records it has given."""


class LinesOnDemand(io.RawIOBase):
    """A file whose lines are made when they are read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines: Iterator[bytes] = iter(lines)
        self.made = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.made

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        line = next(self._lines, b"")
        buffer[: len(line)] = line
        self.made += len(line)
        return len(line)


def _records(file: LinesOnDemand) -> Iterator[CsvRecord | RefusedRow]:
    text = io.TextIOWrapper(io.BufferedReader(file), encoding="utf-8", newline="")
    return read_records(text, delimiter=",", header=Header(delimiter=",", names=("ID", "First", "Last"), places={}))


def test_an_endless_file_is_read_only_as_far_as_its_records_are_asked_for() -> None:
    file = LinesOnDemand(b"%d,Ann,Lee\n" % number for number in itertools.count())
    given = 0
    for record in itertools.islice(_records(file), 50_000):
        assert isinstance(record, CsvRecord)
        given += sum(map(len, record.cells)) + 3
        assert file.made - given <= AHEAD


@pytest.mark.parametrize("beginning", [b'1,"Ann,Lee\n', b'1,Ann,"' + b"x\n" * 1_000])
def test_a_quote_that_is_never_closed_is_reported_after_a_bounded_look_ahead(beginning: bytes) -> None:
    file = LinesOnDemand(itertools.chain([beginning], itertools.repeat(b"2,Bo,Ray\n")))
    records = _records(file)
    assert isinstance(next(records), RefusedRow)
    assert file.made <= LONGEST_RECORD + AHEAD


def test_an_endless_line_is_skipped_without_being_gathered() -> None:
    file = LinesOnDemand([*itertools.repeat(b"x" * 8_000, 1_000), b"\n", b"2,Bo,Ray\n"])
    records = _records(file)
    broken = next(records)
    assert isinstance(broken, RefusedRow)
    assert len(broken.reason) < 100
    assert [record.line for record in records] == [2]
