"""A Kafka for tests: given, or our own."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.support.servers.engines import Engine, OwnServer

_SECONDS = 60


class Kafka:
    """A Kafka that may have other users: topics need names of their own, and it cannot be restarted.

    `servers` is what clients call bootstrap servers.
    """

    def __init__(self, servers: str) -> None:
        self.servers = servers

    def answers(self) -> bool:
        """Whether a broker is ready for work now; may be asked inside and outside of an event loop."""
        if not any(_listens(address) for address in self.servers.split(",")):
            return False
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(asyncio.run, _has_a_broker(self.servers)).result()


class OwnKafka(Kafka, OwnServer):
    """A Kafka for one test alone: it can be stopped, killed and started again."""

    def __init__(self, servers: str, engine: Engine) -> None:
        Kafka.__init__(self, servers)
        OwnServer.__init__(self, engine)


def _listens(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except OSError:
        return False
    return True


async def _has_a_broker(servers: str) -> bool:
    client = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=_SECONDS * 1000)
    try:
        await client.start()
        cluster = await client.describe_cluster()
    except KafkaError:
        return False
    finally:
        await client.close()
    return bool(cluster["brokers"])
