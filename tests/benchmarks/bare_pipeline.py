"""The limit beside which latency is judged: the way of a change by hand, in few steps, with the same libraries.

    change -> insert, NOTIFY -> relay -> Kafka -> decide (nothing) -> insert, NOTIFY -> relay -> Kafka
           -> insert that the call starts -> httpx -> insert the outcome, NOTIFY -> relay -> Kafka -> insert

Intake's relay, decider and a projector for each target are processes of their own, as ours are. Nothing waits for a
clock: what has come while the last batch was handled is the next one. It keeps no promise: it looks nothing up, decides
nothing, and loses its place when it ends.

`python -m tests.benchmarks.bare_pipeline ROLE SETTINGS` says when it is ready, and works until its input ends.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from msgspec.json import decode, encode

from adapters.driveri.wire import to_wire as to_driveri
from adapters.kafka.connection import KafkaAccess
from adapters.kafka.topics import create
from adapters.motive.wire import to_wire as to_motive
from domain.identity import Target
from tests.benchmarks.fleet import Fleet, profile
from tests.benchmarks.processes import seconds_of, serving
from tests.benchmarks.projecting import CHANGED
from tests.benchmarks.servers import PARTITIONS, Servers
from tests.benchmarks.stand_in import Targets

Json = dict[str, Any]
Addressed = tuple[str, Json]
"""A fact and the account that it is about, by which it is put into a partition."""

_MOST = 500
_SAFETY = 1.0
"""Seconds after which a relay looks without having been woken."""

_PATIENCE = 60.0
"""Seconds that a request may wait for a connection, and for its answer."""

_CALLS = 32
"""Calls that are made at once, each by a client of its own.

A client with many connections looks at all of them for each request, and a request costs the more the more wait.
"""

_KEPT = 4.0
"""Seconds for which an idle connection is kept: less than a target keeps it, which would close it under a request."""

_ONE = httpx.Limits(max_connections=1, keepalive_expiry=_KEPT)

_ROLES = ("intake", "decider", *Target)
_WHY = "x" * 200
"""As much as a decision says of its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where everything is; `prefix` keeps the topics of several runs apart."""

    database: str
    kafka: str
    targets: str
    prefix: str

    def topic(self, name: str) -> str:
        """The topic of this log."""
        return f"{self.prefix}.{name}"


class BarePipeline:
    """The running pipeline, seen from the load generator."""

    def __init__(self, database: str, processes: Mapping[str, int]) -> None:
        self._connection = psycopg.connect(database, autocommit=True)
        self._processes = processes

    def commit(self, fleet: Fleet, number: int, edition: int) -> None:
        """Commit one change at intake."""
        stated = profile(number, edition=edition)
        change = {"kind": "change", "account": fleet.account, "number": number, "profile": stated}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(_insert("intake"), ([fleet.account], [encode(change)]), prepare=True)
            cursor.execute("SELECT pg_notify('intake', '')", prepare=True)

    def seconds(self) -> dict[str, float]:
        """The processor time that each process has used."""
        return {name: seconds_of(process) for name, process in self._processes.items()}

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


@contextmanager
def bare_pipeline(servers: Servers, targets: Targets) -> Iterator[BarePipeline]:
    """While this lasts, all of it runs, on a database of its own."""
    settings = Settings(
        database=servers.database(), kafka=servers.kafka, targets=targets.url, prefix=f"bare-{uuid4().hex[:8]}"
    )
    with psycopg.connect(settings.database, autocommit=True) as connection:
        for table in _ROLES:
            connection.execute(f"CREATE TABLE {table} (position BIGSERIAL PRIMARY KEY, key TEXT, state BYTEA)".encode())
        connection.execute("CREATE TABLE started (target TEXT NOT NULL, number BIGINT NOT NULL)")
    topics = [settings.topic(name) for name in _ROLES]
    asyncio.run(create(KafkaAccess(servers=(servers.kafka,)), topics, partitions=PARTITIONS, replication=1))
    with ExitStack() as stack:
        told = json.dumps(asdict(settings))
        begun = {role: stack.enter_context(serving("tests.benchmarks.bare_pipeline", role, told)) for role in _ROLES}
        assert [said() for _, said in begun.values()] == ["ready"] * len(begun)
        pipeline = BarePipeline(settings.database, {role: process for role, (process, _) in begun.items()})
        stack.callback(pipeline.close)
        yield pipeline


def _insert(table: str) -> str:
    return f"INSERT INTO {table} (key, state) SELECT * FROM unnest(%b::text[], %b::bytea[])"  # noqa: S608 - our own names


class Log:
    """A table of facts, each of which goes to a topic of the same name."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name

    async def open(self) -> None:
        """Connect, and relay from now on."""
        self._connection = await psycopg.AsyncConnection.connect(self._settings.database, autocommit=True)
        self._reading = await psycopg.AsyncConnection.connect(self._settings.database, autocommit=True)
        self._listening = await psycopg.AsyncConnection.connect(self._settings.database, autocommit=True)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka, acks="all", enable_idempotence=True, linger_ms=0
        )
        await self._producer.start()
        await self._listening.execute(f"LISTEN {self._name}".encode())

    async def close(self) -> None:
        """Let go of Kafka and the database."""
        await self._producer.stop()
        for connection in (self._connection, self._reading, self._listening):
            await connection.close()

    async def store(self, facts: Sequence[Addressed]) -> None:
        """Commit these facts."""
        keys, states = [key for key, _ in facts], [encode(state) for _, state in facts]
        async with self._connection.transaction():
            await self._connection.execute(_insert(self._name).encode(), (keys, states), prepare=True)
            await self._connection.execute(f"SELECT pg_notify('{self._name}', '')".encode(), prepare=True)

    async def start(self, target: Target, numbers: Sequence[int]) -> None:
        """Commit that the calls for these drivers start."""
        insert = "INSERT INTO started (target, number) SELECT %b, * FROM unnest(%b::bigint[])"
        await self._connection.execute(insert, (str(target), [*numbers]), prepare=True)

    async def relay(self) -> None:
        """Send all that is committed to Kafka, as soon as it is."""
        woken, position = asyncio.Event(), 0

        async def listen() -> None:
            async for _ in self._listening.notifies():
                woken.set()

        select = f"SELECT position, key, state FROM {self._name} WHERE position > %b ORDER BY position LIMIT {_MOST}"  # noqa: S608 - our own names
        topic = self._settings.topic(self._name)
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            while True:
                woken.clear()
                rows = await (await self._reading.execute(select.encode(), (position,), prepare=True)).fetchall()
                if rows:
                    sent = [await self._producer.send(topic, row[2], key=row[1].encode()) for row in rows]
                    await asyncio.gather(*sent)
                    position = rows[-1][0]
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SAFETY):
                        await woken.wait()


