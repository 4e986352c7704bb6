import json

import pytest
from rich.console import Console

from services.cli import printing
from services.cli.printing import moment, print_table, to_json

COLUMNS = ("account", "in sync", "taken elsewhere")
ROWS = [("acme", 7, None), ("north", 12, "[x]")]


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Somebody looks at a terminal of this many columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(printing, "out", Console(force_terminal=True))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_table_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, ROWS)
    assert lines(capsys) == [
        "account  in sync  taken elsewhere",
        "acme     7",
        "north    12       [x]",
    ]


def test_a_terminal_too_narrow_for_the_words_shows_each_row_as_a_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, 23)
    print_table(COLUMNS, ROWS)
    assert lines(capsys) == [
        "account          acme",
        "in sync          7",
        "taken elsewhere",
        "",
        "account          north",
        "in sync          12",
        "taken elsewhere  [x]",
        "",
    ]


def test_a_terminal_that_can_break_lines_between_words_shows_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch, 28)
    print_table(COLUMNS, ROWS)
    assert [line.split() for line in lines(capsys)] == [
        ["taken"],
        ["account", "in", "sync", "elsewhere"],
        ["acme", "7"],
        ["north", "12", "[x]"],
    ]


def test_a_moment_is_shown_to_the_second() -> None:
    assert moment("2026-11-22T11:57:51.706778+00:00") == "2026-11-22 11:57:51"


def test_no_moment_is_blank() -> None:
    assert moment(None) == ""


def test_a_title_may_begin_with_a_blank_line_and_shows_what_a_terminal_would_act_upon(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(COLUMNS, ROWS[:1], title="\nHeld\x1b[31m")
    assert lines(capsys)[:3] == ["", "Held\\x1b[31m", "account  in sync  taken elsewhere"]


@pytest.mark.parametrize("indent", [None, 1])
def test_json_has_an_escape_for_what_a_terminal_would_act_upon(indent: int | None) -> None:
    """A dead letter shows whatever was in its record."""
    shown = {"body": "\x9b31m \u202e \U000e0041 \x7f", "name": "Zo\u00eb \U0001f600"}
    text = to_json(shown, indent=indent)
    assert json.loads(text) == shown
    assert all(each.isprintable() for each in text.splitlines())
    assert "Zo\u00eb \U0001f600" in text
