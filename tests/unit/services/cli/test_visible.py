"""What strangers wrote does nothing to a terminal, and no encoding of an output ends a command."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from services.cli import printing
from services.cli.dead_letters import to_line
from services.cli.printing import VisibleConsole, print_json, print_note, print_table, progress_bar, visible
from tests.support.served_folder import ServedFolder

ESCAPES = "\x1b[2J\x1b]0;gone\x07\x9b31m\u202eevil\u200b\r\x00"
SHOWN = "\\x1b[2J\\x1b]0;gone\\x07\\x9b31m\\u202eevil\\u200b\\r\\x00"


def test_what_a_terminal_would_act_upon_is_shown_as_an_escape() -> None:
    assert visible(ESCAPES) == SHOWN
    assert visible("Zo\u00eb \u0141ukasz \u674e [x] \\") == "Zo\u00eb \u0141ukasz \u674e [x] \\"
    assert visible("\ud800") == "\\ud800"


def test_every_way_of_printing_for_people_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    printing.out.print(f"{ESCAPES}\nand more", markup=False)
    print_note(ESCAPES)
    print_table((ESCAPES, "b"), [(ESCAPES, "[red]")], title=ESCAPES)
    printed = capsys.readouterr()
    assert printed.out.count(SHOWN) >= 3
    assert "\x1b" not in printed.out
    assert printed.out.startswith(f"{SHOWN}\nand more\n")
    assert printed.err == f"{SHOWN}\n"
    assert "[red]" in printed.out


def test_a_progress_bar_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setattr(printing, "err", VisibleConsole(file=written, width=300))
    with progress_bar(is_quiet=False) as bar:
        bar.add_task(ESCAPES, note=f"[b]{ESCAPES}")
    assert "[b]\\x1b[2J\\x1b]0;gone" in written.getvalue()
    assert "\x1b" not in written.getvalue()


def test_a_dead_letter_shows_it() -> None:
    letter = {"since": "", "name": ESCAPES, "type": ESCAPES, "account": "", "reason": ESCAPES, "is_waiting": False}
    assert to_line(letter).count(SHOWN) == 3


def test_half_of_a_character_is_json_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "Zo\u00eb \ud800"})
    assert json.loads(capsys.readouterr().out) == {"name": "Zo\u00eb \ud800"}


_ALL = """
import json, sys
from services.cli.__main__ import main

statuses = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["driverlink", *words]
    try:
        main()
        statuses.append(0)
    except SystemExit as ended:
        statuses.append(ended.code)
print(json.dumps(statuses))
"""


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "ascii:strict", "cp1252", "utf-8"])
def test_no_encoding_of_the_output_ends_a_command(encoding: str, tmp_path: Path) -> None:
    user = "\u0141ukasz \U0001f600"
    commands = [
        ("accounts", "add", "acme", "--tier", "pro", "--master-user", user),
        ("accounts", "list"),
        ("accounts", "show", "acme"),
        ("events",),
        ("status",),
        ("--help",),
        ("explain", "acme", user),
        ("accounts", "list", "--json"),
    ]
    served = ServedFolder(tmp_path / "data")
    served.start()
    variables = {
        "PYTHONIOENCODING": encoding,
        "PYTHONUTF8": "0",
        "FORCE_COLOR": "1",
        "DRIVERLINK_DATA": str(served.path),
    }
    ended = subprocess.run(
        [sys.executable, "-c", _ALL, json.dumps(commands)],
        env={**os.environ, **variables},
        capture_output=True,
        check=True,
        timeout=60,
    )
    served.stop()
    *_, document, statuses = ended.stdout.decode(encoding.partition(":")[0]).splitlines()
    assert json.loads(statuses) == [1 if words[0] == "explain" else 0 for words in commands], ended.stderr
    assert b"Traceback" not in ended.stderr
    assert [each["master_user"] for each in json.loads(document)] == [user]
