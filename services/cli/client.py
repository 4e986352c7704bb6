"""How a command reaches the API: at `DRIVERLINK_API_URL`, at the local socket of a data folder, or in its own process.

Where neither answers, it opens the stores itself: those of the folder, or of the database that the environment names.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import httpx
import typer
from rich.prompt import Confirm

from domain.failures import ClearFailure
from domain.identity import Target
from services.cli.printing import err
from services.wiring.data_folder import DataFolder, FolderOwned
from services.wiring.settings import (
    PREFIX,
    ApiSettings,
    DistributedSettings,
    EmbeddedSettings,
    KafkaSettings,
    read_settings,
)

if TYPE_CHECKING:
    from services.api.installation import Installation

SHAPES = (EmbeddedSettings, DistributedSettings)

Settings = EmbeddedSettings | DistributedSettings


def is_distributed(data: Path | None) -> bool:
    """Whether a command without a data folder of its own is about the database that the environment names."""
    return data is None and bool(os.environ.get(f"{PREFIX}DATABASE_URL"))


def chosen(data: Path | None) -> Settings:
    """The settings of the shape that a command works on. Raises `WrongSettings`."""
    return distributed() if is_distributed(data) else embedded(data)


def embedded(data: Path | None) -> EmbeddedSettings:
    """The settings of a data folder. Raises `WrongSettings`."""
    return read_settings(lambda: EmbeddedSettings(data=data) if data else EmbeddedSettings(), SHAPES)


def distributed() -> DistributedSettings:
    """The settings of the distributed shape. Raises `WrongSettings`."""
    return read_settings(lambda: DistributedSettings.model_validate({}), SHAPES)


def kafka() -> KafkaSettings:
    """What of the distributed shape's settings is about Kafka. Raises `WrongSettings`."""
    return read_settings(lambda: KafkaSettings.model_validate({}), SHAPES)


_ANY_HOST = "http://driverlink"
"""What a request names as its host where none is called."""

_PATIENCE = 600.0
"""Seconds to wait for an answer."""


_ENDED = (
    "the process that runs the services has ended meanwhile; what it has acknowledged stays so, and goes on when it is "
    "started again"
)


class CommandRefused(ClearFailure):
    """The services refused what the command asked; the message says why and what to do."""


