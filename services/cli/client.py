"""How a command reaches the API: at `DRIVERLINK_API_URL`, else at the local socket of a data folder."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from errno import EACCES
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, TypeVar

import httpx
import typer
from rich.prompt import Confirm

from domain.failures import ClearFailure
from domain.identity import Target
from services.api import ADDRESS, API_HEADER, PREFIX
from services.cli.printing import err, print_note
from services.wiring.data_folder import DEFAULT_FOLDER, DataFolder

Json = dict[str, Any]

_ANY_HOST = "http://driverlink"
"""What a request to a local socket names as its host."""

_PATIENCE = httpx.Timeout(600.0, connect=10.0)
"""Seconds to wait for an answer, and for a connection."""

_SILENCE = 10.0
"""Seconds without an answer after which a person is told that the command still waits."""

_ENDED = (
    "the process that runs the services has ended meanwhile; what it has acknowledged stays so, and goes on when it is "
    "started again"
)

_SILENT = (
    "the services have not answered for so long that the command gives up; what it asked for may be done all the same: "
    "see `driverlink status`"
)


class CommandRefused(ClearFailure):
    """The services refused what the command asked; the message says why and what to do."""


class Services:
    """The services, as a command asks them."""

    def __init__(self, client: httpx.AsyncClient, where: str) -> None:
        self._client = client
        self._where = where
        self.has_answered = False

    async def get(self, path: str, **query: str | int | list[str] | None) -> Any:  # noqa: ANN401 - JSON
        """What is there. Raises `CommandRefused`."""
        given = {name: value for name, value in query.items() if value is not None}
        with _encodable(), _noting_silence():
            response = await self._client.get(path, params=given)
        return self._answer(response)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Ask for something to be done. Raises `CommandRefused`."""
        with _encodable(), _noting_silence():
            response = await self._client.post(path, json=body)
        return self._answer(response)

    async def lines(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """A long answer, line by line. Raises `CommandRefused`."""
        given = {name: value for name, value in query.items() if value is not None}
        with _encodable():
            request = self._client.build_request(method, path, json=body, params=given)
            with _noting_silence():
                response = await self._client.send(request, stream=True)
            async with aclosing(response):
                self._check_whose(response)
                if not response.is_success:
                    await response.aread()
                    self._answer(response)
                async for text in response.aiter_lines():
                    line = json.loads(text)
                    if "error" in line:
                        raise CommandRefused(str(line["error"]))
                    yield line

    def _answer(self, response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
        self._check_whose(response)
        if response.is_success:
            return response.json()
        try:
            raise CommandRefused(str(response.json()["error"]))
        except (ValueError, KeyError, TypeError):
            raise CommandRefused(f"the services answered {response.status_code}; see their log") from None

    def _check_whose(self, response: httpx.Response) -> None:
        if API_HEADER not in response.headers:
            raise CommandRefused(
                f"what answers at {self._where} ({response.status_code}) is not the API of this version of Driver "
                f"Sync: restart what runs the services, or set {PREFIX}API_URL to the address that `driverlink serve "
                "api` prints"
            )
        self.has_answered = True


@contextmanager
def _noting_silence() -> Iterator[None]:
    """Tell a person who waits that nothing has answered yet."""
    words = "the services have not answered yet; Ctrl-C ends the command, and not what they do"
    noting = asyncio.get_running_loop().call_later(_SILENCE, print_note, words)
    try:
        yield
    finally:
        noting.cancel()


@contextmanager
def _encodable() -> Iterator[None]:
    """Text that is not Unicode, such as an argument in another encoding, cannot be sent."""
    try:
        yield
    except UnicodeEncodeError:
        raise CommandRefused("an argument is not UTF-8 text") from None


def _settings(data: Path | None) -> tuple[Path, str]:
    """The data folder and the address of the API. Raises `WrongSettings`.

    What checks settings takes longer to load than the rest of a command, so it is left out where there is nothing that
    it could say.
    """
    own = [f"{PREFIX}DATA", f"{PREFIX}API_URL"]
    folder, url = (os.environ.get(name, default) for name, default in zip(own, (DEFAULT_FOLDER, ""), strict=True))
    has_others = any(name.upper().startswith(PREFIX) and name not in own for name in os.environ)
    if folder and re.fullmatch(ADDRESS, url) and not has_others:
        return data or Path(folder), url
    from services.wiring.settings import ApiSettings, read_settings

    settings = read_settings(ApiSettings, data=data)
    return settings.data, settings.api_url


@asynccontextmanager
async def reached(data: Path | None) -> AsyncIterator[Services]:
    """The services of an installation. Raises `WrongSettings`, `CommandRefused`.

    A data folder that is named goes before `DRIVERLINK_API_URL`, and that before `DRIVERLINK_DATA`.
    """
    folder, url = _settings(data)
    data_folder = None
    # What is printed of an address is without a password.
    shown = re.sub(r"//[^/]*@", "//", url)
    if data is None and url:
        socket = url if url.startswith("/") else None
        advice = (
            f"the API at {shown} does not answer: start it by `driverlink serve api` (or `driverlink up` on a data "
            f"folder), or set another {PREFIX}API_URL"
        )
    elif data is None and os.environ.get(f"{PREFIX}DATABASE_URL"):
        raise CommandRefused(
            f"{PREFIX}API_URL is not set: commands do not open the database of {PREFIX}DATABASE_URL, they reach the "
            "API that `driverlink serve api` serves; set it to the address that this prints"
        )
    else:
        data_folder = DataFolder(folder)
        socket = str(data_folder.socket)
        advice = (
            f"nothing runs on the data folder {folder}, or it does not answer: start it by "
            f"`driverlink up --data {quote(str(folder))}`"
        )
    services = None
    try:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket) if socket else None,
            base_url=_ANY_HOST if socket else url,
            timeout=_PATIENCE,
            trust_env=False,
        ) as client:
            services = Services(client, socket or shown)
            yield services
    except httpx.ReadTimeout:
        raise CommandRefused(_SILENT) from None
    except (httpx.RequestError, httpx.InvalidURL) as failure:
        if services and services.has_answered:
            raise CommandRefused(_ENDED) from None
        if os.strerror(EACCES) in str(failure):
            raise CommandRefused(f"{socket} can be used only by the user who runs `driverlink up`") from None
        if data_folder is not None and data_folder.is_foreign():
            raise CommandRefused(f"{folder} is not a data folder of driverlink: name another with --data") from None
        raise CommandRefused(advice) from None


