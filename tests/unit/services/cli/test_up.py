"""`driverlink up` as a process: it makes the data folder, says when it answers, and ends well."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from services.wiring.data_folder import STORES, DataFolder
from tests.support.commanding import command


@contextmanager
def up(folder: Path, *options: str) -> Iterator[None]:
    """While this lasts, the process answers; then it ends well."""
    words = [sys.executable, "-m", "services.cli", "up", "--data", str(folder), *options]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert process.stderr.readline() == f"driverlink runs on {folder}; Ctrl-C ends it\n"
        assert process.stderr.readline() == "sign in with a browser, once: `driverlink sign-in` prints a link\n"
        try:
            yield
        finally:
            process.terminate()
        assert process.stderr.read() == "driverlink has ended; everything is stored\n"
    assert process.returncode == 0


def test_without_services_commands_are_answered_and_nothing_is_decided() -> None:
    with TemporaryDirectory(prefix="dl-") as parent:
        folder = Path(parent) / "data"
        with up(folder, "--no-services"):
            on = {"DRIVERLINK_DATA": str(folder)}
            assert command(on, "accounts", "add", "acme", "--master-user", "maria", "--mode", "full").status == 0
            assert command(on, "sync", "on", "acme", "--as", "maria", "--yes").status == 0
            (account,) = command(on, "accounts", "list", "--json").document
            assert account["sync"] == "on"
            assert command(on, "status", "--json").document == []
            link = command(on, "sign-in").out.strip()
            assert httpx.get(link, follow_redirects=True).text.count("Signed in as operator") == 1
            assert httpx.get(link, follow_redirects=True).status_code == HTTPStatus.UNAUTHORIZED
            assert "decider is not running: start it by `driverlink up`\n" in command(on, "status").err
        assert all(DataFolder(folder).file(name).is_file() for name in STORES)
