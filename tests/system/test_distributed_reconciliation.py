"""Plans and reconciliations by processes of which a projector and a decider are killed meanwhile.

The topics have one partition, so one process of each service does the work, and another one stands by.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from psycopg import AsyncConnection

from domain.identity import Target
from domain.outcomes import DriverLookedUp, RosterScanned
from domain.reconciliation import ReconciliationCompleted
from domain.store import Event
from services.api.installation import Installation
from services.decider.read_models import RunningReconciliation
from services.projector.read_models import LookUp, ScanProgress
from services.runtime.service import Service
from services.sandbox.demo import RunningSandboxes, Stage
from tests.support import exactly_once
from tests.support.acme import Json, acme_sandboxes, get_state, in_sync, open_account, put_state, until
from tests.support.commanding import Ended, command
from tests.support.distributed import Deployment, Serving, every_service, running, until_ready
from tests.support.patience import commanded, reached_by_commands
from tests.support.servers import Kafka
from tests.support.stepped_services import person

DRIVERS = range(1, 4)
CHANGED = {"drifted": 1, "in_sync": 1, "missing": 1, "unmanaged": 1}
"""What a reconciliation finds: one was edited by hand, one deleted, one added, and one left alone."""

EDITED = {"drifted": 1, "in_sync": 2, "unmanaged": 1}
RECONCILIATIONS = 3
"""The one that turning sync on begins with, and two on demand."""

SLOW_LIST = {"fault": "latency", "seconds": 5, "methods": ["GET"], "path": "/v1/users", "times": 1}
_SECONDS = 300.0
_LOOK = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How a sandbox keeps its drivers, and one that somebody adds."""

    accounts: str
    drivers: str
    last_name: str
    deleted: object
    unmanaged: Json


DRIVERI_KEEPS = Kept(
    accounts="tenants",
    drivers="drivers",
    last_name="lastName",
    deleted=4,
    unmanaged={"driverId": "S9", "firstName": "Some", "lastName": "Body", "status": 1},
)
MOTIVE_KEEPS = Kept(
    accounts="companies",
    drivers="users",
    last_name="last_name",
    deleted="deactivated",
    unmanaged={"first_name": "Some", "last_name": "Body", "email": "unmanaged driver@fleet.test", "role": "driver"},
)


class Scene:
    """Both sandboxes, the processes, what was stored, and the variables of commands that reach the API."""

    def __init__(
        self,
        deployment: Deployment,
        services: Sequence[Serving],
        stage: Stage,
        installation: Installation,
        commands: Mapping[str, str],
    ) -> None:
        self._deployment = deployment
        self._services = services
        self._stage = stage
        self._installation = installation
        self._commands = commands

    async def play(self) -> None:
        """Opt in by a plan; reconcile what people changed; twice the same field; one driver; apply the old plan."""
        await self._open_account()
        plan = await self._opt_in()
        await _change_by_hand(self._deployment.targets, _edit, _delete, _add)
        assert await self._reconciled_by_others() == {target: (CHANGED, {}) for target in Target}
        await self._until_in_step()

        await _change_by_hand(self._deployment.targets, _edit)
        assert _told(await self._command("reconcile", "acme", "--as", "maria", "--json")) == {
            target: (EDITED, {"last_name": 1}) for target in Target
        }
        await self._until_in_step()

        await _change_by_hand(self._deployment.targets, _edit)
        one = await self._command("reconcile", "acme", "--as", "maria", "--driver", "R1", "--json")
        found = [(each["driver"], each["finding"], each["drifted"]) for each in one.document["drivers"]]
        assert found == [("p1", "drifted", ["last_name"])] * len(Target)
        await self._until_in_step()
        await self._refused(plan)

    async def _open_account(self) -> None:
        await open_account(self._stage)
        lines = [{"line": each, "driver": f"p{each}", "profile": person(each)} for each in DRIVERS]
        await self._stage.post("/accounts/acme/lists", {"lines": lines})

    async def _opt_in(self) -> str:
        """The hash of the plan by which sync was turned on."""
        planned = (await self._command("plan", "acme", "--json")).document
        assert planned["counts"] == {target: {"create": len(DRIVERS)} for target in Target}
        assert await self._journals() == {target: [] for target in Target}
        applied = await self._apply(planned["digest"])
        assert applied.document["found"] == {target: {"absent": len(DRIVERS)} for target in Target}
        await self._until_in_step()
        return str(planned["digest"])

    async def _reconciled_by_others(self) -> dict[str, tuple[Json, Json]]:
        """What a reconciliation reports though the projector is killed as it reads.

        And the decider before it ends the reconciliation.
        """
        projector, decider = await self._working("projector-motive"), await self._working("decider")
        before = await self._journals()
        await self._slow_down()
        async with asyncio.TaskGroup() as group:
            reconciled = group.create_task(self._command("reconcile", "acme", "--as", "maria", "--json"))
            async with self._unending_reconciliations():
                await self._until_struck()
                projector.kill()
                await self._until_decided()
                decider.kill()
        told = _told(reconciled.result())
        await self._until_in_step()
        for target, journal in (await self._journals()).items():
            written = journal[len(before[target]) :]
            assert len(written) == 2
            assert exactly_once.repeated_effects(written) == []
        return told

    async def _refused(self, plan: str) -> None:
        before = await self._journals()
        refused = await self._apply(plan)
        assert (refused.status, "look at it again" in refused.err) == (1, True)
        assert await self._journals() == before

    async def _apply(self, plan: str) -> Ended:
        return await self._command("apply", "acme", "--plan", plan, "--as", "maria", "--json")

    async def _command(self, *words: str) -> Ended:
        return await asyncio.to_thread(command, self._commands, *words)

    async def _working(self, name: str) -> Serving:
        """The process of this service that has the partition."""
        while True:
            for serving in self._services:
                told = await serving.progress() if serving.name.startswith(name) else None
                if told and told["partitions"]:
                    return serving
            await asyncio.sleep(_LOOK)

    @asynccontextmanager
    async def _unending_reconciliations(self) -> AsyncIterator[None]:
        """While this lasts, no decider can store that a reconciliation has ended."""
        async with await AsyncConnection.connect(self._deployment.database) as connection:
            await connection.execute("LOCK TABLE decider.reconciliations IN SHARE MODE")
            yield

    async def _slow_down(self) -> None:
        async with httpx.AsyncClient(base_url=self._deployment.targets.motive) as client:
            answer = await client.put("/sandbox/faults", json={"rules": [SLOW_LIST]})
            assert answer.is_success, answer.text

    async def _until_struck(self) -> None:
        """Wait until Motive's list is being read."""
        async with httpx.AsyncClient(base_url=self._deployment.targets.motive) as client:
            while (await client.get("/sandbox/faults")).json()["struck"] != [1]:  # noqa: ASYNC110 - another process gives no event
                await asyncio.sleep(_LOOK)

    async def _until_decided(self) -> None:
        """Wait until every driver is decided on Driveri, and the reconciliation has not ended."""
        decider = self._installation.decider_service
        while not any(sum(work.found.values()) == len(DRIVERS) for work in await decider.call(self._in_hand)):  # noqa: ASYNC110 - another process gives no event
            await asyncio.sleep(_LOOK)

    def _in_hand(self) -> Sequence[RunningReconciliation]:
        return self._installation.decider_service.store.select(RunningReconciliation)

    async def _until_in_step(self) -> None:
        await until(self._stage, lambda account: in_sync(account, len(DRIVERS)))

    async def _journals(self) -> dict[Target, list[Json]]:
        """Every write that reached the targets."""
        targets = self._deployment.targets
        addresses = {Target.DRIVERI: targets.driveri, Target.MOTIVE: targets.motive}
        return {target: await exactly_once.journal_of(address) for target, address in addresses.items()}


