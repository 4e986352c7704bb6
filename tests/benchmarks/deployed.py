"""The whole distributed shape, with every service a process, and stand-ins of both targets."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep

from domain.account import Mode
from domain.identity import Target
from domain.ports import PortalLine
from services.api.installation import Installation
from services.decider.read_models import LinkRow
from services.runtime.consumer import BATCH
from services.wiring.distributed import Distributed
from tests.benchmarks.fleet import MASTER_USER, Fleet, added_by
from tests.benchmarks.fleet import profile as stated
from tests.benchmarks.profiling import BEGIN
from tests.benchmarks.servers import Servers
from tests.benchmarks.standing_in import StandIns, credentials, standing_in
from tests.benchmarks.telling import Done
from tests.support.distributed import Deployment, Serving, check, every_service, started, until_shared_out
from tests.support.stated import whole

PARTITIONS = 12

PROFILE = ".profile"
"""How the names of files end that tell where a process's time went."""

_PAUSE = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


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
    """What there is while it runs: the services' processes, their stores as commands reach them, and the targets."""

    servings: Sequence[Serving]
    installation: Installation
    stand_ins: StandIns

    def opt_in(self, fleet: Fleet, mode: Mode = Mode.FULL) -> None:
        """Let an account be connected, and turn Sync Drivers on; its drivers are stated before that."""
        asked = self.installation
        asked.accounts.add(fleet.account, "operator", partial(added_by, mode=mode))
        for target in Target:
            asked.credentials.keep(fleet.account, target, credentials(target, fleet.account))
        lines = [
            PortalLine(line=each, driver=fleet.driver(each), profile=whole(stated(each))) for each in fleet.numbers
        ]
        for start in range(0, len(lines), BATCH):
            asked.intake.take_list(fleet.account, lines[start : start + BATCH], source="api")
        asked.accounts.ask(fleet.account, MASTER_USER, lambda person, known: person.turn_on(known))

    def until(self, state: str, links: int, done: Done) -> None:
        """Wait until this many links are in this state."""
        store, found = self.installation.decider_service.store, 0
        while found < links:
            found = store.count(LinkRow, {"state": state}).get((), 0)
            done(found)
            check(self.servings)
            sleep(_PAUSE)

    def profile(self) -> None:
        """Reset the counts of the profiled processes."""
        for each in self.servings:
            if isinstance(each, ProfiledServing):
                each.tell(BEGIN)

    def seconds(self) -> dict[str, float]:
        """The processor time that each process has used."""
        return {each.name: _seconds(each.process.pid) for each in self.servings if each.process}

    def peaks(self) -> dict[str, float]:
        """The most memory that each process has had, in megabytes."""
        return {each.name: _peak(each.process.pid) for each in self.servings if each.process}


@contextmanager
def deployed(
    servers: Servers, accounts: Sequence[str], folder: Path, *, is_profiled: bool = False
) -> Iterator[Deployed]:
    """While this lasts, everything runs and holds its partitions, with a tenant and a company for each account.

    What the processes say is in the folder, and where their time went when they have ended, if they are profiled.
    """
    with standing_in(accounts) as (targets, stand_ins):
        deployment = Deployment(
            kafka=servers.kafka, database=servers.database(), targets=targets, folder=folder, partitions=PARTITIONS
        )
        deployment.prepare()
        every = every_service(deployment, each=1)
        servings = [_profiled(each) for each in every] if is_profiled else every
        with closing(Distributed(deployment.settings).installation()) as installation, started(servings):
            followers = [each for each in servings if each.name not in ("accounts", "intake")]
            asyncio.run(until_shared_out(followers, PARTITIONS))
            yield Deployed(servings=servings, installation=installation, stand_ins=stand_ins)


def _profiled(serving: Serving) -> ProfiledServing:
    return ProfiledServing(
        service=serving.service, name=serving.name, deployment=serving.deployment, member=serving.member
    )


def _seconds(process: int) -> float:
    """Source: proc(5), /proc/pid/stat, fields 14 and 15."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(process: int) -> float:
    """Source: proc(5), /proc/pid/status, VmHWM in kilobytes."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
