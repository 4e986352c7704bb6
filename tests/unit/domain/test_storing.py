"""A unit is what one transaction stores, and rows are read in pages."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from adapters.store.sqlite import SqliteStore
from domain.driver_link import DeleteRecalled
from domain.store import FILLED, Event, EventTooLong, Position, Record, Resubmission, Row, Unit, pages
from tests.support.scenario import DRIVERI


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat(Row):
    """Who sits where."""

    TABLE: ClassVar[str] = "seats"
    KEY: ClassVar[tuple[str, ...]] = ("number",)

    number: int
    name: str


ANN, BEN, CAT = (Seat(number=number, name=name) for number, name in [(1, "ann"), (1, "ben"), (2, "cat")])


def test_a_row_takes_the_place_of_one_with_the_same_key() -> None:
    unit = Unit()
    unit.keep([ANN, CAT, BEN])
    assert list(unit.rows.values()) == [BEN, CAT]


def test_a_unit_takes_over_another_apart_from_its_positions() -> None:
    event = DRIVERI.fact(DeleteRecalled)
    unit, other = Unit(), Unit(events=[event], positions=[Position(name="a/b/0", at=7)])
    unit.keep([ANN])
    other.keep([BEN])
    other.remove(Seat, {"number": [2]})
    unit.add(other)
    assert (unit.events, list(unit.rows.values()), unit.positions) == ([event], [BEN], [])
    assert unit.removed == [(Seat, {"number": [2]})]


def test_an_event_that_is_too_long_says_of_what_kind_and_how_long_it_is() -> None:
    assert str(EventTooLong("DriverLink.Parked", 1_000_000)).startswith("DriverLink.Parked of 1000000 bytes is longer")


def test_every_value_but_the_empty_ones_counts_as_filled_and_they_cannot_be_counted_up() -> None:
    assert [value for value in ("", "ann", 0, 1, False, True) if value in FILLED] == ["ann", 1, True]
    with pytest.raises(TypeError, match="counted up"):
        iter(FILLED)
    with pytest.raises(TypeError, match="counted up"):
        len(FILLED)


def test_a_record_is_decoded_once_and_only_when_somebody_asks() -> None:
    event, asked = DRIVERI.fact(DeleteRecalled), list[int]()

    def decode() -> tuple[Event | None, str]:
        asked.append(1)
        return event, ""

    record = Record(position=1, log_position=1, id="", topic="", body=b"", decode=decode)
    assert not asked
    assert (record.event, record.reason, record.event, len(asked)) == (event, "", event, 1)


@pytest.mark.parametrize("limit", [1, 2, 3, None])
def test_pages_have_each_row_once_in_order_from_behind_a_value(tmp_path: Path, limit: int | None) -> None:
    with closing(SqliteStore(tmp_path / "rows.sqlite", log_name="x.v1", rows=[])) as store:
        mended = Resubmission(stream="1/x.v1/0", position=1, log_position=1, id="", topic="", body="")
        rows = [replace(mended, position=number) for number in range(1, 5)]
        unit = Unit()
        unit.keep([*rows, replace(mended, stream="1/x.v1/1", position=5)])
        store.commit(unit)
        found = [*pages(store, Resubmission, {"stream": "1/x.v1/0"}, "position", after=1, limit=limit)]
    assert [row for page in found for row in page] == rows[1:]
    assert max(map(len, found)) == (limit or 3)
