"""From a change that the Portal posts to the API, signed, to the request at both targets, over Kafka and PostgreSQL.

Ten changes a second, beside a bare pipeline, in turns; what is posted counts from before it is posted, while the bare
pipeline counts from its commit.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import reduce
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, time

from standardwebhooks.webhooks import Webhook

from domain.identity import Target
from domain.ports import SigningSecrets
from services.api import V1
from tests.benchmarks.bare_pipeline import bare_pipeline
from tests.benchmarks.budgets import LATENCY
from tests.benchmarks.deployed import Deployed, deployed
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import Fleet, many_fleets, profile
from tests.benchmarks.load import Load, Run
from tests.benchmarks.processes import seconds_of
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import standing_in
from tests.benchmarks.telling import Telling
from tests.support.distributed import Serving, started, until_ready

RATE, SECONDS = 10, 12.0
ACCOUNTS, DRIVERS = 10, 40
TURNS = ("bare", "ours", "ours", "bare")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Pushing:
    """The distributed deployment, with a process of the API that takes what the Portal pushes."""

    def __init__(self, running: Deployed, api: Serving) -> None:
        self._running = running
        self._api = api
        self._connection = HTTPConnection("127.0.0.1", api.port, timeout=60.0)
        self._posted: dict[tuple[int, int], float] = {}

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        """Post one change, and wait for the answer."""
        data = {"driver": fleet.driver(number), "profile": profile(number, edition=edition)}
        body, at = json.dumps({"type": "driver.changed", "data": data}), datetime.fromtimestamp(int(time()), UTC)
        push = f"msg_{number}_{edition}"
        headers = {
            "content-type": "application/json",
            "webhook-id": push,
            "webhook-timestamp": f"{at.timestamp():.0f}",
            "webhook-signature": Webhook(SECRET).sign(push, at, body),
        }
        self._posted[number, edition] = perf_counter()
        self._connection.request("POST", f"{V1}/accounts/{fleet.account}/changes", body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 202, text

    def seconds(self) -> Mapping[str, float]:
        """The processor time that each process has used."""
        api = {"api": seconds_of(self._api.process.pid)} if self._api.process else {}
        return {**self._running.seconds(), **api}

    def posted(self) -> Mapping[tuple[int, int], float]:
        """When each change was posted."""
        return self._posted

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """Median and 99th percentile."""
    done, runs = telling("pushing", len(TURNS)), list[tuple[str, Run]]()
    with (
        TemporaryDirectory(prefix="driverlink-") as folder,
        pushing(servers, telling, Path(folder)) as ours,
        standing_in(DRIVERS) as targets,
        bare_pipeline(servers, targets) as bare,
    ):
        loads = {"ours": ours, "bare": Load(bare, targets, many_fleets(ACCOUNTS, DRIVERS))}
        for turn in TURNS:
            runs.append((turn, loads[turn].run(RATE, SECONDS)))
            done(len(runs))
    own, beside = (reduce(Run.with_another, [run for turn, run in runs if turn == name]) for name in ("ours", "bare"))
    what, behind = f"pushed at {RATE}/s", {**own.figures("ours"), **beside.figures("bare")}
    return [
        Finding(
            what=f"{what}: median", ours=own.median, unit="ms", budget=LATENCY, beside=beside.median, behind=behind
        ),
        Finding(what=f"{what}: 99th percentile", ours=own.tail, unit="ms", budget=LATENCY, beside=beside.tail),
    ]


@contextmanager
def pushing(servers: Servers, telling: Telling, folder: Path) -> Iterator[Load]:
    """While this lasts, the services and the API run, all drivers are linked, and every account has a secret."""
    fleets, links = many_fleets(ACCOUNTS, DRIVERS), ACCOUNTS * DRIVERS * len(Target)
    with standing_in(DRIVERS) as targets, deployed(servers, targets, folder) as running:
        for fleet in fleets:
            running.opt_in(fleet)
            secrets = SigningSecrets(secret=SECRET, since=0.0)
            running.installation.credentials.keep_signing_secrets(fleet.account, "portal", secrets)
        running.until("in_sync", links, telling("linking", links))
        api = Serving(service=("api",), name="api", deployment=running.servings[0].deployment)
        with started([api]), closing(Pushing(running, api)) as pipeline:
            asyncio.run(until_ready([api]))
            yield Load(pipeline, targets, fleets, commits=pipeline.posted)
