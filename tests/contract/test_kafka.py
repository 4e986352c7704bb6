from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.contract.kafka import KafkaStand, LoopThread
from tests.contract.streaming import StreamContract
from tests.support.servers import Kafka


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    with closing(LoopThread()) as loop:
        yield loop


@pytest.fixture
def stand(kafka: Kafka, loop: LoopThread) -> Iterator[KafkaStand]:
    with closing(KafkaStand(kafka.servers, loop)) as stand:
        yield stand


class TestKafkaStream(StreamContract):
    """A partition of a topic, followed in a group as the services do it, keeps the contract of `Stream`."""
