"""How a service's log is sent to its topic."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from adapters.kafka.cloud_events import Outgoing, to_outgoing
from adapters.kafka.connection import KafkaAccess, PublishFailed, explained
from adapters.kafka.topics import LARGEST_BATCH, Epochs, Namespace, keys, newest, partition_of
from domain.store import Misconfigured, Record

_BATCH = 256 * 1024
"""Bytes of records that go to one partition at once."""

_TIMEOUT = 30_000
"""Milliseconds that Kafka has to acknowledge a record: enough for a broker to be started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The epoch that is sent, and where epochs are kept; whether nothing was sent in it when the process started."""

    epochs: Epochs
    epoch: str
    is_new: bool


class KafkaPublisher:
    """Sends a service's log. It connects when it is first used; after a failure another one has to go on."""

    def __init__(
        self,
        access: KafkaAccess,
        *,
        service: str,
        namespace: Namespace = Namespace(),  # noqa: B008 - a frozen value
        beginning: Beginning | None = None,
        to_outgoing: Callable[[Record, str, str, str], Outgoing] = to_outgoing,
        alone_as: str = "",
    ) -> None:
        """With a name that it is `alone_as`, each publisher of that name shuts out those that were connected before."""
        self._access = access
        self._service = service
        self._namespace = namespace
        self._beginning = beginning
        self._to_outgoing = to_outgoing
        self._alone_as = namespace.to_name(alone_as) if alone_as else None
        self._producer: AIOKafkaProducer | None = None

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Send these records in order, and wait until every one is acknowledged.

        Of each partition a batch is sent only when the one before it was acknowledged, so that no record ever comes
        before one in front of it, whatever fails. Raises `PublishFailed` when one was not acknowledged; any of the last
        batches may be there all the same. Raises `StreamsFailed` when a
        record cannot be sent by this version, and `StreamsMisconfigured` when we are not let in, or another
        installation writes to the topic.
        """
        installation, epoch = self._namespace.installation, self._beginning.epoch if self._beginning else ""
        outgoing = [self._to_outgoing(record, self._service, installation, epoch) for record in records]
        topic = self._namespace.to_name(topic)
        try:
            producer = await self._connected(topic)
            partitions = len(await producer.partitions_for(topic))
            remaining = dict[int, list[Outgoing]]()
            for each in outgoing:
                remaining.setdefault(partition_of(each.account, partitions), []).append(each)
            async with producer.transaction() if self._alone_as else nullcontext():
                while remaining:
                    remaining = await self._send(producer, topic, remaining)
        except KafkaError as failure:
            meant = await explained(failure, self._access)
            if isinstance(meant, Misconfigured):
                raise meant from failure
            raise PublishFailed(f"{topic} did not take every record: {meant}") from failure

    async def keys(self, topic: str) -> Collection[bytes]:
        """The keys of all records of a compacted topic that are not tombstones; former publishers are shut out now.

        Raises `StreamsFailed`.
        """
        topic = self._namespace.to_name(topic)
        try:
            producer = await self._connected(topic)
            return await keys(self._access, topic, await producer.partitions_for(topic))
        except KafkaError as failure:
            raise await explained(failure, self._access) from failure

    async def close(self) -> None:
        """Let go of the connections, after what is on its way."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _connected(self, topic: str) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._access.to_options(),
                enable_idempotence=True,
                transactional_id=self._alone_as,
                acks="all",
                max_batch_size=_BATCH,
                max_request_size=LARGEST_BATCH,
                request_timeout_ms=_TIMEOUT,
            )
            self._producer = producer
            await producer.start()
            if self._beginning:
                await self._begin(topic, await producer.partitions_for(topic), self._beginning)
        return self._producer

    async def _begin(self, topic: str, partitions: Collection[int], beginning: Beginning) -> None:
        """See that the topic is ours, and keep where our epoch begins in it, before the first record is sent."""
        known = await asyncio.to_thread(beginning.epochs.beginnings, topic)
        ends, messages = await newest(self._access, topic, partitions)
        begun = known.get(beginning.epoch)
        if begun is None:
            # Only an installation that has had the topic before can know that what is in it counts no more.
            begun = ends if known and beginning.is_new else {}
        self._namespace.check(message for message in messages if message.offset >= begun.get(message.partition, 0))
        if beginning.is_new:
            await asyncio.to_thread(beginning.epochs.begin, beginning.epoch, topic, ends)

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, remaining: Mapping[int, Sequence[Outgoing]]
    ) -> dict[int, list[Outgoing]]:
        """Send one batch to each of these partitions; what is left for the next ones."""
        sent: list[Future[RecordMetadata]] = []
        left: dict[int, list[Outgoing]] = {}
        try:
            for partition, outgoing in remaining.items():
                batch = producer.create_batch()
                records = iter(outgoing)
                for each in records:
                    if not batch.append(timestamp=None, key=each.key, value=each.value, headers=list(each.headers)):
                        left[partition] = [each, *records]
                sent.append(await producer.send_batch(batch, topic, partition=partition))
        finally:
            answers = await asyncio.gather(*sent, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return left