async def _change_by_hand(targets: RunningSandboxes, *changes: Callable[[list[Json], Kept], None]) -> None:
    """Let people change the drivers of both targets."""
    for address, kept in ((targets.driveri, DRIVERI_KEEPS), (targets.motive, MOTIVE_KEEPS)):
        state = await get_state(address)
        for change in changes:
            change(state[kept.accounts][0][kept.drivers], kept)
        await put_state(address, state)


def _edit(drivers: list[Json], kept: Kept) -> None:
    _having(drivers, 1)[kept.last_name] = "By Hand"


def _delete(drivers: list[Json], kept: Kept) -> None:
    _having(drivers, 2)["status"] = kept.deleted


def _add(drivers: list[Json], kept: Kept) -> None:
    drivers.append(dict(kept.unmanaged))


def _having(drivers: list[Json], number: int) -> Json:
    (found,) = [each for each in drivers if each.get("email") == person(number)["email"]]
    return found


def _told(reconciliation: Ended) -> dict[str, tuple[Json, Json]]:
    """What a reconciliation has found on each target, and what was at odds."""
    return {each["target"]: (each["found"], each["at_odds"]) for each in reconciliation.document["reconciliations"]}


def _check_histories(installation: Installation) -> None:
    """Every reconciliation has ended once, every scan and look-up was reported once, and nothing is left in hand."""
    ended = [each for each in _stored(installation.decider_service) if isinstance(each, ReconciliationCompleted)]
    assert Counter(each.target for each in ended) == dict.fromkeys(Target, RECONCILIATIONS)
    assert _repeated((each.target, each.request) for each in ended) == []
    for projector in installation.projectors.values():
        reports = _stored(projector.service)
        scans = [each.request for each in reports if isinstance(each, RosterScanned)]
        assert len(scans) == RECONCILIATIONS
        assert _repeated(scans) == []
        assert len([each for each in reports if isinstance(each, DriverLookedUp)]) == 1
        assert [*projector.service.store.select(LookUp), *projector.service.store.select(ScanProgress)] == []


def _repeated(found: Iterable[object]) -> list[object]:
    return [each for each, times in Counter(found).items() if times > 1]


def _stored(service: Service) -> list[Event]:
    return exactly_once.events_of(service.store.log)


async def _played(kafka: str, database: str, folder: Path) -> None:
    async with asyncio.timeout(_SECONDS), acme_sandboxes() as targets:
        deployment = Deployment(
            kafka=kafka, database=database, targets=targets, folder=folder, partitions=1, prefix="reconciliation."
        )
        await asyncio.to_thread(deployment.prepare)
        services = every_service(deployment)
        async with commanded(deployment.settings) as (client, installation):
            async with running(services), reached_by_commands(installation) as commands:
                await until_ready(services)
                await Scene(deployment, services, Stage(client), installation, commands).play()
            _check_histories(installation)


def test_a_reconciliation_ends_once_and_repeats_nothing_though_who_is_at_it_is_killed(
    kafka: Kafka, database: str, tmp_path: Path
) -> None:
    asyncio.run(_played(kafka.servers, database, tmp_path))