class Services:
    """The services, as a command asks them."""

    def __init__(self, client: httpx.AsyncClient, *, may_run: bool = True) -> None:
        self._client = client
        self.has_answered = False
        self.may_run = may_run
        """False where it is certain that no process runs, which would do what is asked for."""

    async def get(self, path: str, **query: str | int | list[str] | None) -> Any:  # noqa: ANN401 - JSON
        """What is there. Raises `CommandRefused`."""
        given = {name: value for name, value in query.items() if value is not None}
        with _sendable():
            return self._answered(await self._client.get(path, params=given))

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Ask for something to be done. Raises `CommandRefused`."""
        with _sendable():
            return self._answered(await self._client.post(path, json=body))

    async def lines(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """A long answer, line by line. Raises `CommandRefused`."""
        given = {name: value for name, value in query.items() if value is not None}
        with _sendable():
            async with self._client.stream(method, path, json=body, params=given) as response:
                self.has_answered = True
                if not response.is_success:
                    await response.aread()
                    _told_by(response)
                async for text in response.aiter_lines():
                    yield _told(json.loads(text))

    def _answered(self, response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        self.has_answered = True
        return _told_by(response)


@asynccontextmanager
async def reached(data: Path | None, *, makes_folder: bool = False) -> AsyncIterator[Services]:
    """The services of an installation. Raises `FolderUnusable`, `StoreFailed`, `WrongSettings` or `CommandRefused`.

    Without a data folder of its own a command reaches the API at `DRIVERLINK_API_URL`, where that is set.
    """
    if data is None and (url := read_settings(ApiSettings, SHAPES).api_url):
        advice = (
            f"the API at {url} does not answer: start it by `driverlink serve api` (or `driverlink up` on a data "
            "folder), or set another DRIVERLINK_API_URL"
        )
        at = {"socket": url} if url.startswith("/") else {"url": url}
        async with _through(advice, **at) as services:
            yield services
        return
    settings = chosen(data)
    if isinstance(settings, DistributedSettings):
        from services.wiring.distributed import Distributed  # noqa: PLC0415 - a command that reaches the API does without

        shape = Distributed(settings)
        with shape.present():
            async with _asked(shape.installation()) as services:
                yield services
        return
    async with _reached_folder(settings, makes_folder=makes_folder) as services:
        yield services


@asynccontextmanager
async def _reached_folder(settings: EmbeddedSettings, *, makes_folder: bool) -> AsyncIterator[Services]:
    folder = DataFolder(settings.data)
    if not makes_folder:
        folder.check_whole()
    try:
        folder.__enter__()
    except FolderOwned as owned:
        advice = f"{owned}; or, if it is only just starting or ending, try again"
        async with _through(advice, socket=str(folder.socket)) as services:
            yield services
        return
    try:
        from services.wiring.embedded import open_embedded  # noqa: PLC0415 - a command that reaches the API does without

        async with _asked(open_embedded(settings), may_run=False) as services:
            yield services
    finally:
        folder.__exit__(None, None, None)


@asynccontextmanager
async def _asked(installation: "Installation", *, may_run: bool = True) -> AsyncIterator[Services]:
    """The API in this process. What it needs is imported here, so that a command that reaches it begins at once."""
    from services.api.app import to_app  # noqa: PLC0415 - a command that reaches the API does without

    try:
        transport = httpx.ASGITransport(to_app(installation))
        async with httpx.AsyncClient(transport=transport, base_url=_ANY_HOST, timeout=_PATIENCE) as client:
            yield Services(client, may_run=may_run)
    finally:
        await installation.connections.close()
        installation.close()


@asynccontextmanager
async def _through(advice: str, *, url: str = _ANY_HOST, socket: str | None = None) -> AsyncIterator[Services]:
    """The API at this URL, or at this local socket; where it does not answer, the command ends with the advice."""
    has_answered = False
    try:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket) if socket else None,
            base_url=url,
            timeout=_PATIENCE,
            trust_env=False,
        ) as client:
            services = Services(client)
            try:
                yield services
            finally:
                has_answered = services.has_answered
    except (httpx.TransportError, httpx.InvalidURL):
        raise CommandRefused(_ENDED if has_answered else advice) from None


@contextmanager
def _sendable() -> Iterator[None]:
    """Text that is no Unicode, as an argument in another encoding, cannot be asked about."""
    try:
        yield
    except UnicodeEncodeError:
        raise CommandRefused("an argument is no text in UTF-8") from None


def _told(line: dict[str, Any]) -> dict[str, Any]:
    if "error" in line:
        raise CommandRefused(str(line["error"]))
    return line


def _told_by(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    if response.is_success:
        return response.json()
    try:
        raise CommandRefused(str(response.json()["error"]))
    except (ValueError, KeyError, TypeError):
        raise CommandRefused(f"the services answered {response.status_code}; see their log") from None


T = TypeVar("T")


def _folder(name: str) -> Path:
    """An empty name would be the folder in which the command happens to run."""
    if not name:
        raise typer.BadParameter("it must name a folder")
    return Path(name)


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        parser=_folder,
        metavar="<path>",
        help="The data folder; else DRIVERLINK_DATABASE_URL's database, else DRIVERLINK_DATA, else driverlink-data.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts in place of tables.")]


def account_id(text: str | None) -> str | None:
    """An account's id, as far as one can be written so; what is no text at all is said where it is sent.

    Raises `typer.BadParameter`.
    """
    if text is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}|.*[\ud800-\udfff].*", text):
        raise typer.BadParameter(
            "an account's id is up to 64 letters from A to Z, digits, dots, hyphens and underscores, "
            "and begins with a letter or digit"
        )
    return text


AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="The account's id, in any letter case.", callback=account_id)
]
TargetOption = Annotated[Target | None, typer.Option(help="Only on this target.")]
OneDriverOption = Annotated[
    str | None, typer.Option("--driver", help="Only this driver: the Portal's id, a RefID or a Driveri DriverID.")
]
PersonOption = Annotated[str, typer.Option("--as", metavar="PERSON", help="Who is asking, by their Portal user name.")]


def ask(data: Path | None, asking: Callable[[Services], Awaitable[T]], *, makes_folder: bool = False) -> T:
    """Ask the services of a data folder something. Raises what `main` turns into one line."""

    async def run() -> T:
        async with reached(data, makes_folder=makes_folder) as services:
            return await asking(services)

    return asyncio.run(run())


def is_confirmed(question: str) -> bool:
    """Whether somebody says yes; the end of the input is a no, and Ctrl-C ends the command.

    An event loop that runs would only cancel its task at the first Ctrl-C, which here can do nothing about it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return Confirm.ask(question, console=err, default=False)
    except EOFError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command that is asynchronous."""
    return asyncio.run(work)
