"""The distributed shape on servers of a test: its settings, and its processes, which can be killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from services.api import PREFIX
from services.sandbox.demo import NO_TLS, RunningSandboxes
from services.wiring.settings import DistributedSettings
from tests.support.hanging import HANGS
from tests.support.loaded import Loaded
from tests.support.servers.addresses import free_port
from tests.support.unhurried import UNHURRIED

Json = dict[str, Any]

_COMMAND = (sys.executable, "-m", "services.cli")

_PATIENCE = HANGS
"""Seconds that a process has for ending in good order."""

_RESTART = 0.5
"""Seconds between two looks for processes that have ended."""

API_KEY = "an-admin-key-that-is-only-good-for-tests"
"""By which tests ask the API of a deployment."""

_ANSWER = 60.0
"""Seconds that a process has for telling how it is."""

_LAST_WORDS = 3000

_OWN_FAULT = ("no progress", "not come to an end", "still running")
"""What a process says of itself that got stuck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where everything is that the processes need; `session` is in seconds, and logs go to the folder.

    `prefix` is that of the names of topics and groups, where a Kafka is shared.
    """

    kafka: str
    database: str
    targets: RunningSandboxes
    folder: Path
    partitions: int = 4
    session: float = 6.0
    prefix: str = ""
    epoch: str = "1"

    @property
    def variables(self) -> dict[str, str]:
        """The settings as variables of the environment."""
        url = urlsplit(self.database)
        place = url._replace(netloc=f"{url.username}@{url.hostname}:{url.port}")
        named = {
            "database_url": urlunsplit(place),
            "database_password": url.password or "",
            "secret_key": "a secret key that is only good for tests",
            "admin_key": API_KEY,
            "kafka_servers": self.kafka,
            "kafka_partitions": str(self.partitions),
            "kafka_prefix": self.prefix,
            "epoch": self.epoch,
            "kafka_session_timeout": str(self.session),
            "driveri_url": self.targets.driveri,
            "motive_url": self.targets.motive,
            **UNHURRIED,
        }
        return {f"{PREFIX}{name.upper()}": value for name, value in named.items()}

    @property
    def settings(self) -> DistributedSettings:
        """The settings as the services read them."""
        named = {name.removeprefix(PREFIX).lower(): value for name, value in self.variables.items()}
        return DistributedSettings.model_validate(named)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process of this deployment, and of no other one."""
        others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return {**others, **self.variables}

    def prepare(self) -> None:
        """Make topics and tables, by the commands that an operator would give."""
        for command in (("topics", "create"), ("database", "migrate")):
            with TemporaryFile() as output:
                status = Loaded(command, self.environment, output).wait(_PATIENCE)
                output.seek(0)
                assert status == 0, output.read().decode()


