"""What a row of the Portal's CSV export says."""

from pathlib import Path
from typing import TypeGuard

import pytest

from adapters.portal.csv_export import ExportRow, RefusedRow, read_export
from domain.identity import PortalDriverId
from domain.profile import StatedProfile
from tests.support.stated import said

HEADER = "Driver ID,Reference ID,Driveri DriverID,First Name,Last Name,Time Zone,Phone,Email,Vehicle\n"

Rows = list[ExportRow | RefusedRow]


class RowsOf:
    """Reads a text as if it were the file of an export."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, text: str, *, encoding: str = "utf-8") -> Rows:
        self._path.write_bytes(text.encode(encoding))
        return list(read_export(self._path))


@pytest.fixture
def rows_of(tmp_path: Path) -> RowsOf:
    return RowsOf(tmp_path / "drivers.csv")


def test_a_row_says_something_of_each_field_that_has_a_column(rows_of: RowsOf) -> None:
    rows = rows_of(HEADER + "17,0042, drv-7 ,Zoë,O'Brien,,303-555-0142,zoe@fleet.example,Truck 3\n")
    profile = {
        "first_name": "Zoë",
        "last_name": "O'Brien",
        "ref_id": "0042",
        "driveri_driver_id": "drv-7",
        "email": "zoe@fleet.example",
        "phone": "303-555-0142",
        "time_zone": "",
    }
    assert rows == [ExportRow(line=2, driver=PortalDriverId("17"), profile=StatedProfile(fields=profile))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_header_may_come_in_any_order_case_and_spacing_with_any_delimiter(rows_of: RowsOf, delimiter: str) -> None:
    lines = [[" LAST  NAME ", "Notes", "first name", "REFERENCE id", ""], ["Lee", "a, b; c", "Ann", "7", ""]]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    profile = said(first_name="Ann", last_name="Lee", ref_id="7")
    assert rows_of(text) == [ExportRow(line=2, driver=None, profile=profile)]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_and_blank_lines_change_nothing(rows_of: RowsOf, ends: str) -> None:
    text = ends.join(["", "Reference ID,First Name,Last Name", "", "7,Ann,Lee", ",,", ",,,,,", "8,Bo,Ray"])
    lines = [(row.line, row.profile.text("ref_id")) for row in rows_of(text, encoding="utf-8-sig") if _is_good(row)]
    assert lines == [(4, "7"), (7, "8")]


def test_licences_are_read_in_either_spelling(rows_of: RowsOf) -> None:
    text = "Reference ID,First Name,Last Name,License Number,Licence State,Licence Country\n7,Ann,Lee,X-1,CO,US\n"
    profile = {"licence_number": "X-1", "licence_state": "CO", "licence_country": "US"}
    [row] = rows_of(text)
    assert isinstance(row, ExportRow)
    assert profile.items() <= row.profile.fields.items()


def test_line_breaks_in_a_column_that_is_passed_over_do_not_end_rows(rows_of: RowsOf) -> None:
    rows = rows_of('"Reference\nID",First Name,Last Name,Notes\n7,Ann,Lee,"two\nlines, ""quoted"""\n8,Bo,Ray,\n')
    assert [row.line for row in rows] == [3, 5]


def test_doubled_rows_all_come_in_the_order_of_the_file(rows_of: RowsOf) -> None:
    rows = rows_of("Reference ID,First Name,Last Name\n7,Ann,Lee\n8,Bo,Ray\n7,Anna,Lee\n")
    assert [row.profile.text("first_name") for row in rows if _is_good(row)] == ["Ann", "Bo", "Anna"]


def test_an_unknown_time_zone_costs_the_cell_and_not_the_row(rows_of: RowsOf) -> None:
    rows = rows_of("Reference ID,First Name,Last Name,TIME zone\n7,Ann,Lee,Middle Earth\n")
    profile = said(first_name="Ann", last_name="Lee", ref_id="7")
    notes = ("TIME zone is not a time zone that we know; left as it is known",)
    assert rows == [ExportRow(line=2, driver=None, profile=profile, notes=notes)]


def test_a_phone_that_excel_shortened_costs_the_cell_and_not_the_row(rows_of: RowsOf) -> None:
    rows = rows_of("Reference ID,First Name,Last Name,Phone\n7,Ann,Lee,3.04E+09\n")
    notes = ("Phone was shortened by Excel; left as it is known",)
    profile = said(first_name="Ann", last_name="Lee", ref_id="7")
    assert rows == [ExportRow(line=2, driver=None, profile=profile, notes=notes)]


SHORTENED = "was shortened by Excel, as in 4.55E+06; format the column as text and export again"


