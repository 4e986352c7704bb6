"""Clients of Kafka for as long as they are needed; whatever keeps them from their work becomes a clear failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.streams.access import KafkaAccess
from adapters.streams.advice import explained, silent

PATIENCE = 15.0
"""Seconds that Kafka has for a command, or for letting us in."""


@asynccontextmanager
async def administering(access: KafkaAccess) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that makes and describes topics. Raises `StreamsFailed`, also for what is done with it."""
    async with _failures(access):
        admin = AIOKafkaAdminClient(**access.to_options(), request_timeout_ms=int(PATIENCE * 1000))
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


@asynccontextmanager
async def looking(access: KafkaAccess) -> AsyncIterator[AIOKafkaConsumer]:
    """A client that looks at partitions, in no group. Raises `StreamsFailed`, also for what is done with it."""
    async with _failures(access):
        consumer = AIOKafkaConsumer(**access.to_options(), request_timeout_ms=int(PATIENCE * 1000))
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def _failures(access: KafkaAccess) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError as failure:
        raise silent(access, PATIENCE) from failure
    except KafkaError as failure:
        raise await explained(failure, access) from failure
