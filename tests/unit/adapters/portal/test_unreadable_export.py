"""What is not an export at all is said in one line, before any row is used."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.portal.csv_export import ExportRow, RefusedRow, UnreadableExport, read_export

SAVE_AS = "open it in Excel, save it as 'CSV UTF-8' and use that file"
AGAIN = "export the list again from Admin: Drivers"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty: export the list of drivers again"),
        (b"\xef\xbb\xbf\r\n  \n", "it is empty: export the list of drivers again"),
        (b"PK\x03\x04rest", f"it is an Excel workbook: {SAVE_AS}"),
        (b"\xd0\xcf\x11\xe0rest", f"it is an old Excel workbook: {SAVE_AS}"),
        ("Reference ID".encode("utf-16"), f"it has no column First Name: {AGAIN}"),
        ("Reference ID".encode("utf-32"), f"it is UTF-32 text: {SAVE_AS}"),
        ("Reference ID".encode("utf-16")[:-1], f"line 1 is not UTF-16: {SAVE_AS}"),
        ("Reference ID\n".encode("utf-16-le"), "it is not text: give the CSV file that the Portal exports"),
        (b"\x7fELF\0\0\0", "it is not text: give the CSV file that the Portal exports"),
        ("Reference ID,First Name,Last Name\n7,Zoë,Lee\n".encode("latin-1"), f"line 2 is not UTF-8: {SAVE_AS}"),
        (b"Reference ID,First Name,Last Name\n7,Zo\xc3", f"line 2 is not UTF-8: {SAVE_AS}"),
        (b"7,Ann,Lee\n", f"it has no header row with the names of the columns: {AGAIN}"),
        (b'"Reference ID,First Name\n', f"it has no header row with the names of the columns: {AGAIN}"),
        (b"Reference ID,Last Name\n", f"it has no column First Name: {AGAIN}"),
        (b"Reference ID,First Name\n", f"it has no column Last Name: {AGAIN}"),
        (b"Driveri DriverID,First Name,Last Name\n", f"it has no column Driver ID or Reference ID: {AGAIN}"),
        (
            b"Reference ID,First Name,Last Name,FIRST name\n",
            "columns 2 and 4 of its header say the same: keep one of them",
        ),
        (
            b"Reference ID,First Name,Last Name,Licence Number,License Number\n",
            "columns 4 and 5 of its header say the same: keep one of them",
        ),
        (b"sep=;\nReference ID;First Name\n", f"it has no column Last Name: {AGAIN}"),
    ],
)
def test_a_file_that_is_not_an_export_says_what_to_do(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "drivers.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableExport) as raised:
        read_export(path)
    assert str(raised.value) == f"{path}: {problem}"


def test_an_encoding_that_breaks_far_below_is_reported_before_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "drivers.csv"
    path.write_bytes(b"Reference ID,First Name,Last Name\n" + b"7,Ann,Lee\n" * 20_000 + b"8,Zo\xeb,Lee\n")
    with pytest.raises(UnreadableExport, match="line 20002 is not UTF-8"):
        read_export(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableExport, match=r"there is no such file: check the path$"):
        read_export(tmp_path / "drivers.csv")


def test_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableExport, match=r"it is a folder: name the CSV file in it$"):
        read_export(tmp_path)


def test_a_path_below_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "drivers.csv").touch()
    with pytest.raises(UnreadableExport, match="it cannot be read"):
        read_export(tmp_path / "drivers.csv" / "more.csv")


def test_a_pipe_says_so_and_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableExport, match="it is not an ordinary file"):
        read_export(tmp_path / "pipe")


def test_a_file_replaced_under_the_reader_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "drivers.csv"
    path.write_text("Reference ID,First Name,Last Name\n7,Ann,Lee\n", encoding="utf-8")
    export = read_export(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(UnreadableExport, match="it was changed while it was read"):
        list(export)


def test_a_file_removed_under_the_reader_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "drivers.csv"
    path.write_text("Reference ID,First Name,Last Name\n7,Ann,Lee\n", encoding="utf-8")
    export = read_export(path)
    path.unlink()
    with pytest.raises(UnreadableExport, match="there is no such file"):
        list(export)


def test_a_header_alone_is_an_export_of_no_driver(tmp_path: Path) -> None:
    path = tmp_path / "drivers.csv"
    path.write_text("Reference ID,First Name,Last Name\n", encoding="utf-8")
    assert list(read_export(path)) == []


STEADY = settings(deadline=None, derandomize=True)
BROKEN_CSV = st.text(st.sampled_from('"",;\t\n\r\0 aé7@')).map(
    lambda text: ("Driver ID,First Name,Last Name\n" + text).encode()
)


@given(content=st.binary() | BROKEN_CSV)
@STEADY
def test_random_bytes_give_rows_or_one_typed_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("export") / "drivers.csv"
    path.write_bytes(content)
    match _outcome(path):
        case UnreadableExport() as error:
            assert len(str(error).splitlines()) == 1
        case rows:
            assert all(isinstance(row, ExportRow | RefusedRow) for row in rows)


def _outcome(path: Path) -> list[ExportRow | RefusedRow] | UnreadableExport:
    try:
        return list(read_export(path))
    except UnreadableExport as error:
        return error


@given(text=st.text(st.sampled_from('"ab,\n\r')))
@STEADY
def test_lines_are_counted_on_whatever_is_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("export") / "drivers.csv"
    path.write_bytes(b"Driver ID,First Name,Last Name\n" + text.encode() + b"\n1,Last,Row\n")
    lines = [row.line for row in read_export(path)]
    assert lines == sorted(set(lines))