async def _consumed(settings: Settings, group: str, *names: str) -> AsyncIterator[list[Json]]:
    """The facts of these logs, whatever has come; the first time, when the partitions are ours, none."""
    consumer = AIOKafkaConsumer(
        *map(settings.topic, names),
        bootstrap_servers=settings.kafka,
        group_id=f"{settings.prefix}.{group}",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        while not consumer.assignment():
            await consumer.getmany(timeout_ms=100)
        yield []
        while True:
            found = await consumer.getmany(timeout_ms=1000, max_records=_MOST)
            yield [decode(message.value) for messages in found.values() for message in messages]
    finally:
        await consumer.stop()


async def _decide(settings: Settings, log: Log, ready: Callable[[], None]) -> None:
    async for facts in _consumed(settings, "decider", "intake", *Target):
        decided: list[Addressed] = []
        for fact in facts:
            if fact["kind"] == "change":
                decisions = [{**fact, "kind": "decision", "target": target, "why": _WHY} for target in Target]
                decided += [(fact["account"], decision) for decision in decisions]
            else:
                decided.append((fact["account"], {**fact, "kind": "confirmed"}))
        if decided:
            await log.store(decided)
        ready()


async def _project(settings: Settings, log: Log, target: Target, ready: Callable[[], None]) -> None:
    turn, certificates = asyncio.Lock(), httpx.create_ssl_context()
    async with AsyncExitStack() as stack:
        clients = asyncio.LifoQueue[httpx.AsyncClient]()
        for _ in range(_CALLS):
            client = httpx.AsyncClient(base_url=settings.targets, timeout=_PATIENCE, limits=_ONE, verify=certificates)
            clients.put_nowait(await stack.enter_async_context(client))
        calling = await stack.enter_async_context(asyncio.TaskGroup())

        async def put(decision: Json) -> None:
            client = await clients.get()
            try:
                await _put(client, target, decision)
            finally:
                clients.put_nowait(client)

        async def call(decisions: Sequence[Json]) -> None:
            await asyncio.gather(*map(put, decisions))
            async with turn:
                await log.store([(each["account"], {**each, "kind": "outcome"}) for each in decisions])

        async for facts in _consumed(settings, target, "decider"):
            if due := [each for each in facts if each["kind"] == "decision" and each["target"] == target]:
                async with turn:
                    await log.start(target, [each["number"] for each in due])
                calling.create_task(call(due))
            ready()


async def _put(client: httpx.AsyncClient, target: Target, decision: Json) -> None:
    stated = decision["profile"]
    if target is Target.MOTIVE:
        path, body = f"/v1/users/{decision['number']}", to_motive(stated, CHANGED)
        headers = {"X-Api-Key": decision["account"]}
    else:
        path = f"/v1/tenants/{decision['account']}/drivers/{stated['driveri_driver_id']}"
        body, headers = to_driveri(stated, CHANGED), {"Authorization": "Bearer token"}
    (await client.put(path, json=body, headers=headers)).raise_for_status().json()


async def _work(role: str, settings: Settings) -> None:
    """Relay the role's own log, and do what the role does, until the input ends."""
    log, is_ready = Log(settings, role), asyncio.Event()
    await log.open()
    working = [asyncio.create_task(log.relay())]
    if role == "intake":
        is_ready.set()
    elif role == "decider":
        working.append(asyncio.create_task(_decide(settings, log, is_ready.set)))
    else:
        working.append(asyncio.create_task(_project(settings, log, Target(role), is_ready.set)))
    await is_ready.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([*working, over], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    await log.close()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], Settings(**json.loads(sys.argv[2]))))
