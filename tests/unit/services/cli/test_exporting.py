"""`driverlink events export`: what is in the file, when there is one, and what is personal in it."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from arro3.io import read_parquet

from services.cli import exports
from services.cli.client import CommandRefused
from services.cli.exports import COLUMNS
from tests.support.commanding import command
from tests.support.served_folder import ServedFolder

Json = dict[str, Any]


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def listed(looking: ServedFolder, *arguments: str) -> list[Json]:
    return [json.loads(line) for line in looking("events", *arguments, "--json").out.splitlines()]


def without_cursor(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "cursor"}


def test_a_file_has_every_event_as_the_log_shows_it(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    ended = looking("events", "export", "--output", str(path))
    expected = [without_cursor(each) for each in listed(looking)]
    assert lines(path) == expected != []
    assert any("profile" in each["data"] for each in expected)
    assert f"exported {len(expected)} events to {path}" in ended.err
    assert path.stat().st_mode & 0o077 == 0
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    "filters",
    [
        ("--account", "acme"),
        ("--log", "decisions"),
        ("--target", "motive"),
        ("--account", "acme", "--log", "outcomes-driveri"),
        ("--since", "2026-01-05", "--until", "2026-01-06"),
        ("--since", "2026-01-06"),
    ],
)
def test_filters_are_those_of_the_list(looking: ServedFolder, filters: Sequence[str]) -> None:
    found = [json.loads(line) for line in looking("events", "export", *filters).out.splitlines()]
    assert found == [without_cursor(each) for each in listed(looking, *filters)]


def test_without_personal_data_nothing_else_is_missing(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    looking("events", "export", "--without-personal-data", "--output", str(path))
    personal = {"profile", "former", "by", "authenticated", "note", "master_user", "account_manager"}
    whole = [without_cursor(each) for each in listed(looking)]
    expected = [
        {**each, "data": {name: value for name, value in each["data"].items() if name not in personal}}
        for each in whole
    ]
    assert lines(path) == expected != whole
    text = path.read_text("utf-8")
    for said in ("Jane", "fleet.test", "maria"):
        assert said not in text, said


def test_columns_are_read_back(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    assert looking("events", "export", "--format", "parquet", "--output", str(path)).status == 0
    table = read_parquet(path).read_all()
    assert table.column_names == [*COLUMNS]
    columns = {name: table.column(name).to_pylist() for name in COLUMNS}
    whole = listed(looking)
    assert columns["position"] == [each["position"] for each in whole]
    assert [at.isoformat() for at in columns["at"]] == [each["at"].replace("Z", "+00:00") for each in whole]
    for name in ("log", "type", "account"):
        assert columns[name] == [each[name] for each in whole]
    assert columns["driver"] == [each["driver"] or None for each in whole]
    assert [json.loads(data) for data in columns["data"]] == [each["data"] for each in whole]
    for name in ("reason", "outcome"):
        assert columns[name] == [each["data"].get(name) for each in whole]
    rationales = [each["data"].get("rationale", {}) for each in whole]
    assert columns["trigger"] == [each.get("trigger") for each in rationales]
    assert columns["ref"] == [each.get("ref") for each in rationales]
    assert any(columns["trigger"])


def test_columns_without_personal_data_have_none(looking: ServedFolder, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    looking("events", "export", "--without-personal-data", "--format", "parquet", "--output", str(path))
    data = [json.loads(each) for each in read_parquet(path).read_all().column("data").to_pylist()]
    assert data
    assert not any({"profile", "by", "note"} & each.keys() for each in data)


def test_the_next_export_has_only_what_came_since(driverlink: ServedFolder, tmp_path: Path) -> None:
    first = driverlink("events", "export", "--output", str(tmp_path / "first.jsonl"))
    cursor = first.err.split("--after ")[-1].strip()
    again = driverlink("events", "export", "--after", cursor, "--output", str(tmp_path / "again.jsonl"))
    assert (again.status, lines(tmp_path / "again.jsonl")) == (0, [])
    assert driverlink("accounts", "mode", "acme", "motive", "observe").status == 0
    driverlink("events", "export", "--after", cursor, "--output", str(tmp_path / "again.jsonl"))
    assert [each["type"] for each in lines(tmp_path / "again.jsonl")] == ["ModeSet"]


GUIDE = (Path(__file__).parents[4] / "docs/how-to/questions.md").read_text("utf-8")


def test_the_examples_of_the_guide_write_their_files(
    looking: ServedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, *others = re.findall(r"^driverlink (events export .*)$", GUIDE, re.MULTILINE)
    cursor = looking(*first.split()).err.split("--after ")[-1].strip()
    assert len(others) == 3
    for each in others:
        assert looking(*each.replace("CURSOR", cursor).split()).status == 0, each
    assert {path.name for path in tmp_path.iterdir()} == {
        "events.jsonl",
        "decisions.jsonl",
        "events.parquet",
        "more.jsonl",
    }


def test_the_guide_has_every_column() -> None:
    assert [name for name in COLUMNS if f"`{name}`" not in GUIDE] == []


class Cut:
    """Services whose answer breaks off once behind each page, and for good behind the last attempt."""

    def __init__(self, pages: Sequence[Sequence[Json]], *, breaks: int) -> None:
        self.pages = pages
        self.breaks = breaks
        self.asked: list[str | None] = []

    def __call__(self, _: Path | None) -> Self:
        return self

    def lines(self, _method: str, _path: str, _body: None, *, cursor: str | None, **_: object) -> Iterator[Json]:
        self.asked.append(cursor)
        start = int(cursor or 0)
        for number, page in enumerate(self.pages[start:], start + 1):
            yield from ({"event": each} for each in page[:1])
            if self.breaks:
                self.breaks -= 1
                raise CommandRefused("the process that runs the services has ended meanwhile")
            yield from ({"event": each} for each in page[1:])
            yield {"progress": {"done": number, "total": len(self.pages), "cursor": str(number)}}


def event(position: int) -> Json:
    return {"log": "decisions", "position": position}


@pytest.fixture
def pages() -> list[list[Json]]:
    return [[event(1), event(2)], [event(3), event(4)], [event(5)]]


def reading(monkeypatch: pytest.MonkeyPatch, services: Callable[[Path | None], object]) -> exports._Pages:
    monkeypatch.setattr(exports, "reached", services)
    monkeypatch.setattr(exports, "sleep", lambda _: None)
    return exports._Pages(None, "/events/export", {}, None)


def test_an_export_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, pages: list[list[Json]]) -> None:
    services = Cut(pages, breaks=0)
    read = reading(monkeypatch, services)
    found: list[Json] = []
    for page in read:
        found += page
        services.breaks = 1 if len(found) == 2 else 0
    assert found == [each for page in pages for each in page]
    assert services.asked == [None, "1"]
    assert (read.events, read.cursor, read.done) == (5, "3", 3)


def test_a_refusal_at_the_beginning_is_final(monkeypatch: pytest.MonkeyPatch, pages: list[list[Json]]) -> None:
    services = Cut(pages, breaks=1)
    with pytest.raises(CommandRefused):
        [*reading(monkeypatch, services)]
    assert services.asked == [None]


def test_services_that_stay_away_leave_no_file(
    monkeypatch: pytest.MonkeyPatch, pages: list[list[Json]], tmp_path: Path
) -> None:
    services = Cut(pages, breaks=0)
    monkeypatch.setattr(exports, "_PATIENCE", 0.0)
    read, path = reading(monkeypatch, services), tmp_path / "events.jsonl"
    path.write_text("the former one")

    def shown() -> Iterator[Sequence[Json]]:
        for page in read:
            services.breaks = 99
            yield page

    with pytest.raises(CommandRefused), exports._opened(str(path)) as file:
        exports._write_jsonl(file, shown())
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_text() == "the former one"


def test_a_file_that_cannot_be_written_is_one_clear_line(looking: ServedFolder, tmp_path: Path) -> None:
    ended = looking("events", "export", "--output", str(tmp_path / "nowhere" / "events.jsonl"))
    assert ended.status == 1
    assert ended.err.splitlines()[-1].endswith("cannot be written: No such file or directory")


def test_without_the_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    ended = command({}, "events", "export", "--format", "parquet")
    assert (ended.status, "install driverlink[parquet]" in ended.err) == (1, True)
