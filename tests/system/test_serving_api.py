"""`driverlink serve api` over a real database, and commands that know nothing but its address."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import pytest

from adapters.store.locks import InstanceLock
from tests.support.commanding import command
from tests.support.distributed import API_KEY

START = "from services.cli.__main__ import main; main()"


@pytest.fixture
def variables(database: str) -> dict[str, str]:
    url = urlsplit(database)
    return {
        "DRIVERLINK_DATABASE_URL": urlunsplit(url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}")),
        "DRIVERLINK_DATABASE_PASSWORD": url.password or "",
        "DRIVERLINK_SECRET_KEY": "a secret key that is only good for tests",
        "DRIVERLINK_HTTP_PORT": "0",
        "DRIVERLINK_ADMIN_KEY": API_KEY,
    }


@pytest.fixture
def address(variables: dict[str, str]) -> Iterator[str]:
    """Where a process of the API listens; afterwards it ends well."""
    assert command(variables, "database", "migrate").status == 0
    with subprocess.Popen(
        [sys.executable, "-c", START, "serve", "api"],
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        yield process.stderr.readline().rpartition("DRIVERLINK_API_URL=")[2].strip()
        process.terminate()
        assert process.stderr.read() == "api has ended; everything is stored\n"
    assert process.returncode == 0


def test_commands_need_nothing_but_the_address_of_the_api(address: str) -> None:
    on = {"DRIVERLINK_API_URL": address, "DRIVERLINK_API_KEY": API_KEY}
    assert command(on, "accounts", "add", "acme", "--master-user", "jane", "--mode", "full").status == 0
    assert [each["account"] for each in command(on, "accounts", "list", "--json").document] == ["acme"]


def test_commands_without_a_key_are_refused(address: str) -> None:
    ended = command({"DRIVERLINK_API_URL": address}, "accounts", "list")
    assert (ended.status, ended.out, "by an API key" in ended.err) == (1, "", True)
    ended = command({"DRIVERLINK_API_URL": address, "DRIVERLINK_API_KEY": "dlk_0_wrong"}, "accounts", "list")
    assert (ended.status, ended.err.startswith("driverlink: the API key is not one that is in use")) == (1, True)


def test_status_names_each_service_that_does_not_run(address: str, database: str) -> None:
    on = {"DRIVERLINK_API_URL": address, "DRIVERLINK_API_KEY": API_KEY}
    with closing(InstanceLock(database, "", ["accounts", "intake", "projector_motive"])) as running:
        running.show_running()
        told = command(on, "status").err
    assert "decider is not running: start it by `driverlink serve decider`" in told
    assert "projector-driveri is not running: start it by `driverlink serve projector --target driveri`" in told
    assert all(f"{name} is not running" not in told for name in ("accounts", "intake", "projector-motive"))