@dataclass(slots=True, kw_only=True)
class Serving:
    """`driverlink serve` for one service, which can be started any number of times; its output is kept in a file.

    It begins loaded, or else as the command.
    """

    service: Sequence[str]
    name: str
    deployment: Deployment
    member: str = ""
    port: int = field(default_factory=free_port)
    is_loaded: bool = True
    process: "Loaded | subprocess.Popen[bytes] | None" = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self.process is not None and self.process.poll() is None

    @property
    def has_fallen(self) -> bool:
        """Whether it has ended, not killed, and not as a process does that could not go on: that may be restarted."""
        return self.process is not None and self.process.poll() is not None and not self.may_restart

    @property
    def may_restart(self) -> bool:
        """Whether it has ended with status 1 and one clear line that says what failed, other than itself."""
        if self.process is None or self.process.poll() != 1:
            return False
        last = (self.last_words.splitlines() or [""])[-1]
        return last.startswith("driverlink: ") and not any(each in last for each in _OWN_FAULT)

    @property
    def last_words(self) -> str:
        """The end of what it said."""
        return self._log.read_text(errors="replace")[-_LAST_WORDS:] if self._log.exists() else ""

    def start(self) -> None:
        """Start it; it need not have any work yet."""
        variables = {f"{PREFIX}HTTP_PORT": str(self.port), f"{PREFIX}MEMBER": self.member}
        with self._log.open("ab") as log:
            self.process = self._started({**self.deployment.environment, **variables}, log)

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self.tell(signal.SIGKILL)
        self.ended()
        self.process = None

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.process is not None:
            self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; the exit status. Raises `TimeoutExpired` when it does not end."""
        return self.process.wait(_PATIENCE) if self.process is not None else 0

    async def freeze(self, seconds: float) -> None:
        """Let it stand still for so long, as a process does that gets no processor."""
        self.tell(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.tell(signal.SIGCONT)

    async def progress(self) -> Json | None:
        """What it tells of itself, if it answers and is ready."""
        async with httpx.AsyncClient(timeout=_ANSWER, verify=NO_TLS) as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.port}/ready")
            except httpx.TransportError:
                return None
        progress: Json = answer.json()
        return progress if answer.is_success else None

    def _started(self, environment: Mapping[str, str], log: IO[bytes]) -> "Loaded | subprocess.Popen[bytes]":
        arguments = ["-v", "serve", *self.service]
        if self.is_loaded:
            return Loaded(arguments, environment, log)
        return subprocess.Popen([*_COMMAND, *arguments], env=environment, stdout=log, stderr=log)

    @property
    def _log(self) -> Path:
        return self.deployment.folder / f"{self.name}.log"


def every_service(deployment: Deployment, *, each: int = 2, is_loaded: bool = True) -> list[Serving]:
    """A process that relays accounts, one for intake, and this many of the decider and of each projector.

    The first of several has a lasting name, the others have none.
    """
    followers = (("decider",), ("projector", "--target", "driveri"), ("projector", "--target", "motive"))
    alone = [
        Serving(service=(name,), name=name, deployment=deployment, is_loaded=is_loaded)
        for name in ("accounts", "intake")
    ]
    several = [
        Serving(
            service=service,
            name=f"{service[0]}-{service[-1]}-{number}",
            deployment=deployment,
            member="" if number else "first",
            is_loaded=is_loaded,
        )
        for service in followers
        for number in range(each)
    ]
    return [*alone, *several]


@contextmanager
def started(servings: Sequence[Serving]) -> Iterator[None]:
    """While this lasts, these processes run; then they end in good order, and none may have ended before."""
    with ExitStack() as stack:
        for serving in servings:
            serving.start()
            stack.callback(serving.kill)
        yield
        check(servings)
        for serving in servings:
            serving.tell(signal.SIGTERM)
        statuses = {serving.name: serving.ended() for serving in servings}
        assert set(statuses.values()) == {0}, statuses


@asynccontextmanager
async def running(servings: Sequence[Serving]) -> AsyncIterator[None]:
    """As `started`; meanwhile a process that could not go on is started again, as compose and systemd do it."""
    with started(servings):
        restarting = asyncio.create_task(_restart(servings))
        try:
            yield
        finally:
            restarting.cancel()


async def _restart(servings: Sequence[Serving]) -> None:
    while True:
        for serving in servings:
            if serving.may_restart:
                serving.start()
        await asyncio.sleep(_RESTART)


def check(servings: Sequence[Serving]) -> None:
    """Fail with the last words of those that have ended by themselves."""
    assert {serving.name: serving.last_words for serving in servings if serving.has_fallen} == {}


async def until_ready(servings: Sequence[Serving]) -> None:
    """Wait until each process is ready; one that has only just begun would not end in good order."""
    for serving in servings:
        while await serving.progress() is None:  # noqa: ASYNC110 - another process gives no event
            await asyncio.sleep(0.2)


async def rolled(servings: Sequence[Serving]) -> None:
    """End each process in good order, and start it again, as a new version is rolled out.

    That happens to all services at once, and to the processes of each one after the other.
    """
    async with asyncio.TaskGroup() as rolling:
        for group in _by_service(servings):
            rolling.create_task(_rolled(group))


async def _rolled(group: Sequence[Serving]) -> None:
    for serving in group:
        serving.tell(signal.SIGTERM)
        assert await asyncio.to_thread(serving.ended) == 0, serving.last_words
        serving.start()
        await until_ready([serving])


async def until_shared_out(servings: Sequence[Serving], partitions: int) -> None:
    """Wait until the processes of each service hold all partitions together, and each of them some.

    Fails with the last words of those that have ended by themselves.
    """
    for group in _by_service(servings):
        while not _is_shared_out([await serving.progress() for serving in group], partitions):
            check(group)
            await asyncio.sleep(0.2)


def _by_service(servings: Sequence[Serving]) -> list[list[Serving]]:
    services = dict.fromkeys(tuple(serving.service) for serving in servings)
    return [[serving for serving in servings if tuple(serving.service) == service] for service in services]


def _is_shared_out(told: Sequence[Json | None], partitions: int) -> bool:
    held = [each["partitions"] if each else 0 for each in told]
    return sum(held) == partitions and min(held) > 0
