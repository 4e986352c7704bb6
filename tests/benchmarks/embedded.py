"""The latency of the embedded deployment beside that of the distributed one, at 100 changes a second, in turns.

`driverlink up` on a data folder takes each change at its API, as everybody's changes come to it, over several
connections that stay, so that no change waits for the answer to the one before. When intake committed a change is in
its log: the moment is taken right before the transaction, which counts against us.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

from msgspec.json import decode, encode

from domain.identity import Target
from domain.portal import Change
from services.api import V1
from services.wiring.data_folder import DataFolder
from tests.benchmarks.budgets import EMBEDDED, REACHED
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import MASTER_USER, Fleet, edition_of, many_fleets, number_of, profile
from tests.benchmarks.latency import Both
from tests.benchmarks.load import ACCOUNTS, DRIVERS, Load, Run
from tests.benchmarks.processes import seconds_of
from tests.benchmarks.stand_in import Targets, credentials, standing_in
from tests.benchmarks.telling import Done, Telling
from tests.support.stored import log_beside
from tests.support.unhurried import UNHURRIED

RATE, SECONDS = 100, 8.0
TURNS = ("distributed", "embedded", "embedded", "distributed")

CLIENTS = 8
"""Connections, and so changes that may be sent and not answered at the same time."""

COMMAND = (sys.executable, "-m", "services.cli")

_START = 60.0
_PAUSE = 0.25
_TOGETHER = 500


class _Connection(HTTPConnection):
    """A connection to the socket of a data folder, which costs the machine that is measured next to nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__("driverlink", timeout=60.0)
        self._path = path

    def connect(self) -> None:
        """Connect with the first request."""
        self.sock = socket(AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Client:
    """The API of a running `driverlink up`; each thread that asks has a connection of its own, which stays."""

    def __init__(self, data: Path) -> None:
        self._path = DataFolder(data).socket
        self._own = threading.local()

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """What it answers."""
        return decode(self._ask("GET", path))

    def post(self, path: str, body: bytes) -> None:
        """Let it do something."""
        self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = self._own.__dict__.setdefault("connection", _Connection(self._path))
        connection.request(method, V1 + path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer: bytes = response.read()
        if response.status >= 400:
            raise AssertionError(f"{method} {path}: {response.status} {answer.decode()}")
        return answer


class Embedded:
    """A running `driverlink up`, seen from its API."""

    def __init__(self, process: int, client: _Client, sending: ThreadPoolExecutor) -> None:
        self._process = process
        self._client = client
        self._sending = sending
        self._sent: list[Future[None]] = []

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        """Let it commit one change, and do not wait for the answer."""
        self._sent.append(self._sending.submit(self._client.post, *_stated(fleet, [number], edition)))

    def seconds(self) -> dict[str, float]:
        """The processor time that it has used, once everything that was sent has been answered. Raises what failed."""
        for sent in self._sent:
            sent.result()
        self._sent.clear()
        return {"up": seconds_of(self._process)}

    def opt_in(self, fleet: Fleet) -> None:
        """State an account's drivers, connect it, and turn Sync Drivers on."""
        self._post("/accounts", {"account": fleet.account, "tier": "pro", "mode": "full", "master_user": MASTER_USER})
        for target in Target:
            values = credentials(target, fleet.account)
            self._post(f"/accounts/{fleet.account}/credentials", {"target": target, "values": values})
        numbers = [*fleet.numbers]
        for start in range(0, len(numbers), _TOGETHER):
            self._client.post(*_stated(fleet, numbers[start : start + _TOGETHER], 1))
        self._post(f"/accounts/{fleet.account}/sync", {"by": MASTER_USER, "on": True})

    def until_in_sync(self, links: int, done: Done) -> None:
        """Wait until this many links are in sync."""
        found = 0
        while found < links:
            progress = self._client.get("/progress")
            found = sum(progress["in_sync"].values())
            done(found)
            sleep(_PAUSE)

    def _post(self, path: str, body: Mapping[str, object]) -> None:
        self._client.post(path, encode(body))


def _stated(fleet: Fleet, numbers: Sequence[int], edition: int) -> tuple[str, bytes]:
    """The request that states these drivers of an account: its path and its body."""
    lines = [
        {"line": place, "driver": fleet.driver(number), "profile": profile(number, edition=edition)}
        for place, number in enumerate(numbers, 1)
    ]
    return f"/accounts/{fleet.account}/lists", encode({"lines": lines})


def measure(both: Both, telling: Telling) -> Sequence[Finding]:
    """Both medians, and the one by the other."""
    with _embedded(telling) as embedded:
        done, loads = telling("embedded", len(TURNS)), {"distributed": both.ours, "embedded": embedded}
        runs: list[tuple[str, Run]] = []
        for turn in TURNS:
            runs.append((turn, loads[turn].run(RATE, SECONDS)))
            done(len(runs))
    one, other = (reduce(Run.with_another, [run for turn, run in runs if turn == name]) for name in reversed(loads))
    return [
        Finding(
            what=f"embedded at {RATE}/s: changes taken, to those sent",
            ours=one.rate,
            unit="changes a second",
            budget=REACHED,
            beside=RATE,
        ),
        Finding(
            what=f"embedded at {RATE}/s: median, to the distributed deployment's",
            ours=one.median,
            unit="ms",
            budget=EMBEDDED,
            beside=other.median,
            behind={
                **one.figures("embedded"),
                "embedded: ms, 99th percentile": one.tail,
                **other.figures("distributed"),
                "distributed: ms, 99th percentile": other.tail,
            },
        ),
    ]


@contextmanager
def _embedded(telling: Telling) -> Iterator[Load]:
    """While this lasts, `driverlink up` runs, and all drivers are linked."""
    fleets, links = many_fleets(ACCOUNTS, DRIVERS), ACCOUNTS * DRIVERS * len(Target)
    with (
        standing_in(DRIVERS) as targets,
        TemporaryDirectory(prefix="dl-") as parent,
        running_up(Path(parent) / "data", targets) as process,
        ThreadPoolExecutor(CLIENTS) as sending,
    ):
        up = Embedded(process, _Client(Path(parent) / "data"), sending)
        for fleet in fleets:
            up.opt_in(fleet)
        up.until_in_sync(links, telling("linking, embedded", links))
        yield Load(up, targets, fleets, commits=_Commits(Path(parent) / "data").new)


class _Commits:
    """The moments at which intake committed changes, by its own log, which is read beside it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._position = 0

    def new(self) -> dict[tuple[int, int], float]:
        """By number and edition, for the changes since the last look: as `perf_counter` counts."""
        moments, offset = dict[tuple[int, int], float](), perf_counter() - time.time()
        with log_beside(self._data, "intake") as log:
            while some := log.read(self._position, _TOGETHER):
                for record in some:
                    if isinstance(record.event, Change):
                        stated = number_of(record.event.driver), edition_of(record.event.profile["last_name"])
                        moments[stated] = record.event.at.timestamp() + offset
                self._position = some[-1].position
        return moments


@contextmanager
def running_up(data: Path, targets: Targets | None = None) -> Iterator[int]:
    """While this lasts, `driverlink up` runs on a data folder, and answers; its process."""
    urls = {f"DRIVERLINK_{name}_URL": targets.url for name in ("DRIVERI", "MOTIVE", "PORTAL")} if targets else {}
    unhurried = {f"DRIVERLINK_{name.upper()}": value for name, value in UNHURRIED.items()}
    environment = {**os.environ, "DRIVERLINK_DATA": str(data), **unhurried, **urls}
    up = subprocess.Popen([*COMMAND, "up"], env=environment, stderr=subprocess.DEVNULL)
    try:
        end = perf_counter() + _START
        while not DataFolder(data).socket.exists() and up.poll() is None and perf_counter() < end:
            sleep(0.05)
        yield up.pid
    finally:
        up.terminate()
        up.wait()
