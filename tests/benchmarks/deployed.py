"""The whole distributed shape, with every service a process, and stand-ins of both targets."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

from domain.account import Request
from domain.identity import Target
from domain.ports import PortalLine
from services.accounts.handlers import AccountRow
from services.api.installation import Installation
from services.decider.read_models import LinkRow, ReconciliationRow
from services.runtime.consumer import BATCH
from services.wiring.distributed import Distributed
from tests.benchmarks.fleet import MASTER_USER, Fleet, added_by
from tests.benchmarks.fleet import profile as stated
from tests.benchmarks.processes import peak_of, seconds_of
from tests.benchmarks.profiling import BEGIN
from tests.benchmarks.servers import PARTITIONS, Servers
from tests.benchmarks.stand_in import Targets, credentials
from tests.benchmarks.telling import Done
from tests.support.distributed import Deployment, Serving, check, every_service, started, until_ready, until_shared_out
from tests.support.stated import whole

PROFILE = ".profile"
"""How the names of files end that tell where a process's time went."""

_PAUSE = 0.25
_SHARE = 20
"""How many times as long as a look the pause behind it is at least: counting millions of links takes time, too."""


@dataclass(slots=True, kw_only=True)
class ProfiledServing(Serving):
    """A process that tells at its end, in a file, where its time went since counting was reset."""

    def start(self) -> None:
        """Start it; it need not have any work yet."""
        profile = self.deployment.folder / f"{self.name}{PROFILE}"
        command = [sys.executable, "-m", "tests.benchmarks.profiling", str(profile), "serve", *self.service]
        variables = {"DRIVERLINK_HTTP_PORT": str(self.port), "DRIVERLINK_MEMBER": self.member}
        with self._log.open("ab") as log:
            environment = {**self.deployment.environment, **variables}
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What there is while it runs: the services' processes, and their stores as commands reach them."""

    servings: Sequence[Serving]
    installation: Installation

    def opt_in(self, fleet: Fleet) -> None:
        """Let an account be known, its drivers stated, and Sync Drivers turned on."""
        self.state(fleet)
        self.turn_on(fleet)

    def state(self, fleet: Fleet) -> None:
        """Make an account known, connect it to both targets, and state its drivers."""
        asked = self.installation
        if not asked.accounts_service.store.count(AccountRow, {"account": fleet.account}).get(()):
            asked.accounts.add(fleet.account, "operator", added_by)
        for target in Target:
            asked.credentials.keep(fleet.account, target, credentials(target, fleet.account))
        lines = [
            PortalLine(line=each, driver=fleet.driver(each), profile=whole(stated(each))) for each in fleet.numbers
        ]
        for start in range(0, len(lines), BATCH):
            asked.intake.take_list(fleet.account, lines[start : start + BATCH], source="api")

    def reconcile(self, fleet: Fleet) -> None:
        """Let the Master User request a reconciliation of everybody, on both targets."""
        for target in Target:
            asking = partial(Request.reconciliation, target=target)
            self.installation.accounts.ask(fleet.account, MASTER_USER, asking)

    def until_reconciled(self, reconciliations: int, done: Done) -> None:
        """Wait until as many accounts on a target have been reconciled at a person's request."""
        store = self.installation.decider_service.store

        def answered() -> int:
            return sum(rows for (request,), rows in store.count(ReconciliationRow, by=["answered"]).items() if request)

        self._until(answered, reconciliations, done)

    def restart(self) -> float:
        """End all processes in good order and start them again; the seconds until they hold their partitions."""
        for each in self.servings:
            each.tell(signal.SIGTERM)
        for each in self.servings:
            each.ended()
        began = perf_counter()
        for each in self.servings:
            each.start()
        asyncio.run(until_ready(self.servings))
        asyncio.run(until_shared_out(consuming(self.servings), PARTITIONS))
        return perf_counter() - began

    def turn_on(self, fleet: Fleet) -> None:
        """Let the Master User turn Sync Drivers on."""
        self.installation.accounts.ask(fleet.account, MASTER_USER, lambda person, known: person.turn_on(known))

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        """Commit one change at intake."""
        profile = whole(stated(number, edition=edition))
        self.installation.intake.state(fleet.account, fleet.driver(number), profile, source="api")

    def until(self, state: str, links: int, done: Done) -> None:
        """Wait until this many links are in this state."""
        store = self.installation.decider_service.store
        self._until(lambda: store.count(LinkRow, {"state": state}).get((), 0), links, done)

    def _until(self, count: Callable[[], int], wanted: int, done: Done) -> None:
        found = 0
        while found < wanted:
            began = perf_counter()
            found = count()
            took = perf_counter() - began
            done(found)
            check(self.servings)
            if found < wanted:
                sleep(max(_PAUSE, _SHARE * took))

    def profile(self) -> None:
        """Reset the counts of the profiled processes."""
        for each in self.servings:
            if isinstance(each, ProfiledServing):
                each.tell(BEGIN)

    def seconds(self) -> dict[str, float]:
        """The processor time that each process has used."""
        return {each.name: seconds_of(each.process.pid) for each in self.servings if each.process}

    def peaks(self) -> dict[str, float]:
        """The most memory that each process has had, in megabytes."""
        return {each.name: peak_of(each.process.pid) for each in self.servings if each.process}


@contextmanager
def deployed(
    servers: Servers,
    targets: Targets,
    folder: Path,
    *,
    database: str = "",
    name: str = "",
    has_statistics: bool = True,
    is_profiled: bool = False,
) -> Iterator[Deployed]:
    """While this lasts, everything runs and holds its partitions, on a database and topics of its own.

    They are new, unless the database is given, and the name under which the topics were made before.
    What the processes say is in the folder, and where their time went when they have ended, if they are profiled.
    """
    deployment = Deployment(
        kafka=servers.kafka,
        database=database or servers.database(),
        targets=targets.running,
        folder=folder,
        partitions=PARTITIONS,
        prefix=f"{name or f'bench-{uuid4().hex[:8]}'}.",
    )
    deployment.prepare()
    if not has_statistics:
        without_statistics(deployment.database)
    every = every_service(deployment, each=1, is_loaded=False)
    servings = [_profiled(each) for each in every] if is_profiled else every
    with closing(Distributed(deployment.settings).installation()) as installation, started(servings):
        asyncio.run(until_shared_out(consuming(servings), PARTITIONS))
        yield Deployed(servings=servings, installation=installation)


def consuming(servings: Sequence[Serving]) -> Sequence[Serving]:
    """Those that consume streams."""
    return [each for each in servings if each.name not in ("accounts", "intake")]


def without_statistics(url: str) -> None:
    """Let no table of this database be analysed by the server itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            off = SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(Identifier(schema, table))
            connection.execute(off)


def _profiled(serving: Serving) -> ProfiledServing:
    return ProfiledServing(
        service=serving.service, name=serving.name, deployment=serving.deployment, member=serving.member
    )
