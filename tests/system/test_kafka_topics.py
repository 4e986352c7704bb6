"""Making, checking and looking at topics; and what is said when Kafka does not let us."""

from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka.connection import KafkaAccess, Security, StreamsFailed, StreamsMisconfigured
from adapters.kafka.topics import check, create, ends, partition_of
from domain.store import Misconfigured
from tests.contract.stands import fact
from tests.support.servers import Kafka
from tests.system.kafka_members import PARTITIONS, deployed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def access(kafka: Kafka) -> KafkaAccess:
    return KafkaAccess(servers=tuple(kafka.servers.split(",")))


def names(count: int) -> list[str]:
    return [f"{uuid4().hex}.v1" for _ in range(count)]


async def configuration(access: KafkaAccess, topic: str) -> dict[str, str]:
    """How a topic is set up."""
    admin = AIOKafkaAdminClient(**access.to_options())
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    await admin.close()
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


async def test_topics_are_made_where_they_are_missing(access: KafkaAccess) -> None:
    first, second = names(2)
    assert await create(access, [first], partitions=3, replication=1) == (first,)
    assert await create(access, [first, second], partitions=3, replication=1) == (second,)
    assert await create(access, [first, second], partitions=3, replication=1) == ()
    await check(access, [first, second], partitions=3)


async def test_topics_keep_everything_for_ever_and_take_large_records(access: KafkaAccess) -> None:
    (topic,) = names(1)
    await create(access, [topic], partitions=1, replication=1)
    expected = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(10 * 1024 * 1024),
        "compression.type": "uncompressed",
        "min.insync.replicas": "1",
    }
    assert expected.items() <= (await configuration(access, topic)).items()


async def test_a_topic_with_other_partitions_is_not_made_over(access: KafkaAccess) -> None:
    (topic,) = names(1)
    await create(access, [topic], partitions=3, replication=1)
    message = f"topic {topic} has 3 partitions, not 4: .* so set DRIVERLINK_KAFKA_PARTITIONS to 3"
    with pytest.raises(StreamsMisconfigured, match=message):
        await create(access, [topic], partitions=4, replication=1)
    await check(access, [topic], partitions=3)


async def test_a_topic_that_cannot_be_created_is_reported_with_the_reason(access: KafkaAccess) -> None:
    (topic,) = names(1)
    with pytest.raises(StreamsMisconfigured, match=rf"DRIVERLINK_KAFKA_REPLICATION.*topic {topic}: .*factor of 9"):
        await create(access, [topic], partitions=1, replication=9)


async def test_looking_for_a_missing_topic_does_not_make_it(access: KafkaAccess) -> None:
    (topic,) = names(1)
    for _ in range(2):
        with pytest.raises(StreamsMisconfigured, match=rf"topics are missing: {topic}; run `driverlink topics create`"):
            await check(access, [topic], partitions=1)


async def test_the_ends_are_the_positions_of_the_last_records(kafka: Kafka) -> None:
    async with deployed(kafka.servers) as deployment:
        first, second = deployment.topics
        await deployment.publish(first, [fact("1"), fact("2")])
        found = await ends(deployment.access, deployment.topics, partitions=PARTITIONS)
        empty = {(topic, number): 0 for topic in (first, second) for number in range(PARTITIONS)}
        assert found == {**empty, (first, partition_of("acme", PARTITIONS)): 2}


async def test_an_unreachable_server_is_reported_with_the_setting_that_names_it() -> None:
    access = KafkaAccess(servers=("127.0.0.1:1",))
    message = r"Kafka at 127\.0\.0\.1:1 cannot be reached: .*DRIVERLINK_KAFKA_SERVERS.*Connect call failed"
    with pytest.raises(StreamsFailed, match=message) as failure:
        await check(access, ["any.v1"], partitions=1)
    assert not isinstance(failure.value, Misconfigured)


async def test_a_failed_login_is_reported_without_the_password(kafka: Kafka) -> None:
    access = KafkaAccess(
        servers=tuple(kafka.servers.split(",")),
        security=Security.SASL_PLAINTEXT,
        username="decider",
        password="sesame",
    )
    with pytest.raises(StreamsMisconfigured, match="it has no log-in: set DRIVERLINK_KAFKA_SECURITY") as failure:
        await check(access, ["any.v1"], partitions=1)
    assert "sesame" not in str(failure.value)
