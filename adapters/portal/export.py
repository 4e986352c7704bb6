"""The Portal's *Admin: Drivers* list, read from its CSV export.

Rows come in the order of the file, one by one: the file is never held in memory.
Where two rows are about the same driver, both come; the later one counts.
"""

from collections.abc import Iterator
from pathlib import Path

from adapters.portal.content import SAVE_AS, content_problem
from adapters.portal.header import Header, to_header
from adapters.portal.records import Record, Records
from adapters.portal.rows import ExportRow, RefusedRow, to_row

__all__ = ["Export", "ExportRow", "RefusedRow", "UnreadableExport", "read_export"]

_DELIMITERS = ",;\t"


class UnreadableExport(Exception):
    """The file is no export that could be read; the message says on one line what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Export(Iterator[ExportRow | RefusedRow]):
    """The rows of one export, good and refused, to be gone through once.

    `total_bytes` is the size of the file; each row tells how much of it was read by then.
    Raises `UnreadableExport` on the way if the file changes under the reader.
    """

    def __init__(self, path: Path, header: Header, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self._rows = _rows(path, header)

    def __next__(self) -> ExportRow | RefusedRow:
        return next(self._rows)


def read_export(path: Path) -> Export:
    """The export in this file, after a look at its header and at the encoding of the whole.

    Commas, semicolons and tabs are told by the header.
    Raises `UnreadableExport` before the first row if the file is no export.
    """
    try:
        _check(path, _file_problem(path))
        header = _header(path)
        _check(path, header.problem())
        return Export(path, header, path.stat().st_size)
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


def _header(path: Path) -> Header:
    """The header read with the delimiter by which most of its columns make sense."""
    return max((_header_by(path, delimiter) for delimiter in _DELIMITERS), key=lambda header: len(header.places))


def _header_by(path: Path, delimiter: str) -> Header:
    with path.open(encoding="utf-8-sig", newline="") as text:
        first = next(Records(text, delimiter=delimiter), None)
    return to_header(first.cells if isinstance(first, Record) else (), delimiter=delimiter)


def _rows(path: Path, header: Header) -> Iterator[ExportRow | RefusedRow]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            records = Records(text, delimiter=header.delimiter, width=header.width)
            next(records, None)
            for record in records:
                yield to_row(record, header)
    except OSError as error:
        raise UnreadableExport(path, _access_problem(error)) from error
    except UnicodeDecodeError as error:
        raise UnreadableExport(path, f"it was changed while it was read: {SAVE_AS}") from error
