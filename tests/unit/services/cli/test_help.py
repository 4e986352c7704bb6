"""What `driverlink` says of itself: overview, help of each command, version, completion."""

import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from domain.failures import ClearFailure
from services.api import PREFIX
from services.api.dead_letters import LetterName
from services.api.version import version_line
from services.cli import dead_letters
from services.cli.app import _COMMANDS, LazyGroup, app
from tests.support.commanding import command

CLEAR = {
    "domain.store:StoreFailed",
    "services.api.dead_letters:BadName",
    "services.capsules.capsule:CapsuleUnusable",
    "services.cli.client:CommandRefused",
    "services.cli.client:ContextsUnusable",
    "services.sandbox.story:NoCast",
    "services.sandbox.demo:NotADemo",
    "services.sandbox.demo:SandboxEnded",
    "services.sandbox.serving:NotAnAddress",
    "services.sandbox.serving:PortBusy",
    "services.sandbox.state:SeedRefused",
    "services.wiring.data_folder:FolderUnusable",
    "adapters.portal.csv_export:UnreadableExport",
    "services.wiring.settings:WrongSettings",
}
GROUP = get_command(app)
NAMES = [name for entries in _COMMANDS.values() for name in entries]


def loaded(name: str) -> Any:  # noqa: ANN401 - the library's own click
    assert isinstance(GROUP, LazyGroup)
    return GROUP.load(name)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    for name in NAMES:
        yield from below(name, loaded(name))


def below(words: str, found: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - the library's own click
    """A command, or every one below a group."""
    for name, each in getattr(found, "commands", {}).items():
        yield from below(f"{words} {name}", each)
    if not getattr(found, "commands", None):
        yield words, found


@pytest.mark.parametrize("name", NAMES)
def test_the_overview_has_the_first_line_of_each_commands_help(name: str) -> None:
    line = next(entries[name][1] for entries in _COMMANDS.values() if name in entries)
    assert loaded(name).help.split("\n\n")[0] == line


def test_every_command_has_examples_of_itself() -> None:
    for words, each in commands():
        _, _, examples = each.help.partition("\n\nExamples:\n")
        assert examples, words
        assert all(line.strip().startswith(f"driverlink {words}") for line in examples.splitlines()), words


def test_help_has_no_types_of_python() -> None:
    """What an option takes is said in words, and of a flag nothing."""
    for words, each in commands():
        shown = {kind: param for param in each.params if (kind := param.display_type_rich(None))}
        assert not shown.keys() & {"<str>", "<int>", "<float>", "<bool>", "<int range>"}, words
        assert not [kind for kind in shown if "[" in kind], words


def test_every_module_is_loaded_only_when_it_is_used() -> None:
    program = "import sys; from services.cli.app import app; app(['-h'], standalone_mode=False); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    heavy = {"httpx", "pydantic", "starlette", "structlog", "aiokafka", "psycopg", "services.cli.client"}
    assert heavy & set(shown.rsplit("\n", 2)[-2].split()) == set()


def test_a_command_converts_its_options_without_pydantic() -> None:
    program = (
        "import sys; from services.cli.app import app\n"
        "try: app(['status', 'acme', '-o', 'csv', '--watch', '--data', '/nowhere'], standalone_mode=False)\n"
        "except Exception as failure: print(type(failure).__name__, *sys.modules)"
    )
    # Settings are checked by pydantic, where there are any.
    unset = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    words = [sys.executable, "-c", program]
    shown = subprocess.run(words, env=unset, capture_output=True, text=True, check=True).stdout.split()
    assert (shown[0], {"pydantic", "rich.prompt", "yaml"} & set(shown)) == ("CommandRefused", set())


def test_only_what_serves_the_api_loads_it() -> None:
    program = "import sys; from services.cli import maintenance, serve; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert {"fastapi", "services.api.app"} & set(shown.split()) == set()


@pytest.mark.parametrize("words", [("reconcile",), ("drivers", "import"), ("dead-letters",)], ids=" ".join)
def test_the_short_option_shows_help_of_every_command(words: tuple[str, ...]) -> None:
    ended = command({}, *words, "-h")
    assert (ended.status, ended.err, "Usage: driverlink" in ended.out) == (0, "", True)


@pytest.mark.parametrize("name", sorted(CLEAR))
def test_every_failure_with_a_clear_line_is_there(name: str) -> None:
    assert issubclass(pkgutil.resolve_name(name), ClearFailure)


def test_the_version_has_the_commit_that_was_written_at_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "commit.txt"
    written.write_text("0123456789ab\n", "ascii")
    monkeypatch.setattr("services.api.version._WRITTEN", written)
    assert version_line() == "driverlink 0.1.0 (commit 0123456789ab)"
    assert command({}, "--version").out == f"{version_line()}\n"


def test_the_commit_is_unknown_where_neither_a_build_nor_git_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.version._CHECKOUT", tmp_path)
    assert version_line().endswith("(commit unknown)")


def test_bash_completes_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        variables = {"_DRIVERLINK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "1"}
        count = str(len(words.split()) - 1)
        return command({**variables, "COMP_CWORD": count}).out.split()

    assert completed("driverlink recon") == ["reconcile", "reconciliations"]
    assert "--target" in completed("driverlink reconcile --t")


def test_the_dead_letters_of_the_examples_have_names_that_can_be_read() -> None:
    source = inspect.getsource(dead_letters)
    names = re.findall(r"dead-letters (?:show|resubmit|discard) (\S+/\S+)", source)
    assert names
    assert [str(LetterName.parse(name)) for name in names] == names
