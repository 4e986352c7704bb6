"""The same over Kafka and PostgreSQL: nothing of erased drivers is in any table of any schema, or in any record."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg import sql

from services.wiring.distributed import to_kafka_access
from services.wiring.settings import DistributedSettings
from tests.support.backlog import Backlog
from tests.support.commanding import command
from tests.support.distributed import Deployment, every_service, running, until_ready
from tests.support.erased_fleet import DRIVERS, LEAVING, ErasedFleet, as_places, left_of, new_part
from tests.support.fleets import seed
from tests.support.patience import commanded
from tests.support.processes import sandboxes
from tests.support.servers import needed, own_kafka, own_postgres

_SECONDS = 400.0
_WAIT = 1000
"""Milliseconds to wait for a batch."""


def tables(database: str) -> Iterator[tuple[str, bytes]]:
    """Every table of every schema, with every value as its bytes."""
    with psycopg.connect(database) as connection:
        named = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in named:
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))).fetchall()
            values = (value for row in rows for value in row)
            yield f"{schema}.{table}", b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)


async def topics(settings: DistributedSettings) -> Sequence[tuple[str, bytes]]:
    """Every record of every topic: its key, value and headers."""
    consumer = AIOKafkaConsumer(**to_kafka_access(settings).to_options(), auto_offset_reset="earliest")
    await consumer.start()
    found: list[tuple[str, bytes]] = []
    try:
        names = sorted(name for name in await consumer.topics() if not name.startswith("__"))
        places = [TopicPartition(name, part) for name in names for part in range(settings.kafka_partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=_WAIT)).items():
                for each in records:
                    texts = [each.key or b"", each.value or b"", *(value for _, value in each.headers)]
                    found.append((place.topic, b"\n".join(texts)))
    finally:
        await consumer.stop()
    return found


async def _erased(folder: Path) -> None:
    part = new_part()
    with needed(own_kafka()) as kafka, needed(own_postgres()) as postgres:
        database = postgres.database()
        async with asyncio.timeout(_SECONDS), sandboxes() as targets:
            await seed([part], targets)
            deployment = Deployment(kafka=kafka.servers, database=database, targets=targets, folder=folder)
            await asyncio.to_thread(deployment.prepare)
            services = every_service(deployment, each=1)
            async with running(services), commanded(deployment.settings) as (client, installation):
                await until_ready(services)
                fleet, backlog = ErasedFleet(client, part), Backlog(installation, deployment.settings)
                for deed in (fleet.begin, fleet.change, fleet.delete, fleet.stage.approve_all):
                    await deed()
                    await backlog.until_quiet()
                assert {link["state"] for link in await fleet.stage.links()} == {"in_sync", "ended"}
                assert len({text for _, text in left_of(LEAVING, tables(database))}) > len(LEAVING)
                for victim, driver in zip(services[2:], LEAVING, strict=False):
                    # Each is killed with what it has consumed of an erasure, and not ended, or not consumed at all.
                    await fleet.erase(driver)
                    victim.kill()
                    victim.start()
                for driver in LEAVING:
                    await fleet.erase(driver)
                await until_ready(services)
                await backlog.until_quiet()
                await backlog.until_relayed()
                assert left_of(LEAVING, tables(database)) == []
                records = await topics(deployment.settings)
                assert {name for name, _ in records} >= {"driver-links.decisions.v1", "portal.driver-changes.v1"}
                assert left_of(LEAVING, records) == []
                assert left_of(LEAVING, as_places(await fleet.shown())) == []
                await fleet.verify()
        check = command(deployment.environment, "rebuild", "--check")
        assert check.out == "every read model matches the log\n", check.err
        assert left_of([str(n) for n in range(1, DRIVERS + 1) if str(n) not in LEAVING], tables(database))


def test_nothing_of_erased_drivers_is_in_any_table_or_topic(tmp_path: Path) -> None:
    asyncio.run(_erased(tmp_path))