@pytest.mark.parametrize(
    ("cells", "refusal"),
    [
        ("17,7,D1,,Lee,,,,", ("First Name", "is blank", "17", "7")),
        ("17,7,D1,Ann,  ,,,,", ("Last Name", "is blank", "17", "7")),
        (",,D1,Ann,Lee,,,,", (None, "has neither a Driver ID nor a Reference ID", None, None)),
        ("4.55E+06,7,D1,Ann,Lee,,,,", ("Driver ID", SHORTENED, None, "7")),
        ("17,1E+10,D1,Ann,Lee,,,,", ("Reference ID", SHORTENED, "17", None)),
        ('17,7,"4,55e+06",Ann,Lee,,,,', ("Driveri DriverID", SHORTENED, "17", "7")),
        ("17,7,D1,Ann,Lee,,,ann at fleet,", ("Email", "is not an e-mail address", "17", "7")),
        ("17,7,D1,An\x07n,Lee,,,,", ("First Name", "holds a control character", "17", "7")),
        ("17,7,D1,An\0n,Lee,,,,", ("First Name", "holds a control character", "17", "7")),
        (f"17,7,D1,Ann,{'e' * 201},,,,", ("Last Name", "is longer than 200 characters", "17", "7")),
        (
            '17,7,D1,"Ann\nBo",Lee,,,,',
            ("First Name", "holds a line break; look for a quote that is never closed", "17", "7"),
        ),
        ("17,7,D1,Ann,Lee,,,", (None, "8 cells where the header has 9", None, None)),
        ("17,7,D1,Ann,Lee,,,,,x", (None, "10 cells where the header has 9", None, None)),
    ],
)
def test_a_wrong_row_is_refused_by_name_and_its_neighbours_are_read(
    rows_of: RowsOf, cells: str, refusal: tuple[str | None, str, str | None, str | None]
) -> None:
    good = "99,9,D9,Cy,Orr,,,,\n"
    before, refused, after = rows_of(HEADER + good + cells + "\n" + good)
    assert isinstance(refused, RefusedRow)
    assert (refused.column, refused.reason, refused.driver, refused.ref_id) == refusal
    assert refused.line == 3
    assert _is_good(before)
    assert _is_good(after)


@pytest.mark.parametrize("ref_id", ["455E06", "E+06", "4.55", "7E-12", "0004550000", "1E10"])
def test_an_id_that_only_resembles_a_shortened_one_is_kept(rows_of: RowsOf, ref_id: str) -> None:
    [row] = rows_of(f"Reference ID,First Name,Last Name\n{ref_id},Ann,Lee\n")
    assert isinstance(row, ExportRow)
    assert row.profile.text("ref_id") == ref_id


def test_a_refusal_names_the_column_as_the_file_spells_it(rows_of: RowsOf) -> None:
    [row] = rows_of("reference  id,FIRST NAME,Last Name\n7,,Lee\n")
    assert isinstance(row, RefusedRow)
    assert row.column == "FIRST NAME"


@pytest.mark.parametrize("opening", ['"Ann', '"Ann" Lee', '"An"n'])
def test_a_broken_quote_costs_its_own_row_only(rows_of: RowsOf, opening: str) -> None:
    good = [f"{number},Bo,Ray" for number in range(3_000)]
    rows = rows_of("\n".join(["Reference ID,First Name,Last Name", f"7,{opening},Lee", *good]))
    assert isinstance(rows[0], RefusedRow)
    assert (rows[0].line, rows[0].column) == (2, None)
    assert [row.line for row in rows[1:] if _is_good(row)] == list(range(3, 3_003))


def test_a_broken_quote_on_the_last_line_is_reported(rows_of: RowsOf) -> None:
    rows = rows_of('Reference ID,First Name,Last Name\n7,Ann,Lee\n8,Bo,"Ray\n')
    assert [type(row) for row in rows] == [ExportRow, RefusedRow]
    assert rows[1].line == 3


def test_an_endless_line_costs_itself_only(rows_of: RowsOf) -> None:
    rows = rows_of(f"Reference ID,First Name,Last Name\n7,Ann,{'x' * 100_000}\n8,Bo,Ray\n")
    assert [type(row) for row in rows] == [RefusedRow, ExportRow]
    assert [row.line for row in rows] == [2, 3]


def test_progress_grows_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "drivers.csv"
    path.write_text("Reference ID,First Name,Last Name\n" + "7,Zoë,Lee\n" * 5_000, encoding="utf-8")
    export = read_export(path)
    progress = [export.bytes_read for _ in export]
    assert progress == sorted(progress)
    assert progress[0] < export.total_bytes
    assert progress[-1] == export.total_bytes == path.stat().st_size


