"""How a service's log is sent to its topic."""

import asyncio
from asyncio import Future
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from adapters.streams.access import KafkaAccess
from adapters.streams.advice import explained
from adapters.streams.cloud_events import Outgoing, to_outgoing
from adapters.streams.failures import PublishFailed
from adapters.streams.topics import LARGEST_BATCH
from domain.storing import Misconfigured, Record

_LINGER = 5
"""Milliseconds in which records gather for one request."""

_BATCH = 256 * 1024
"""Bytes of records that go to one partition at once."""

_PATIENCE = 30_000
"""Milliseconds that Kafka has to acknowledge a record: enough for a broker to be started again."""


class KafkaPublisher:
    """Sends a service's log. It connects when it is first used; after a failure another one has to go on."""

    def __init__(self, access: KafkaAccess, *, service: str) -> None:
        self._access = access
        self._service = service
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Send these records in order, and wait until every one is acknowledged.

        Raises `PublishFailed` when one was not; any of them may be there all the same. Raises `StreamsFailed` when a
        record cannot be sent by this version, and `StreamsMisconfigured` when we are not let in.
        """
        outgoing = [to_outgoing(record, self._service) for record in records]
        try:
            await self._send(await self._connected(), topic, outgoing)
        except KafkaError as failure:
            meant = await explained(failure, self._access)
            if isinstance(meant, Misconfigured):
                raise meant from failure
            raise PublishFailed(f"{topic} did not take every record: {meant}") from failure

    async def close(self) -> None:
        """Let go of the connections, after what is on its way."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                **self._access.to_options(),
                enable_idempotence=True,
                acks="all",
                linger_ms=_LINGER,
                max_batch_size=_BATCH,
                max_request_size=LARGEST_BATCH,
                request_timeout_ms=_PATIENCE,
            )
            await self._producer.start()
        return self._producer

    async def _send(self, producer: AIOKafkaProducer, topic: str, outgoing: Iterable[Outgoing]) -> None:
        sent: list[Future[RecordMetadata]] = []
        try:
            for each in outgoing:
                sending = producer.send(topic, each.value, key=each.key, headers=list(each.headers))
                sent.append(await sending)
        finally:
            answers = await asyncio.gather(*sent, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
