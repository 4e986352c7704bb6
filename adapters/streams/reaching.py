"""Clients of Kafka for as long as they are needed; whatever keeps them from their work becomes a clear failure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError

from adapters.streams.access import KafkaAccess
from adapters.streams.failures import StreamsFailed

PATIENCE = 15.0
"""Seconds that Kafka has for a command, or for letting us in."""

_CONNECTION = ("security_protocol", "ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")


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
    servers = ", ".join(access.servers)
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except KafkaConnectionError as failure:
        reason = await _explained(access, failure)
        raise StreamsFailed(f"Kafka at {servers} cannot be used ({access.security}): {reason}") from failure
    except TimeoutError as failure:
        raise StreamsFailed(f"Kafka at {servers} gave no answer within {PATIENCE:.0f} seconds") from failure
    except KafkaError as failure:
        raise StreamsFailed(f"Kafka at {servers} refuses: {failure}") from failure


async def _explained(access: KafkaAccess, failure: KafkaConnectionError) -> str:
    """Why a server lets us not in; the library's clients only say that none does."""
    options = {name: value for name, value in access.to_options().items() if name in _CONNECTION}
    host, port, _ = collect_hosts(list(access.servers))[0]
    try:
        connection = await create_conn(host, port, request_timeout_ms=int(PATIENCE * 1000), **options)
    except (KafkaError, OSError) as reason:
        return str(reason) or type(reason).__name__
    connection.close()
    return str(failure)