def _is_good(row: ExportRow | RefusedRow) -> TypeGuard[ExportRow]:
    return isinstance(row, ExportRow)


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("", 1),
        ("sep=;\n", 2),
        ('"sep=;"\r\n', 2),
        ("Drivers of Acme Freight\n\nprinted on 29 November;by maria\n", 4),
        ('"Drivers, as of\ntoday"\n', 3),
        ('"an open quote;\n', 2),
        ("\n\n", 3),
    ],
)
def test_a_header_is_found_below_what_people_write_before_it(
    rows_of: RowsOf, tmp_path: Path, before: str, line: int
) -> None:
    [row] = rows_of(before + "Reference ID;First Name;Last Name\n7;Ann;Lee\n")
    assert row == ExportRow(line=line + 1, driver=None, profile=said(ref_id="7", first_name="Ann", last_name="Lee"))
    assert read_export(tmp_path / "drivers.csv").header.line == line


def test_repeated_columns_that_mean_no_field_are_passed_over(rows_of: RowsOf) -> None:
    [row] = rows_of("Notes,Reference ID,First Name,Last Name,Notes,Notes\na,7,Ann,Lee,b,c\n")
    assert row == ExportRow(line=2, driver=None, profile=said(ref_id="7", first_name="Ann", last_name="Lee"))


@pytest.mark.parametrize(
    "names",
    [
        "\ufeffReference ID,First\u00a0Name,Last\u200b Name,Driveri DriverID",
        "reference_id,first-name,LAST__NAME,driveri_driver_id",
        "ReferenceID,FirstName,LastName,Driveri Driver ID",
        "  Reference   ID ,First \t Name,\u202aLast Name\u202c,DRIVERI\u2011DRIVERID",
    ],
)
def test_the_names_of_columns_are_cleaned_before_they_are_compared(rows_of: RowsOf, names: str) -> None:
    [row] = rows_of(names + "\n7,Ann,Lee,D1\n")
    assert isinstance(row, ExportRow)
    assert row.profile == said(ref_id="7", first_name="Ann", last_name="Lee", driveri_driver_id="D1")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_text_with_a_byte_order_mark_is_read_in_its_encoding(rows_of: RowsOf, encoding: str, delimiter: str) -> None:
    text = "\r\n".join(["Reference ID,First Name,Last Name", "7,Zoë,O'Brien", ""]).replace(",", delimiter)
    assert rows_of(text, encoding=encoding) == [
        ExportRow(line=2, driver=None, profile=said(ref_id="7", first_name="Zoë", last_name="O'Brien"))
    ]


def test_empty_columns_at_the_end_are_not_columns(rows_of: RowsOf) -> None:
    rows = rows_of("Reference ID,First Name,Last Name,,\n7,Ann,Lee,,\n8,Bo,Ray\n9,Cy,Orr,,,,\n10,Di,Poe,,x\n")
    assert [row.line for row in rows if _is_good(row)] == [2, 3, 4]
    assert rows[3] == RefusedRow(line=5, column=None, reason="5 cells where the header has 3")


def test_a_header_says_what_it_passes_over_and_what_it_lacks(rows_of: RowsOf, tmp_path: Path) -> None:
    rows_of("Reference ID,First Name,Last Name,Vehicle,,Notes,Email\n")
    header = read_export(tmp_path / "drivers.csv").header
    assert header.ignored == ("Vehicle", "Notes")
    assert header.missing[:2] == ("Driver ID", "Driveri DriverID")
    assert not {"Reference ID", "First Name", "Last Name", "Email"} & set(header.missing)


def test_a_header_among_the_rows_is_not_a_driver(rows_of: RowsOf) -> None:
    header = "Driver ID,Driveri DriverID,First Name,Last Name\n"
    rows = rows_of(f"{header}1,D1,Ada,Lane\n{header}2,D2,Bo,Park\n")
    assert [(row.line, row.driver) for row in rows] == [(2, "1"), (3, None), (4, "2")]
    assert isinstance(rows[1], RefusedRow)
    assert rows[1].reason == "is the header once more; take this line out"


def test_no_row_is_read_below_a_header_of_another_order(rows_of: RowsOf) -> None:
    header, other = "Driver ID,Reference ID,First Name,Last Name\n", "Reference ID,Driver ID,Last Name,First Name\n"
    rows = rows_of(f"{header}1,R1,Ada,Lane\n{other}R2,2,Park,Bo\n{header}3,R3,Cy,Dale\n")
    assert [row.line for row in rows if isinstance(row, ExportRow)] == [2, 6]
    assert [row.reason for row in rows if isinstance(row, RefusedRow)] == [
        "is the header once more; take this line out",
        "stands below another header, on line 3; give each export a file of its own",
        "is the header once more; take this line out",
    ]


def test_people_may_be_named_like_a_column(rows_of: RowsOf) -> None:
    (row,) = rows_of("Driver ID,First Name,Last Name\n1,Country,Lane\n")
    assert isinstance(row, ExportRow)
