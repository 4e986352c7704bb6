"""Commands reach the API at the address that `DRIVERLINK_API_URL` gives, over HTTP or a local socket."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from services.api.app import to_app
from services.runtime.serving import listening, tcp_socket
from services.wiring.embedded import open_embedded
from services.wiring.settings import EmbeddedSettings
from tests.support.commanding import Ended, command

ADD = ("accounts", "add", "acme", "--master-user", "jane")


@contextmanager
def local_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        bound.listen()
        yield bound


@contextmanager
def served(folder: Path, bound: socket.socket) -> Iterator[None]:
    """The API over a data folder, on this socket, in a thread of its own."""
    begun, ending = Event(), Event()

    async def serve() -> None:
        installation = open_embedded(EmbeddedSettings(data=folder))
        with closing(installation):
            async with listening(to_app(installation), bound):
                begun.set()
                await asyncio.to_thread(ending.wait)
            await installation.connections.close()

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        ending.set()
        thread.join()


@pytest.fixture(params=["tcp", "socket"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Ended]]:
    """Runs a command against an API whose data folder the command does not know."""
    folder = tmp_path_factory.mktemp("a")
    with ExitStack() as stack:
        if request.param == "tcp":
            bound = stack.enter_context(tcp_socket("127.0.0.1", 0))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        else:
            bound, url = stack.enter_context(local_socket(folder / "api.sock")), str(folder / "api.sock")
        stack.enter_context(served(folder, bound))
        yield lambda *arguments: command({"DRIVERLINK_API_URL": url}, *arguments)


def test_a_command_reaches_the_api_at_its_address(api: Callable[..., Ended]) -> None:
    assert api(*ADD).status == 0
    assert [each["account"] for each in api("accounts", "list", "--json").document] == ["acme"]
    refused = api(*ADD)
    assert (refused.status, "acme" in refused.err) == (1, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "/nowhere/api.sock"])
def test_where_nothing_answers_one_line_says_what_to_start(url: str) -> None:
    ended = command({"DRIVERLINK_API_URL": url}, "status")
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(f"driverlink: the API at {url} does not answer: start it by `driverlink serve api`")


@pytest.mark.parametrize("url", ["ftp://host", "host:8080", "http:///x"])
def test_an_address_that_cannot_be_one_is_a_wrong_setting(url: str) -> None:
    ended = command({"DRIVERLINK_API_URL": url}, "status")
    assert (ended.status, "DRIVERLINK_API_URL must match" in ended.err) == (1, True), ended.err
