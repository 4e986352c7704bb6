"""What a command is told when the process that answers it ends."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from services.cli.client import CommandRefused, _through
from services.wiring.data_folder import DataFolder, FolderOwned

pytestmark = pytest.mark.anyio

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    with TemporaryDirectory(prefix="dl-") as parent:
        yield DataFolder(Path(parent))


async def ask(folder: DataFolder, times: int) -> None:
    owned = FolderOwned(folder.path, "process 7")
    async with _through(str(owned), socket=str(folder.socket)) as services:
        for _ in range(times):
            await services.get("/accounts")


async def told(folder: DataFolder, *answers: bytes) -> str:
    """What is said at last to a command that asks as often as somebody answers, and once more."""
    remaining = iter(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(remaining, b""))
        writer.close()

    async with await asyncio.start_unix_server(answer, folder.socket):
        with pytest.raises(CommandRefused) as refused:
            await ask(folder, len(answers) + 1)
    return str(refused.value)


async def test_services_that_answered_and_answer_no_more_have_ended(folder: DataFolder) -> None:
    assert "has ended meanwhile; what it has acknowledged stays so" in await told(folder, _ANSWER, _ANSWER)


async def test_services_that_never_answer_are_named_by_their_process(folder: DataFolder) -> None:
    assert "in use by another driverlink process (process 7)" in await told(folder)