T = TypeVar("T")


def _data_option(meaning: str) -> Any:  # noqa: ANN401 - typer's own
    def folder(name: str) -> Path:
        """An empty name would be the folder in which the command happens to run."""
        if not name:
            raise typer.BadParameter("it must name a folder")
        return Path(name)

    return typer.Option("--data", parser=folder, metavar="<path>", help=meaning, show_default=False)


DataOption = Annotated[
    Path | None,
    _data_option("The data folder of the services; else DRIVERLINK_API_URL, else DRIVERLINK_DATA or driverlink-data."),
]
"""Of a command that asks the API."""

OwnedFolderOption = Annotated[Path | None, _data_option("The data folder; else DRIVERLINK_DATA or driverlink-data.")]
"""Of a command that opens the folder itself."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts in place of tables.")]


def account_id(text: str | None) -> str | None:
    """The same, where it can be an account's id; what is not Unicode is refused where it is sent.

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


def ask(data: Path | None, asking: Callable[[Services], Awaitable[T]]) -> T:
    """Ask the services something. Raises what `main` turns into one line."""

    async def run() -> T:
        async with reached(data) as services:
            return await asking(services)

    return asyncio.run(run())


def is_confirmed(question: str) -> bool:
    """Whether a person says yes; the end of the input is a no, and Ctrl-C ends the command.

    An event loop that runs would only cancel its task at the first Ctrl-C, which here can do nothing about it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return Confirm.ask(question, console=err, default=False)
    except EOFError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
