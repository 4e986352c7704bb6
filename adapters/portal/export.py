"""The Portal's *Admin: Drivers* list, read from its CSV export.

Rows come in the order of the file, one by one: the file is never held in memory.
Where two rows are about the same driver, both come; the later one counts.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from adapters.portal.content import SAVE_AS, content_problem, encoding_of
from adapters.portal.header import Header, to_header
from adapters.portal.records import Record, Records
from adapters.portal.rows import ExportRow, RefusedRow, to_rows

__all__ = ["Export", "ExportRow", "RefusedRow", "UnreadableExport", "read_export"]

_DELIMITERS = ",;\t|"
_FIRST = 20
"""Records in which the header is looked for."""


class UnreadableExport(Exception):
    """The file is no export that could be read; the message says on one line what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Export(Iterator[ExportRow | RefusedRow]):
    """The rows of one export, good and refused, to be gone through once.

    `total_bytes` is the size of the file; each row tells how much of it was read by then.
    `header` tells what it can say: of a field that has no column, no row says anything.
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

    Commas, semicolons, tabs and bars are told by the header, which stands in one of the first lines.
    Raises `UnreadableExport` before the first row if the file is no export.
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
        return "it is no ordinary file: save the export to a file first"
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
    found = (header for delimiter in _DELIMITERS for header in _headers_by(path, encoding, delimiter))
    return max(found, key=lambda header: len(header.places), default=to_header((), delimiter=","))


def _headers_by(path: Path, encoding: str, delimiter: str) -> Iterator[Header]:
    with path.open(encoding=encoding, newline="") as text:
        for record in islice(Records(text, delimiter=delimiter), _FIRST):
            if isinstance(record, Record):
                yield to_header(record.cells, delimiter=delimiter, line=record.line)


def _rows(path: Path, header: Header, encoding: str) -> Iterator[ExportRow | RefusedRow]:
    try:
        with path.open(encoding=encoding, newline="") as text:
            records = Records(text, delimiter=header.delimiter)
            for record in records:
                if record.line >= header.line:
                    break
            records.expect(header.width)
            yield from to_rows(records, header)
    except OSError as error:
        raise UnreadableExport(path, _access_problem(error)) from error
    except UnicodeError as error:
        raise UnreadableExport(path, f"it was changed while it was read: {SAVE_AS}") from error
