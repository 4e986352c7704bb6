"""The rebuild of all read models, beside just reading and decoding the same events.

One account on both targets; each of its drivers was created and then updated, and both targets did everything at once.
On SQLite, and on PostgreSQL with the same logs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from domain.identity import AccountId
from services.api.installation import Installation
from services.decider.read_models import LinkRow
from services.runtime.caching import CachingStore
from services.sandbox.demo import RunningSandboxes
from services.wiring.distributed import Distributed, migrate_database
from services.wiring.embedded import open_embedded
from services.wiring.rebuild import rebuild
from services.wiring.settings import EmbeddedSettings
from tests.benchmarks.budgets import REBUILD
from tests.benchmarks.findings import Finding
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.history import copy, live, records
from tests.benchmarks.profiling import profiled
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Telling
from tests.support.distributed import Deployment

DRIVERS = 2_000
EDITIONS = 3
"""How often the Portal states each driver: every time each target is asked once, and answers."""

_NOWHERE = RunningSandboxes(driveri="http://127.0.0.1:1", motive="http://127.0.0.1:1")


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """Both shapes."""
    with _shapes(servers.database(), telling) as shapes:
        done = telling("rebuild", len(shapes))
        findings = []
        for number, (name, (installation, _)) in enumerate(shapes.items(), 1):
            findings.append(_finding(name, installation))
            done(number)
    return findings


def profiles(servers: Servers, telling: Telling) -> Mapping[str, str]:
    """Where the time goes."""
    found = {}
    with _shapes(servers.database(), telling) as shapes:
        for name, (installation, _) in shapes.items():
            with profiled() as profiler:
                _rebuild(installation)
            found[f"rebuild, {name}"] = profiler.text()
    return found


@contextmanager
def _shapes(url: str, telling: Telling) -> Iterator[Mapping[str, tuple[Installation, Path]]]:
    """Two installations with the same logs, and where each of them is rebuilt."""
    with TemporaryDirectory(prefix="driverlink-") as temporary:
        folder = Path(temporary)
        deployment = Deployment(kafka="", database=url, targets=_NOWHERE, folder=folder)
        migrate_database(deployment.settings)
        embedded, distributed = open_embedded(EmbeddedSettings(data=folder)), Distributed(deployment.settings)
        with closing(embedded), closing(distributed.installation()) as other:
            fleet = Fleet(account=AccountId("busy"), drivers=DRIVERS)
            live(embedded, fleet, EDITIONS, telling("rebuild: history", EDITIONS))
            copy(embedded, other)
            yield {"SQLite": (embedded, folder), "PostgreSQL": (other, folder)}


def _finding(name: str, installation: Installation) -> Finding:
    reading, events = _timed(lambda: _read(installation))
    rebuilding, _ = _timed(lambda: _rebuild(installation))
    return Finding(
        what=f"rebuild, {name}: to reading the log",
        ours=events / rebuilding,
        unit="events a second",
        budget=REBUILD,
        beside=events / reading,
        behind={"events": float(events)},
    )


def _read(installation: Installation) -> int:
    every = (record for service in installation.services for some in records(service.store) for record in some)
    return sum(record.event is not None for record in every)


def _rebuild(installation: Installation) -> int:
    kept = {service.name: service.store for service in installation.services}
    stores: Any = {name: store.behind if isinstance(store, CachingStore) else store for name, store in kept.items()}
    rebuild(stores, partition_of=installation.partition_of)
    links = installation.decider_service.store.count(LinkRow, {"state": "in_sync"})
    if links != {(): DRIVERS * 2}:
        raise AssertionError(f"rebuilt {links} links in sync, of {DRIVERS} drivers on two targets")
    return len(stores)


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    began = perf_counter()
    result = work()
    return perf_counter() - began, result
