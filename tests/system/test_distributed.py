"""The demo's story on the distributed shape: two deciders, and two projector processes for each target.

While it is played every process is ended in good order and started again, as a new version would be rolled out.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.progress import Progress

from services.sandbox.comparison import Json
from services.sandbox.demo import Demo, DemoResult, RunningSandboxes, Stage
from tests.support.backlog import Backlog
from tests.support.distributed import Deployment, every_service, rolled, running, until_shared_out
from tests.support.patience import commanded
from tests.support.processes import sandboxes
from tests.support.servers import Postgres, needed, own_kafka

pytestmark = pytest.mark.long

_SECONDS = 500.0


class DistributedStage(Stage):
    """The demo's stage, which rests when the stores and the topics say so."""

    backlog: Backlog

    async def until_quiet(self, on_look: Callable[[Json], None] = lambda _: None) -> None:  # noqa: ARG002 - there is no progress bar
        """Wait until nothing is left to be done."""
        await self.backlog.until_quiet()


async def _played(deployment: Deployment, targets: RunningSandboxes) -> DemoResult:
    services = every_service(deployment)
    async with commanded(deployment.settings) as (client, installation):
        stage = DistributedStage(client)
        stage.backlog = Backlog(installation, deployment.settings)
        async with running(services):
            followers = [serving for serving in services if serving.name not in {"accounts", "intake"}]
            await until_shared_out(followers, deployment.partitions)
            async with asyncio.TaskGroup() as group:
                rolling = group.create_task(rolled(services))
                playing = group.create_task(Demo(stage, targets, Progress(disable=True)).play())
            assert rolling.done()
            return playing.result()


async def _outcome(kafka: str, database: str, folder: Path) -> DemoResult:
    async with asyncio.timeout(_SECONDS), sandboxes() as targets:
        deployment = Deployment(kafka=kafka, database=database, targets=targets, folder=folder)
        await asyncio.to_thread(deployment.prepare)
        return await _played(deployment, targets)


@pytest.fixture(scope="module")
def outcome(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoResult]:
    database = postgres.database()
    with needed(own_kafka()) as kafka:
        yield asyncio.run(_outcome(kafka.servers, database, tmp_path_factory.mktemp("distributed")))
    postgres.drop(database)


def test_both_targets_agree_with_the_portal(outcome: DemoResult) -> None:
    assert outcome.comparison.disagreements == []
    assert outcome.comparison.agreeing == {"driveri": 1493, "motive": 1480}
    assert len(outcome.comparison.waiting) == 27


def test_other_drivers_are_left_alone(outcome: DemoResult) -> None:
    assert outcome.touched == []


def test_the_guard_held_what_was_beyond_its_limit(outcome: DemoResult) -> None:
    assert {each["target"]: len(each["drivers"]) for each in outcome.held} == {"driveri": 16, "motive": 16}
