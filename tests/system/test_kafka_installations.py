"""Two installations over one Kafka: side by side with prefixes, and stopped before they mix without."""

import asyncio

import pytest

from adapters.kafka.connection import StreamsMisconfigured
from adapters.kafka.consumer import Group, TopicSubscription
from adapters.kafka.topics import Namespace, create, newest, partition_of
from tests.contract.stands import fact
from tests.support.hanging import HANGS
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, Deployment, Process, deployed

pytestmark = pytest.mark.anyio

EVENTS = [fact(str(number)) for number in range(10)]
FOREIGN = "record of another installation .* its own DRIVERLINK_KAFKA_PREFIX"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def end_of(deployment: Deployment) -> int:
    """How many records the first topic has."""
    ends, _ = await newest(deployment.access, deployment.topics[0], range(PARTITIONS))
    return sum(ends.values())


async def test_a_record_of_another_installation_is_neither_handled_nor_skipped(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        async with deployment.publisher_of("1", "theirs") as theirs:
            await theirs.publish(deployment.topics[0], logged)
        for _ in range(2):
            process = deployment.started(namespace=Namespace(installation="ours"))
            with pytest.raises(StreamsMisconfigured, match=FOREIGN):
                await process.running
        assert deployment.database.taken == []
        assert not any(deployment.database.positions.values())


async def test_who_meets_records_of_another_installation_sends_none_among_them(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        async with deployment.publisher_of("1", "ours") as ours:
            await ours.publish(deployment.topics[0], logged)
        deployment.database.epochs = type(deployment.database.epochs)()
        async with deployment.publisher_of("1", "theirs") as theirs:
            with pytest.raises(StreamsMisconfigured, match=FOREIGN):
                await theirs.publish(deployment.topics[0], logged)
        assert await end_of(deployment) == len(EVENTS)
        assert deployment.database.epochs.beginnings(deployment.topics[0]) == {}


async def test_who_meets_no_records_but_its_own_goes_on_sending(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        logged = [deployment.logged(event) for event in EVENTS]
        for _ in range(2):
            async with deployment.publisher_of("1", "ours") as ours:
                await ours.publish(deployment.topics[0], logged)
        assert await end_of(deployment) == 2 * len(EVENTS)


async def test_in_another_epoch_the_records_of_another_installation_are_skipped(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        topic, logged = deployment.topics[0], [deployment.logged(event) for event in EVENTS]
        async with deployment.publisher_of("1", "ours") as ours:
            await ours.publish(topic, logged)
        theirs = Deployment(deployment.access)
        async with theirs.publisher_of("1", "theirs", is_careful=False) as careless:
            await careless.publish(topic, [theirs.logged(fact("x"))])
        async with deployment.publisher_of("2", "ours") as ours:
            await ours.publish(topic, logged)
        async with deployment.process_of("2", Namespace(installation="ours")) as process:
            await process.take(10)
        assert [record.event for record in deployment.database.taken] == EVENTS


async def test_a_member_of_another_installation_is_not_let_into_our_group(kafka: Kafka) -> None:
    async with (
        deployed(kafka.servers) as deployment,
        deployment.process_of("1", Namespace(installation="ours")) as ours,
    ):
        await ours.until(lambda: bool(ours.streams))
        theirs = deployment.started(namespace=Namespace(installation="theirs"))
        with pytest.raises(StreamsMisconfigured, match=r"a member of another installation.* DRIVERLINK_KAFKA_PREFIX"):
            await theirs.running
        await deployment.publish(deployment.topics[0], EVENTS)
        await ours.take(10)
        assert ours.happened == [f"assigned {2 * PARTITIONS}"]


async def test_a_second_member_of_our_own_shares_the_partitions(kafka: Kafka) -> None:
    async with (
        deployed(kafka.servers) as deployment,
        deployment.process_of("1", Namespace(installation="ours")) as first,
    ):
        await first.until(lambda: bool(first.streams))
        async with deployment.process_of("1", Namespace(installation="ours")) as second:
            await second.until(lambda: bool(second.streams))
            await first.until(lambda: bool(first.streams))
            numbers = [number for each in (first, second) for number in each.partitions[deployment.topics[0]]]
        assert sorted(numbers) == [*range(PARTITIONS)]


async def test_with_a_prefix_each_two_installations_use_the_same_names_side_by_side(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        topic, taken = deployment.topics[0], {}
        for prefix, events in (("east.", EVENTS[:4]), ("west.", EVENTS[4:])):
            namespace = Namespace(installation=prefix, prefix=prefix)
            own = Deployment(deployment.access)
            await create(own.access, [namespace.to_name(topic)], partitions=PARTITIONS, replication=1)
            async with own.publisher_of("1", prefix, prefix=prefix) as publisher:
                await publisher.publish(topic, [own.logged(event) for event in events])
            group = Group(name=deployment.group, session_timeout=4.0)
            subscription = TopicSubscription(topics=[topic], partitions=PARTITIONS, group=group)
            process = Process(subscription, own.access, own.database, namespace=namespace)
            async with asyncio.timeout(HANGS):
                await process.take(len(events))
            await process.end()
            taken[prefix] = [record.event for record in own.database.taken]
            assert own.database.positions[f"1/{topic}/{partition_of('acme', PARTITIONS)}"] == len(events)
        assert taken == {"east.": EVENTS[:4], "west.": EVENTS[4:]}
