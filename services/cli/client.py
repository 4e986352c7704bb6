"""How a command reaches the API: by an option, the environment, a context, or the default data folder.

Contexts are named installations, in `$XDG_CONFIG_HOME/driverlink/config.yaml`.
"""

import json
import os
import re
import socket
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from select import select
from shlex import quote
from typing import Annotated, Any, TypeVar
from urllib import parse

import typer

from domain.failures import ClearFailure
from domain.identity import Target
from services.api import ADDRESS, API_HEADER, PREFIX, V1
from services.cli.printing import err, print_note
from services.wiring.data_folder import DEFAULT_FOLDER, DataFolder

_OTHERS = 0o077


class ContextsUnusable(ClearFailure):
    """The file of contexts cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An installation: where its API is, or its data folder, the account that is usually meant, and an API key."""

    api_url: str = ""
    data: str = ""
    account: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """Every context by its name, and the name of the one in use; empty for none."""

    current: str
    by_name: Mapping[str, Context]


def contexts_path() -> Path:
    """Where the file is."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".config") / "driverlink" / "config.yaml"


def load_contexts() -> Contexts:
    """What the file holds; nothing where there is no file. Raises `ContextsUnusable`."""
    path = contexts_path()
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        return Contexts(current="", by_name={})
    except (OSError, UnicodeDecodeError):
        raise ContextsUnusable(f"{path} cannot be read as text: mend it, or remove it") from None
    contexts = _to_contexts(text, path)
    if mode & _OTHERS and any(each.key for each in contexts.by_name.values()):
        raise ContextsUnusable(f"{path} holds an API key, and others than you may use it: run `chmod 600 {path}`")
    return contexts


CONTEXT_VARIABLE = f"{PREFIX}CONTEXT"

BY_CONTEXT = "by default the context's"
"""What the help of a required account says, if the context's is meant where none is named."""

_option: ContextVar[str] = ContextVar("context", default="")


def name_context(name: str) -> None:
    """Let this command be about this context, as its option names it; about another one where it is empty."""
    _option.set(name)


def named_context() -> str:
    """The context that the option or the environment names; empty where neither does."""
    return _option.get() or os.environ.get(CONTEXT_VARIABLE, "")


def current_context() -> tuple[str, Context]:
    """The context that is named, else the one in use; an empty one where there is none. Raises `ContextsUnusable`."""
    contexts = load_contexts()
    name = named_context() or contexts.current
    if name not in contexts.by_name and named_context():
        known = f"those are {', '.join(sorted(contexts.by_name))}" if contexts.by_name else "there are none yet"
        raise ContextsUnusable(f"there is no context {name} ({known}): see `driverlink context list`")
    return name, contexts.by_name.get(name, Context())


