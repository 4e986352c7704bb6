"""The consumers of docs/examples, which know only the guide, come to the states that the services know.

They read a topic in which everything happens that the guide warns of: what comes twice, older after newer, another
epoch with the whole log once more, a relay of the former one that goes on, and an account that is erased.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from adapters.events import new_mapper, to_record
from domain.account import ErasureBegan
from domain.driver_link import LinkEvent, replay, unlinked
from domain.identity import AccountId, PortalDriverId, Target, erasure_stream
from domain.store import Event, Record
from services.decider.read_models import to_link_row
from tests.support import node
from tests.support.lifelike import happened, histories
from tests.support.servers import Kafka
from tests.system.kafka_members import Deployment, deployed

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

_FLEETS = 6
_ERASED = AccountId("fleet-1")
_MAPPER = new_mapper()


def log() -> list[Record]:
    """The decider's log: lifelike histories, and one account that is erased in the end."""
    events: list[Event] = [*happened(_FLEETS)]
    at = events[-1].at
    events.append(ErasureBegan(originator_id=erasure_stream(_ERASED), originator_version=1, at=at, account=_ERASED))
    # Positions have gaps, as those of PostgreSQL do.
    return [to_record(_MAPPER, 3 * place, _MAPPER.to_stored_event(event)) for place, event in enumerate(events, 1)]


async def sent(deployment: Deployment, records: Sequence[Record]) -> None:
    """Relay the log as badly as it is ever relayed."""
    topic, middle = deployment.topics[0], len(records) // 2
    async with (
        deployment.publisher_of("1", "ours") as first,
        deployment.publisher_of("1", "ours") as second,
        deployment.publisher_of("2", "ours") as restored,
    ):
        await first.publish(topic, records[:middle])
        await second.publish(topic, records[middle // 2 : middle + 50])
        await restored.publish(topic, records[:middle])
        await first.publish(topic, records[middle:])
        await restored.publish(topic, records[middle // 3 :])
        await first.publish(topic, records[:100])


@pytest.fixture(scope="module")
def topic(kafka: Kafka) -> str:
    async def made() -> str:
        async with deployed(kafka.servers, topics=1) as deployment:
            await sent(deployment, log())
            return deployment.topics[0]

    return asyncio.run(made())


def states() -> dict[str, str]:
    """The states that `status` counts, by the decider's own read model."""
    return {
        f"{account}/{target}/{driver}": _state(AccountId(account), Target(target), PortalDriverId(driver), history)
        for (account, target, driver), history in histories(_FLEETS).items()
        if account != _ERASED
    }


def _state(account: AccountId, target: Target, driver: PortalDriverId, history: Sequence[LinkEvent]) -> str:
    return to_link_row(replay(unlinked(account, target, driver), history)).state


def in_python(servers: str, topic: str) -> str:
    ended = subprocess.run(
        [sys.executable, EXAMPLES / "python" / "consumer.py", servers, topic],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def in_javascript(servers: str, topic: str) -> str:
    return node.run(EXAMPLES / "node" / "consumer.mjs", servers, topic)


CONSUMERS: Mapping[str, Callable[[str, str], str]] = {"Python": in_python, "JavaScript": in_javascript}


@pytest.mark.parametrize("language", CONSUMERS)
def test_a_consumer_that_knows_only_the_guide_knows_every_state(kafka: Kafka, topic: str, language: str) -> None:
    expected = states()
    assert set(expected.values()) == {"in_sync", "pending", "parked", "held", "kept", "ended"}
    assert json.loads(CONSUMERS[language](kafka.servers, topic)) == expected


def test_the_consumer_in_python_is_short() -> None:
    assert len((EXAMPLES / "python" / "consumer.py").read_text("utf-8").splitlines()) < 60
