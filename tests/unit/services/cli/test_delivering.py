"""A command whose output cannot be written, or whose folder has no name, ends in one clear line."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from subprocess import run

import pytest

from services.cli.app import delivered
from tests.support.commanding import command
from tests.support.served_folder import ServedFolder


@pytest.mark.parametrize("buffering", [-1, 1])
def test_an_output_that_is_full_is_reported_in_one_line(capsys: pytest.CaptureFixture[str], buffering: int) -> None:
    with (
        Path("/dev/full").open("w", buffering) as full,
        redirect_stdout(full),
        pytest.raises(SystemExit) as ended,
        delivered(),
    ):
        print("something")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "driverlink: the output cannot be written: No space left on device\n"


def test_a_reader_that_closes_the_pipe_gets_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone, redirect_stdout(gone), pytest.raises(SystemExit) as ended, delivered():
        print("something")
    assert (ended.value.code, capsys.readouterr().err) == (1, "")


def test_a_failure_that_is_none_of_the_outputs_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), delivered():
        raise FileNotFoundError


@pytest.mark.parametrize(
    ("variables", "arguments", "status", "says"),
    [
        ({"DRIVERLINK_DATA": ""}, (), 1, "driverlink: DRIVERLINK_DATA must name a folder, or not be set\n"),
        ({}, ("--data", ""), 2, "it must name a folder"),
    ],
)
def test_a_folder_without_a_name_is_not_the_present_one(
    variables: dict[str, str], arguments: tuple[str, ...], status: int, says: str
) -> None:
    ended = command(variables, "accounts", "list", *arguments)
    assert (ended.status, ended.out, says in ended.err) == (status, "", True)


def test_an_argument_that_is_not_utf_8_is_refused_in_one_line(driverlink: ServedFolder) -> None:
    for arguments in (("accounts", "show", "\udcff"), ("explain", "acme", "\udcff"), ("issues", "list", "\udcff")):
        ended = driverlink(*arguments)
        assert (ended.status, ended.err) == (1, "driverlink: an argument is not UTF-8 text\n")


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_command_does_its_work_where_standard_streams_are_closed(driverlink: ServedFolder, closed: str) -> None:
    driverlink.start()
    start = "from services.cli.__main__ import main; main()"
    words = ("accounts", "add", "beta", "--master-user", "jane", "--data", str(driverlink.path), "--json")
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", start, *words]
    ended = run(shell, capture_output=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert driverlink("accounts", "show", "beta").status == 0