def store_contexts(contexts: Contexts) -> None:
    """Replace the file, at once and whole; only its owner can read it. Raises `ContextsUnusable`."""
    import yaml

    path = contexts_path()
    stated = {
        name: {key: value for key, value in asdict(each).items() if value} for name, each in contexts.by_name.items()
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            yaml.safe_dump({"current": contexts.current, "contexts": stated}, file, allow_unicode=True)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as failure:
        with suppress(OSError):
            beside.unlink()
        raise ContextsUnusable(f"{path} cannot be written: {failure.strerror}") from None


def _to_contexts(text: str, path: Path) -> Contexts:
    import yaml

    try:
        document = yaml.safe_load(text) or {}
        by_name = {str(name): _to_context(each) for name, each in (document.get("contexts") or {}).items()}
        return Contexts(current=str(document.get("current") or ""), by_name=by_name)
    except (yaml.YAMLError, AttributeError, TypeError):
        # What the parser says would quote the file, and with it a key.
        raise ContextsUnusable(f"{path} is not a file of contexts: mend it, or remove it") from None


def _to_context(stated: Any) -> Context:  # noqa: ANN401 - YAML
    if not {field.name for field in fields(Context)} >= stated.keys():
        raise TypeError
    return Context(**{name: str(value) for name, value in stated.items()})


Json = dict[str, Any]

_ANY_HOST = "driverlink"
"""What a request to a local socket names as its host."""

_CONNECTING = 10.0
"""Seconds to wait for a connection."""

_PATIENCE = 600.0
"""Seconds to wait for an answer, and for each part of a long one."""

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


class _Broken(CommandRefused):
    """The connection broke before there was a whole answer."""


class _LocalConnection(HTTPConnection):
    """A connection to a local socket."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__(_ANY_HOST, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class Services:
    """The services, as a command asks them, at a URL or the path of a socket: each question has its own connection.

    `explain` makes a refusal of what went wrong where nothing has answered yet.
    """

    def __init__(self, address: str, explain: Callable[[Exception], CommandRefused], key: str = "") -> None:
        self._explain = explain
        self._has_answered = False
        self._headers = {"Connection": "close"}
        self._connect: Callable[[], HTTPConnection]
        self._base = ""
        self._where = address
        if "://" not in address:
            self._connect = partial(_LocalConnection, address, timeout=_CONNECTING)
            return
        try:
            url = parse.urlsplit(address)
            kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
            self._connect = partial(kind, url.hostname or "", url.port, timeout=_CONNECTING)
        except ValueError as wrong:
            raise explain(wrong) from None
        self._base, self._where = url.path.rstrip("/"), without_password(address)
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        elif url.username or url.password:
            self._headers["Authorization"] = _basic(url.username or "", url.password or "")

    def get(self, path: str, **query: str | int | list[str] | None) -> Any:  # noqa: ANN401 - JSON
        """What is there. Raises `CommandRefused`."""
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Ask for something that may be asked as often as one likes. Raises `CommandRefused`."""
        return self._ask("POST", path, body)

    def command(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Have something done once, though it is asked again where the connection breaks. Raises `CommandRefused`."""
        key = f'"{os.urandom(16).hex()}"'
        try:
            return self._ask("POST", path, body, key=key)
        except _Broken as broken:
            try:
                return self._ask("POST", path, body, key=key)
            except _Broken:
                raise broken from None

    def lines(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str | None
    ) -> Generator[dict[str, Any], None, None]:
        """A long answer, line by line. Raises `CommandRefused`."""
        with self._sent(method, path, body, query) as response:
            if not _is_success(response):
                self._read(response)
            for text in self._lines(response):
                line = json.loads(text)
                if "problem" in line:
                    raise CommandRefused(str(line["problem"]["detail"]))
                yield line

    def content(self, path: str) -> bytes:
        """What is there, as it is, and whole. Raises `CommandRefused`."""
        with self._sent("GET", path, None, {}) as response:
            if not _is_success(response):
                self._read(response)
            return b"\n".join(self._lines(response)) + b"\n"

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        key: str = "",
    ) -> Any:  # noqa: ANN401 - JSON
        with self._sent(method, path, body, query or {}, key) as response:
            return self._read(response)

    @contextmanager
    def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, Any], key: str = ""
    ) -> Iterator[HTTPResponse]:
        """The answer of the API, which has the connection, and may be left before its end."""
        with (
            closing(self._connect()) as connection,
            closing(self._send(connection, method, path, body, query, key)) as response,
        ):
            if response.headers[API_HEADER] is None:
                raise CommandRefused(
                    f"what answers at {self._where} ({response.status}) is not the API of this version of Driver Sync: "
                    f"restart what runs the services, or set {PREFIX}API_URL to the address that "
                    "`driverlink serve api` prints"
                )
            self._has_answered = True
            yield response

    def _send(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, Any],
        key: str,
    ) -> HTTPResponse:
        """The beginning of the answer."""
        given = {name: value for name, value in query.items() if value is not None}
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        headers = {**headers, "Idempotency-Key": key} if key else headers
        try:
            whole = self._base + V1 + parse.quote(path) + (f"?{parse.urlencode(given, doseq=True)}" if given else "")
            content = None if body is None else json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            raise CommandRefused("an argument is not UTF-8 text") from None
        is_connected = False
        try:
            connection.connect()
            is_connected = True
            connection.sock.settimeout(_PATIENCE)
            # Who is refused, or asked for nothing more, is answered before the body is sent.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, whole, content, headers)
            if not select([connection.sock], [], [], min(_SILENCE, _PATIENCE))[0]:
                print_note("the services have not answered yet; Ctrl-C ends the command, and not what they do")
            return connection.getresponse()
        except (OSError, HTTPException, UnicodeError) as failure:
            raise self._failed(failure, is_connected=is_connected) from None

    def _read(self, response: HTTPResponse) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = response.read()
        except (OSError, HTTPException) as failure:
            raise self._failed(failure) from None
        if _is_success(response):
            return json.loads(answer)
        try:
            raise CommandRefused(str(json.loads(answer)["detail"]))
        except (ValueError, KeyError, TypeError):
            raise CommandRefused(f"the services answered {response.status}; see their log") from None

    def _lines(self, response: HTTPResponse) -> Iterator[bytes]:
        """What comes, line by line; a response that is cut off is a failure, and not its end."""
        rest = b""
        while True:
            try:
                # Its own lines would end where the connection does.
                some = response.read1()
            except (OSError, HTTPException) as failure:
                raise self._failed(failure) from None
            *whole, rest = (rest + some).split(b"\n")
            yield from whole
            if not some:
                yield from [rest] if rest else []
                return

    def _failed(self, failure: Exception, *, is_connected: bool = True) -> CommandRefused:
        """What is said where there is no answer, or no whole one."""
        if isinstance(failure, TimeoutError) and is_connected:
            return CommandRefused(_SILENT)
        refusal = CommandRefused(_ENDED) if self._has_answered else self._explain(failure)
        return _Broken(*refusal.args) if is_connected else refusal


def _is_success(response: HTTPResponse) -> bool:
    return response.status // 100 == 2


_KEY_VARIABLE = f"{PREFIX}API_KEY"


def _api_key() -> str:
    """The API key by which a command proves who asks; empty where none is given. Raises `CommandRefused`."""
    key, path = os.environ.get(_KEY_VARIABLE, ""), os.environ.get(f"{_KEY_VARIABLE}_FILE")
    if path and not key:
        try:
            key = Path(path).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise CommandRefused(f"{_KEY_VARIABLE}_FILE: {path} cannot be read as a key") from None
    if not is_api_key(key):
        raise CommandRefused(f"{_KEY_VARIABLE} is not an API key: `driverlink keys create` prints one")
    return key


def is_api_key(text: str) -> bool:
    """Whether a header can carry this as an API key."""
    return bool(re.fullmatch(r"[!-~]*", text))


def _basic(name: str, password: str) -> str:
    given = f"{parse.unquote(name)}:{parse.unquote(password)}"
    return f"Basic {b64encode(given.encode()).decode()}"


def without_password(address: str) -> str:
    """What is printed of an address."""
    return re.sub(r"//[^/]*@", "//", address)


def _settings(data: Path | None) -> tuple[Path, str]:
    """The data folder and the address of the API. Raises `WrongSettings`.

    What checks settings takes longer to load than the rest of a command, so it is left out where there is nothing that
    it could say.
    """
    own = [f"{PREFIX}DATA", f"{PREFIX}API_URL", _KEY_VARIABLE, f"{_KEY_VARIABLE}_FILE", CONTEXT_VARIABLE]
    folder, url = os.environ.get(own[0], DEFAULT_FOLDER), os.environ.get(own[1], "")
    has_others = any(name.upper().startswith(PREFIX) and name not in own for name in os.environ)
    if folder and re.fullmatch(ADDRESS, url) and not has_others:
        return data or Path(folder), url
    from services.wiring.settings import ApiSettings, read_settings

    settings = read_settings(ApiSettings, data=data)
    return settings.data, settings.api_url


def services_at(url: str, key: str) -> Services:
    """The services whose API is at an address of HTTP, or a local socket's path, asked with this key, if there is one.

    Raises `CommandRefused`.
    """
    advice = (
        f"the API at {without_password(url)} does not answer: start it by `driverlink serve api` (or "
        f"`driverlink up` on a data folder), or set another {PREFIX}API_URL"
    )
    return Services(url, lambda failure: _refused(failure, url, advice), key)


_PLACES = (f"{PREFIX}API_URL", f"{PREFIX}DATA", f"{PREFIX}DATABASE_URL")
"""The variables of which each says which installation is meant, so that the context does not."""


def reached(data: Path | None) -> Services:
    """The services of an installation. Raises `WrongSettings`, `CommandRefused`, `ContextsUnusable`.

    A data folder that is named goes before a context that is, that before `DRIVERLINK_API_URL`, that before
    `DRIVERLINK_DATA`, and that before the context in use. A context's key is sent to the address of that context only;
    `DRIVERLINK_API_KEY` goes before it, unless the context is named.
    """
    folder, url = _settings(data)
    key = ""
    if data is None and (named_context() or not any(map(os.environ.get, _PLACES))):
        _, context = current_context()
        folder, url, key = Path(context.data) if context.data else folder, context.api_url, context.key
    if data is None and url:
        return services_at(url, (named_context() and key) or _api_key() or key)
    if data is None and os.environ.get(f"{PREFIX}DATABASE_URL"):
        raise CommandRefused(
            f"{PREFIX}API_URL is not set: commands do not open the database of {PREFIX}DATABASE_URL, they reach the "
            "API that `driverlink serve api` serves; set it to the address that this prints"
        )
    data_folder = DataFolder(folder)
    advice = (
        f"nothing runs on the data folder {folder}, or it does not answer: start it by "
        f"`driverlink up --data {quote(str(folder))}`"
    )

    def explain(failure: Exception) -> CommandRefused:
        if not isinstance(failure, PermissionError) and data_folder.is_foreign():
            return CommandRefused(f"{folder} is not a data folder of driverlink: name another with --data")
        return _refused(failure, str(data_folder.socket), advice)

    return Services(str(data_folder.socket), explain)


def _refused(failure: Exception, where: str, advice: str) -> CommandRefused:
    if isinstance(failure, PermissionError):
        return CommandRefused(f"{where} can be used only by the user who runs `driverlink up`")
    return CommandRefused(advice)


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
    _data_option(
        "The data folder of the services; else the context that is named, DRIVERLINK_API_URL, DRIVERLINK_DATA, the "
        "context in use, or driverlink-data."
    ),
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
    str,
    typer.Argument(metavar="ACCOUNT", help=f"The account's id, in any letter case; {BY_CONTEXT}.", callback=account_id),
]
NamedAccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="The account's id, in any letter case.", callback=account_id)
]
"""Of a command that adds or removes it."""

TargetOption = Annotated[Target | None, typer.Option(help="Only on this target.")]
OneDriverOption = Annotated[
    str | None, typer.Option("--driver", help="Only this driver: the Portal's id, a RefID or a Driveri DriverID.")
]
PersonOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="PERSON",
        help="Ask in the name of the Master User or account manager, by their Portal user name; only an admin can.",
    ),
]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why you ask, to be stored with it.")]


def ask(data: Path | None, asking: Callable[[Services], T]) -> T:
    """Ask the services something. Raises what `main` turns into one line."""
    return asking(reached(data))


MOST_AT_ONCE = 500
"""Accounts in one response of the API."""


def account_pages(services: Services, path: str) -> Iterator[list[Json]]:
    """What the API lists of all accounts, page by page."""
    after = ""
    while page := services.get(path, after=after):
        yield page
        if len(page) < MOST_AT_ONCE:
            return
        after = page[-1]["account"]


def is_confirmed(question: str) -> bool:
    """Whether a person says yes; the end of the input is a no."""
    from rich.prompt import Confirm

    try:
        return Confirm.ask(question, console=err, default=False)
    except EOFError:
        return False
