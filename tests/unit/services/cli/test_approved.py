"""What commands print for people, as approved in `tests/golden/approved/commands/`."""

from collections.abc import Mapping, Sequence

import pytest

from tests.support.approval import Approve
from tests.support.commanding import command
from tests.support.served_folder import ServedFolder

COMMANDS: Mapping[str, Sequence[str]] = {
    "status": ("status",),
    "status of an account": ("status", "acme"),
    "status of parked drivers": ("status", "acme", "--state", "parked"),
    "issues": ("issues", "list"),
    "explanation": ("explain", "acme", "3"),
    "account": ("accounts", "show", "acme"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_what_is_approved(
    looking: ServedFolder, approve: Approve, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    ended = looking(*COMMANDS[name])
    printed = f"$ driverlink {' '.join(COMMANDS[name])}\n{ended.out}"
    approve(f"commands/{name}", printed + (f"standard error:\n{ended.err}" if ended.err else ""))
    assert ended.status == 0


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_overview_is_as_approved(approve: Approve, option: str) -> None:
    ended = command({"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}, option)
    assert (ended.status, ended.err) == (0, "")
    approve("commands/help", ended.out.strip())
