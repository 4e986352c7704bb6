"""The latency of the embedded deployment beside that of the distributed one, at 100 changes a second, in turns.

`driverlink up` on a data folder takes each change at its API, as everybody's changes come to it, from several clients,
so that none waits for the answer to the change before. When intake committed a change is in its log: the moment is
taken right before the transaction, which counts against us.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import httpx

from adapters.store.sqlite import SqliteStore
from domain.identity import Target
from domain.portal import Change
from services.runtime.context import CHANGES
from services.wiring.data_folder import DataFolder
from tests.benchmarks.budgets import EMBEDDED
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import MASTER_USER, Fleet, edition_of, many_fleets, number_of, profile
from tests.benchmarks.latency import ours
from tests.benchmarks.load import ACCOUNTS, DRIVERS, Load, Run
from tests.benchmarks.processes import seconds_of
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import Targets, credentials, standing_in
from tests.benchmarks.telling import Done, Telling
from tests.support.unhurried import UNHURRIED

RATE, SECONDS = 100, 8.0
TURNS = ("distributed", "embedded", "embedded", "distributed")

CLIENTS = 8
"""Changes that may be sent and not answered at the same time."""

COMMAND = (sys.executable, "-m", "services.cli")

_START = 60.0
_PAUSE = 0.25
_TOGETHER = 500


class Embedded:
    """A running `driverlink up`, seen from its API."""

    def __init__(self, process: int, client: httpx.Client, sending: ThreadPoolExecutor) -> None:
        self._process = process
        self._client = client
        self._sending = sending
        self._sent: list[Future[None]] = []

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        """Let it commit one change, and do not wait for the answer."""
        self._sent.append(self._sending.submit(self._state, fleet, [number], edition))

    def seconds(self) -> dict[str, float]:
        """The processor time that it has used, once everything that was sent has been answered. Raises what failed."""
        for sent in self._sent:
            sent.result()
        self._sent.clear()
        return {"up": seconds_of(self._process)}

    def opt_in(self, fleet: Fleet) -> None:
        """State an account's drivers, connect it, and turn Sync Drivers on."""
        self._post("/accounts", {"account": fleet.account, "tier": "pro", "master_user": MASTER_USER})
        for target in Target:
            values = credentials(target, fleet.account)
            self._post(f"/accounts/{fleet.account}/credentials", {"target": target, "values": values})
        numbers = [*fleet.numbers]
        for start in range(0, len(numbers), _TOGETHER):
            self._state(fleet, numbers[start : start + _TOGETHER], 1)
        self._post(f"/accounts/{fleet.account}/sync", {"by": MASTER_USER, "on": True})

    def until_in_sync(self, links: int, done: Done) -> None:
        """Wait until this many links are in sync."""
        found = 0
        while found < links:
            progress = self._client.get("/progress").raise_for_status().json()
            found = sum(progress["in_sync"].values())
            done(found)
            sleep(_PAUSE)

    def _state(self, fleet: Fleet, numbers: Sequence[int], edition: int) -> None:
        lines = [
            {"line": place, "driver": fleet.driver(number), "profile": profile(number, edition=edition)}
            for place, number in enumerate(numbers, 1)
        ]
        self._post(f"/accounts/{fleet.account}/lists", {"lines": lines})

    def _post(self, path: str, body: object) -> None:
        self._client.post(path, json=body).raise_for_status()


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """Both medians, and the one by the other."""
    with (
        TemporaryDirectory(prefix="driverlink-") as folder,
        ours(servers, telling, Path(folder)) as (_, distributed),
        _embedded(telling) as embedded,
    ):
        done, loads = telling("embedded", len(TURNS)), {"distributed": distributed, "embedded": embedded}
        runs: list[tuple[str, Run]] = []
        for turn in TURNS:
            runs.append((turn, loads[turn].run(RATE, SECONDS)))
            done(len(runs))
    one, other = (reduce(Run.with_another, [run for turn, run in runs if turn == name]) for name in reversed(loads))
    return [
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
        )
    ]


@contextmanager
def _embedded(telling: Telling) -> Iterator[Load]:
    """While this lasts, `driverlink up` runs, and all drivers are linked."""
    fleets, links = many_fleets(ACCOUNTS, DRIVERS), ACCOUNTS * DRIVERS * len(Target)
    with (
        standing_in(DRIVERS) as targets,
        TemporaryDirectory(prefix="dl-") as parent,
        running_up(Path(parent) / "data", targets) as process,
        _client(Path(parent) / "data") as client,
        ThreadPoolExecutor(CLIENTS) as sending,
    ):
        up = Embedded(process, client, sending)
        for fleet in fleets:
            up.opt_in(fleet)
        up.until_in_sync(links, telling("linking, embedded", links))
        yield Load(up, targets, fleets, commits=_Commits(Path(parent) / "data").new)


class _Commits:
    """The moments at which intake committed changes, by its own log, which is read beside it."""

    def __init__(self, data: Path) -> None:
        self._file = DataFolder(data).file("intake")
        self._position = 0

    def new(self) -> dict[tuple[int, int], float]:
        """By number and edition, for the changes since the last look: as `perf_counter` counts."""
        moments, offset = dict[tuple[int, int], float](), perf_counter() - time.time()
        with closing(SqliteStore(self._file, log_name=CHANGES, rows=(), is_reader=True)) as store:
            while some := store.log.read(self._position, _TOGETHER):
                for record in some:
                    if isinstance(record.event, Change):
                        stated = number_of(record.event.driver), edition_of(record.event.profile["last_name"])
                        moments[stated] = record.event.at.timestamp() + offset
                self._position = some[-1].position
        return moments


@contextmanager
def running_up(data: Path, targets: Targets | None = None) -> Iterator[int]:
    """While this lasts, `driverlink up` runs on a data folder, and answers; its process."""
    urls = {"DRIVERLINK_DRIVERI_URL": targets.url, "DRIVERLINK_MOTIVE_URL": targets.url} if targets else {}
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


@contextmanager
def _client(data: Path) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(DataFolder(data).socket))
    with httpx.Client(transport=transport, base_url="http://driverlink", timeout=60.0) as client:
        yield client
