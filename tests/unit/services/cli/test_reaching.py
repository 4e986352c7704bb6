"""Where a command reaches the API, and what it says where nothing answers."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest

from domain.account import Role
from services.api.app import to_app
from services.api.permissions import EVERYWHERE
from services.cli.client import CommandRefused, Services, reached
from services.runtime.serving import listening, tcp_socket
from services.wiring.embedded import serving
from services.wiring.settings import EmbeddedSettings
from tests.support.commanding import Ended, command
from tests.support.served_folder import ServedFolder

COMMANDS = [
    ("status",),
    ("status", "acme", "--state", "parked"),
    ("events",),
    ("explain", "acme", "1"),
    ("accounts", "list"),
    ("accounts", "add", "beta", "--master-user", "jane"),
    ("accounts", "disconnect", "acme", "motive"),
    ("sync", "off", "acme", "--as", "jane"),
    ("approvals", "list", "acme"),
    ("rekeyings", "list", "acme"),
    ("issues", "list"),
    ("dead-letters", "list"),
    ("reconcile", "acme", "--as", "jane"),
    ("reconciliations", "acme"),
    ("plan", "acme"),
    ("apply", "acme", "--plan", "3f2a9c1e5b7d8046", "--as", "jane"),
    ("drivers", "delete", "acme", "--driver", "1"),
]
ADD = ("accounts", "add", "beta", "--master-user", "jane")


def refused(ended: Ended) -> str:
    """The one line of a command that could do nothing."""
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1), ended
    return ended.err.removeprefix("driverlink: ").rstrip("\n")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_where_nothing_runs_one_line_says_what_to_start_and_nothing_is_opened(
    folder: Path, arguments: tuple[str, ...]
) -> None:
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    line = refused(command({"DRIVERLINK_DATA": str(folder)}, *arguments))
    assert line == (
        f"nothing runs on the data folder {folder}, or it does not answer: start it by `driverlink up --data {folder}`"
    )
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("arguments", [("status",), ADD], ids=" ".join)
def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    line = refused(command({}, *arguments, "--data", str(tmp_path / "my fleet")))
    assert line.endswith(f"start it by `driverlink up --data '{tmp_path}/my fleet'`")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_do_not_open_the_database(arguments: tuple[str, ...]) -> None:
    line = refused(command({"DRIVERLINK_DATABASE_URL": "postgresql://me@127.0.0.1:1/driverlink"}, *arguments))
    assert line.startswith("DRIVERLINK_API_URL is not set: commands do not open the database")
    assert "`driverlink serve api`" in line


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "/nowhere/api.sock"])
def test_an_api_that_does_not_answer_is_named_with_what_starts_it(url: str) -> None:
    line = refused(command({"DRIVERLINK_API_URL": url}, "status"))
    assert line.startswith(f"the API at {url} does not answer: start it by `driverlink serve api`")


def test_the_password_in_an_address_is_not_printed() -> None:
    line = refused(command({"DRIVERLINK_API_URL": "http://me:geheim@127.0.0.1:1"}, "status"))
    assert line.startswith("the API at http://127.0.0.1:1 does not answer")


@pytest.mark.parametrize("url", ["ftp://host", "host:8080", "http:///x"])
def test_an_address_that_cannot_be_one_is_a_wrong_setting(url: str) -> None:
    line = refused(command({"DRIVERLINK_API_URL": url}, "status"))
    assert "DRIVERLINK_API_URL must match" in line
    assert line.endswith("(Where commands reach the API: `http://host:port`, or the path of a local socket)")


@contextmanager
def at_a_port(folder: Path) -> Iterator[dict[str, str]]:
    """The address of an API over a data folder that the commands do not know, and a key for it."""
    begun, ending, keys = Event(), Event(), list[str]()

    async def serve(bound: socket.socket) -> None:
        async with serving(EmbeddedSettings(data=folder)) as installation, listening({bound: to_app(installation)}):
            grants = {EVERYWHERE: frozenset({Role.ADMIN})}
            _, key = installation.access.create_key("tests", grants, by="operator", expires=None)
            keys.append(key)
            begun.set()
            await asyncio.to_thread(ending.wait)

    with tcp_socket("127.0.0.1", 0) as bound:
        thread = Thread(target=lambda: asyncio.run(serve(bound)))
        thread.start()
        try:
            assert begun.wait(60)
            yield {
                "DRIVERLINK_API_URL": f"http://127.0.0.1:{bound.getsockname()[1]}",
                "DRIVERLINK_API_KEY": keys[0],
            }
        finally:
            ending.set()
            thread.join()


@contextmanager
def at_a_socket(folder: Path) -> Iterator[dict[str, str]]:
    """The same, at a local socket."""
    served = ServedFolder(folder)
    served.start()
    yield {"DRIVERLINK_API_URL": str(folder / "control.sock")}
    served.stop()


@pytest.fixture(params=[at_a_port, at_a_socket])
def api(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[..., Ended]]:
    """Runs a command that knows nothing but the address of the API."""
    with ExitStack() as stack:
        variables = stack.enter_context(request.param(folder))
        yield lambda *arguments: command(variables, *arguments)


def test_a_command_reaches_the_api_at_its_address(api: Callable[..., Ended]) -> None:
    assert api(*ADD).status == 0
    assert [each["account"] for each in api("accounts", "list", "--json").document] == ["acme", "beta"]
    assert "account beta exists already" in refused(api(*ADD))


def test_a_folder_that_is_named_goes_before_the_address_of_the_api(driverlink: ServedFolder) -> None:
    driverlink.start()
    elsewhere = {"DRIVERLINK_API_URL": "http://127.0.0.1:1", "DRIVERLINK_DATABASE_URL": "postgresql://me@127.0.0.1/d"}
    assert command(elsewhere, "status", "--data", str(driverlink.path)).status == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
def test_a_socket_of_another_user_is_named(driverlink: ServedFolder) -> None:
    driverlink.start()
    (driverlink.path / "control.sock").chmod(0)
    assert "can be used only by the user who runs `driverlink up`" in refused(driverlink("status"))


_ANSWER = b"HTTP/1.1 200 OK\r\nDriverlink-Api: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@asynccontextmanager
async def answering(*answers: bytes, heads: list[bytes] | None = None) -> AsyncIterator[Path]:
    """A data folder on which something gives these answers, and then only closes connections."""
    remaining = iter(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head)
        writer.write(next(remaining, b""))
        writer.close()

    with TemporaryDirectory(prefix="dl-") as folder:
        async with await asyncio.start_unix_server(answer, Path(folder) / "control.sock"):
            yield Path(folder)


async def last_words(*answers: bytes) -> str:
    """What is said at last to a command that asks as often as something answers, and once more."""

    async def ask(folder: Path) -> None:
        services = reached(folder)
        for _ in range(len(answers) + 1):
            await asyncio.to_thread(services.get, "/accounts")

    async with answering(*answers) as folder:
        with pytest.raises(CommandRefused) as failure:
            await ask(folder)
    return str(failure.value)


@pytest.mark.anyio
async def test_services_that_answered_and_answer_no_more_have_ended() -> None:
    assert "has ended meanwhile; what it has acknowledged stays so" in await last_words(_ANSWER, _ANSWER)


@pytest.mark.anyio
async def test_services_that_never_answer_are_named_by_their_folder() -> None:
    assert (await last_words()).startswith("nothing runs on the data folder /")


@pytest.mark.anyio
@pytest.mark.parametrize("broken", [b"", _ANSWER[:-1]], ids=["no answer", "a part of one"])
async def test_a_command_whose_answer_is_lost_is_sent_again_with_the_same_key(broken: bytes) -> None:
    heads: list[bytes] = []
    async with answering(broken, _ANSWER, _ANSWER, heads=heads) as folder:
        assert await asyncio.to_thread(reached(folder).command, "/accounts/acme/sync", {"on": True}) == {}
        await asyncio.to_thread(reached(folder).command, "/accounts/acme/sync", {"on": True})
    keys = [line for head in heads for line in head.split(b"\r\n") if line.startswith(b"Idempotency-Key: ")]
    assert (len(keys), keys[0] == keys[1], keys[1] == keys[2]) == (3, True, False)


_CUT_OFF = b"HTTP/1.1 200 OK\r\nDriverlink-Api: 1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.anyio
@pytest.mark.parametrize("rest", [b"", b'9\r\n{"a": 1}\n\r\n', b'40\r\n{"a": 1}\n'], ids=repr)
async def test_a_long_answer_that_is_cut_off_is_not_taken_for_a_whole_one(rest: bytes) -> None:
    async with answering(_CUT_OFF + rest) as folder:
        lines = reached(folder).lines("GET", "/accounts/acme/plan")
        with pytest.raises(CommandRefused, match="has ended meanwhile"):
            await asyncio.to_thread(list, lines)


_OTHERS = {
    "a page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    "another API": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "the health of a service": b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found",
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "something in another encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
}


@contextmanager
def another_server(answer: bytes) -> Iterator[str]:
    """The address of a server that answers every request so."""
    with tcp_socket("127.0.0.1", 0) as bound:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = bound.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            bound.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("answer", _OTHERS.values(), ids=_OTHERS)
@pytest.mark.parametrize("arguments", [("accounts", "list"), ("plan", "acme"), ADD], ids=" ".join)
def test_a_server_that_is_not_the_api_is_named(arguments: tuple[str, ...], answer: bytes) -> None:
    with another_server(answer) as url:
        line = refused(command({"DRIVERLINK_API_URL": url}, *arguments))
    assert line.startswith(f"what answers at {url} (")
    assert "is not the API of this version of Driver Sync" in line


def test_an_answer_that_cannot_be_decoded_is_one_line() -> None:
    with another_server(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
        assert refused(command({"DRIVERLINK_API_URL": url}, "status")).startswith(f"the API at {url} does not answer")


@pytest.mark.anyio
async def test_a_person_who_waits_long_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("services.cli.client._SILENCE", 0.02)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(_ANSWER)
        writer.close()

    with TemporaryDirectory(prefix="dl-") as folder:
        server = await asyncio.start_unix_server(answer, Path(folder) / "control.sock")
        async with server:
            assert await asyncio.to_thread(reached(Path(folder)).get, "/accounts") == {}
    assert "have not answered yet" in capsys.readouterr().err


@pytest.mark.anyio
async def test_services_that_are_silent_for_very_long_are_not_said_to_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.cli.client._PATIENCE", 0.05)
    has_closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        has_closed.set()

    with TemporaryDirectory(prefix="dl-") as folder:
        server = await asyncio.start_unix_server(answer, Path(folder) / "control.sock")
        async with server:
            with pytest.raises(CommandRefused, match="may be done all the same"):
                await asyncio.to_thread(reached(Path(folder)).get, "/accounts")
            await has_closed.wait()


def test_a_folder_of_something_else_is_not_taken_for_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    line = refused(command({}, "status", "--data", str(tmp_path)))
    assert line == f"{tmp_path} is not a data folder of driverlink: name another with --data"


def test_who_is_refused_before_the_body_is_sent_learns_why() -> None:
    with TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listening_at:
        path = str(Path(short) / "s")
        listening_at.bind(path)
        listening_at.listen()

        def refuse() -> None:
            connection, _ = listening_at.accept()
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(64)
                body = b'{"detail": "jane may not do that"}'
                connection.sendall(
                    b"HTTP/1.1 403 Forbidden\r\ndriverlink-api: v1\r\ncontent-type: application/problem+json\r\n"
                    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
                )

        refusing = Thread(target=refuse)
        refusing.start()
        services = Services(path, lambda failure: CommandRefused(f"nothing runs: {failure}"))
        with pytest.raises(CommandRefused, match="jane may not do that"):
            services.post("/accounts/acme/sync", {"note": "x" * 10_000_000})
        refusing.join()
