"""The distributed shape, put together: each service on its schema of the database, and each log on its topic.

What a service's process does as Kafka gives it partitions, and takes them away.

One service as a process of its own: it runs, and after a failure runs again, until it is told to stop.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import structlog

from adapters.credentials import CredentialsRow, CredentialsTable
from adapters.kafka.connection import KafkaAccess, Mechanism, Security
from adapters.kafka.consumer import KafkaMember
from adapters.kafka.producer import Beginning, KafkaPublisher
from adapters.kafka.subscription import Group, Subscription
from adapters.kafka.topics import Namespace, check, create, partition_of
from adapters.store.installation import InstallationTables
from adapters.store.locks import InstanceLock, RelayLock
from adapters.store.postgres import PostgresStore, migrate
from domain.identity import Target
from domain.store import Misconfigured, Position, Row, Store, StoreConflict, StoreFailed, Stream, Unit
from services.accounts.handlers import AccountRow, Accounts
from services.api.installation import Installation
from services.decider.read_models import CatchUp, Look, Retry
from services.intake.handlers import Forgetting, Intake
from services.intake.read_models import ReadingRow, ReKeyingRow, ShownDriver, SnapshotDriver
from services.projector.read_models import LookUp, Probe, Reading, StartedCall, Suspect, Task
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, LOGS, Assignment, outcomes_of, utc_now
from services.runtime.outbox import Relay, position_name
from services.runtime.readers import Readers
from services.runtime.service import Notifier, Service, Troubles
from services.runtime.serving import LONGEST_ENDING
from services.wiring import services as decider
from services.wiring import services as intake
from services.wiring import services as projector
from services.wiring.health import EndsNot, Health, Measured, Progress, Stuck, watch
from services.wiring.services import Connections
from services.wiring.settings import DistributedSettings, KafkaSettings, WrongSettings

_LOOK = 0.02
"""Seconds between looks whether everything is taken over."""

_log = structlog.get_logger()

Doing = Callable[[], Coroutine[Any, Any, None]]


async def nothing() -> None:
    """Nothing to be done."""


class OwnedStore(Store, Protocol):
    """A store in which whoever took a partition over last is the only one to write for its accounts."""

    def own(self, partitions: Collection[int]) -> None:
        """Take these partitions over. Raises `StoreFailed`."""
        ...

    def disown(self, partitions: Collection[int]) -> None:
        """Own these partitions no longer."""
        ...


class OpenedStream(Stream, Protocol):
    """A stream that is opened some time after it was assigned; `first_end` is where it ended then, None before."""

    first_end: int | None


class Partitions:
    """The partitions of one process: the same ones of every topic, with all work for the accounts in them.

    That work begins when everything is taken over that was there when they came: nobody is called under old terms.
    `resume` takes up what is in hand for accounts that have come; `drain` ends it for accounts that go.
    """

    def __init__(
        self,
        service: Service,
        store: OwnedStore,
        share: Assignment,
        *,
        resume: Doing = nothing,
        drain: Doing = nothing,
    ) -> None:
        self._service = service
        self._store = store
        self._assignment = share
        self._resume = resume
        self._drain = drain
        self._streams: dict[str, OpenedStream] = {}
        self._came = asyncio.Event()

    @property
    def held(self) -> int:
        """How many partitions this process holds."""
        return len(_numbers(self._streams))

    async def run(self) -> None:
        """Begin the work for partitions as they come, until cancelled. Raises `StoreFailed`."""
        while True:
            await self._came.wait()
            self._came.clear()
            streams = self._streams
            while streams is self._streams and not all(map(self._is_current, streams.values())):  # noqa: ASYNC110 - it comes about in the service's thread
                await asyncio.sleep(_LOOK)
            if streams is self._streams:
                await self._begin()

    async def assigned(self, streams: Sequence[OpenedStream]) -> Mapping[str, int]:
        """Follow these streams, and no others; by stream, the stored position from which it goes on."""
        held, self._streams = self._streams, {stream.name: stream for stream in streams}
        positions = await self._service.call(self._take_over, held)
        self._came.set()
        return positions

    async def revoked(self, names: Collection[str]) -> None:
        """Let go of these streams, and of the accounts in them; returns when no work for them is under way."""
        self._streams = {name: stream for name, stream in self._streams.items() if name not in names}
        self._assignment.hold(_numbers(self._streams))
        await self._drain()
        await self._service.call(self._let_go, names)

    async def begins(self, positions: Mapping[str, int]) -> None:
        """Follow these streams from here, by name: nothing was read of them, and nothing before has to be."""
        await self._service.call(self._begin_at, positions)

    def arrived(self) -> None:
        """There is something to read."""
        self._service.notify()

    async def _begin(self) -> None:
        partitions = _numbers(self._streams)
        self._assignment.hold(partitions)
        _log.info("partitions taken over", service=self._service.name, partitions=sorted(partitions))
        await self._resume()

    def _is_current(self, stream: OpenedStream) -> bool:
        return stream.first_end is not None and self._service.has_reached(stream.name, stream.first_end)

    def _take_over(self, held: Collection[str]) -> Mapping[str, int]:
        self._store.own(_numbers(self._streams) - _numbers(held))
        self._service.leave(set(held) - self._streams.keys())
        self._service.follow((each for name, each in self._streams.items() if name not in held), may_repeat=True)
        return {name: self._store.position(name) for name in self._streams}

    def _begin_at(self, positions: Mapping[str, int]) -> None:
        with suppress(StoreConflict):  # Somebody else has the partitions, and Kafka is about to say so.
            self._store.commit(Unit(positions=[Position(name=name, at=at) for name, at in positions.items()]))
        streams = [self._streams[name] for name in positions if name in self._streams]
        self._service.leave(positions)
        self._service.follow(streams, may_repeat=True)

    def _let_go(self, names: Collection[str]) -> None:
        self._service.leave(names)
        self._store.disown(_numbers(names) - _numbers(self._streams))


def _numbers(streams: Collection[str]) -> set[int]:
    return {int(name.rpartition("/")[2]) for name in streams}


_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds until a process that has failed runs again, doubling."""

_STEADY = 30.0
"""Seconds after which a process that runs is taken to have got over what made it fail."""

_OVER = 5.0
"""Seconds after which a process that runs again says that its trouble is over."""


class Member(Protocol):
    """The part that a process takes in its service's group."""

    @property
    def silence(self) -> float:
        """Seconds since Kafka last told how far the streams go."""
        ...

    async def run(self) -> None:
        """Read until cancelled. Raises `StoreFailed` when it cannot go on."""
        ...


class InstanceLocks(Protocol):
    """The sign that this process runs; it is lost with the database."""

    def check(self) -> None:
        """Raise `StoreFailed` when it is lost."""
        ...

    def close(self) -> None:
        """The process has ended."""
        ...


class Process:
    """One service with its relay and, where it follows others, its part in the group, which it joins when it runs."""

    def __init__(
        self,
        service: Service,
        relay: Relay,
        presence: InstanceLocks,
        *,
        work: Doing,
        close: Doing = nothing,
        partitions: Partitions | None = None,
        join: Callable[[], Member] | None = None,
    ) -> None:
        self._service = service
        self._relay = relay
        self._presence = presence
        self._work = work
        self._close = close
        self._partitions = partitions
        self._join = join
        self._member: Member | None = None
        self._failure: StoreFailed | None = None

    @property
    def follows(self) -> Sequence[str]:
        """The logs that it follows, by name."""
        return self._service.follows

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work())
                group.create_task(self._relay.run())
                group.create_task(watch(self, patience))
                if self._join and self._partitions:
                    self._member = self._join()
                    group.create_task(self._partitions.run())
                    group.create_task(self._member.run())
        except BaseExceptionGroup as failures:
            of_stores, _ = failures.split(StoreFailed)
            self._failure = _first(of_stores) if of_stores else None
            raise
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of everything."""
        await self._close()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        """Close what has connections, which can take its time when the database is away."""
        self._service.close()
        self._relay.close()
        self._presence.close()

    async def progress(self) -> Progress:
        """How far this process has come. Raises `StoreFailed`: that of which it ends, once it does."""
        if self._failure:
            raise self._failure
        await self._service.call(self._presence.check)
        unsent, behind = await self._service.call(lambda: (self._relay.lag(), self._service.lag()))
        return Progress(
            taken=self._service.taken,
            behind=behind,
            sent=self._relay.sent,
            unsent=unsent,
            relaying=self._relay.is_relaying,
            partitions=self._partitions.held if self._partitions else 0,
            silence=self._member.silence if self._member else None,
            stuck=self._relay.stuck(),
        )


class Runnable(Measured, Protocol):
    """What is kept running."""

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        ...


Opening = Callable[[], Awaitable[Runnable]]
"""Opens all that a process needs. Raises `StoreFailed`: `Misconfigured` where waiting does not help."""


async def keep_running(opening: Opening, health: Health, *, stop: asyncio.Event, patience: float) -> None:
    """Run a process until told to stop, again after each failure: recovering from one is starting after a crash.

    Raises `Misconfigured` at once, and `StoreFailed` when it has failed again and again for longer than `patience`
    seconds: `Stuck` when it was stuck so long, or does not end.
    """
    clock = asyncio.get_running_loop().time
    pause, failing_since, troubles = _FIRST_PAUSE, math.inf, Troubles()
    while True:
        began = clock()
        trouble = await _run(opening, health, troubles, stop=stop, patience=patience)
        if trouble is None:
            return
        if isinstance(trouble, Stuck | Misconfigured):
            raise trouble
        if clock() - began > _STEADY:
            pause, failing_since = _FIRST_PAUSE, math.inf
        failing_since = min(failing_since, clock())
        if clock() - failing_since > patience:
            raise trouble
        health.ends(str(trouble), trouble.part)
        troubles.met("process begins anew", str(trouble))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stop.wait()
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _run(
    opening: Opening, health: Health, troubles: Troubles, *, stop: asyncio.Event, patience: float
) -> StoreFailed | None:
    """Run a process until it fails, or until told to stop: then there is no failure. Raises `EndsNot`."""
    if stop.is_set():
        return None
    running = asyncio.create_task(_work(opening, health, troubles, patience))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()
    if not (await asyncio.wait((running,), timeout=LONGEST_ENDING))[0]:
        raise EndsNot(LONGEST_ENDING)
    try:
        await running
    except asyncio.CancelledError:
        return None
    except StoreFailed as failure:
        return failure
    except BaseExceptionGroup as failures:
        return _store_failed(failures)
    return None


async def _work(opening: Opening, health: Health, troubles: Troubles, patience: float) -> None:
    process = await opening()
    health.begins(process)
    over = asyncio.get_running_loop().call_later(_OVER, troubles.are_over)
    try:
        await process.run(patience)
    finally:
        over.cancel()


def _store_failed(failures: BaseExceptionGroup[BaseException]) -> StoreFailed:
    """The failure that waiting does not help against, else any; raises the group when there is another kind in it."""
    _, rest = failures.split(StoreFailed)
    if rest is not None:
        raise failures
    lasting, _ = failures.split(Misconfigured)
    return _first(lasting or failures)


def _first(failure: BaseException) -> StoreFailed:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    if not isinstance(failure, StoreFailed):
        raise failure
    return failure


_CREDENTIALS = "credentials"
_INSTALLATION = "installation"
"""The schema that is no service's own."""

_LINGER = 0.002
"""Seconds in which records gather for a batch: Kafka gathers them already."""

ROWS: Mapping[str, tuple[type[Row], ...]] = {
    "accounts": (AccountRow,),
    "intake": intake.INTAKE_ROWS,
    "decider": decider.DECIDER_ROWS,
    **{f"projector_{target}": projector.PROJECTOR_ROWS for target in Target},
    _CREDENTIALS: (CredentialsRow,),
}
"""Every schema of the database, with the tables of its service."""

_LOGS = {
    "accounts": ACCOUNTS,
    "intake": CHANGES,
    "decider": DECISIONS,
    **{f"projector_{target}": outcomes_of(target) for target in Target},
}


_WORK: frozenset[type[Row]] = frozenset(
    {
        SnapshotDriver,
        ShownDriver,
        ReadingRow,
        ReKeyingRow,
        Look,
        CatchUp,
        Retry,
        Task,
        StartedCall,
        Probe,
        Suspect,
        Reading,
        LookUp,
        CredentialsRow,
    }
)
_READ_MODELS = {f"{schema}.{row.TABLE}" for schema, rows in ROWS.items() for row in rows if row not in _WORK}


class Distributed:
    """Opens what a process or a command of the distributed shape needs."""

    def __init__(self, settings: DistributedSettings) -> None:
        self._settings = settings
        self._url = str(settings.database_url)
        self._password = settings.database_password.get_secret_value()
        self._notifier = Notifier()
        self._namespace = Namespace(prefix=settings.kafka_prefix)
        self._tables = InstallationTables(self._url, self._password, self._schema(_INSTALLATION))

    def installation(self) -> Installation:
        """Every service on its store, as commands ask them; nothing is followed. Raises `StoreFailed`."""
        with _Opening() as opened:
            stores = {schema: self._store(schema, opened) for schema in _LOGS}
            if self._settings.installation:
                self._tables.check(self._settings.installation)
            credentials = self._credentials(opened)
        connections = Connections(self._settings, credentials)
        share = Assignment(held=())
        return Installation(
            accounts=Accounts(stores["accounts"], utc_now),
            accounts_service=self._relaying_only("accounts", stores["accounts"]),
            intake=Intake(stores["intake"], utc_now),
            intake_service=self._relaying_only("intake", stores["intake"]),
            decider_service=decider.to_service(stores["decider"], clock=utc_now, notifier=self._notifier, share=share),
            projectors={
                target: projector.to_app(
                    stores[f"projector_{target}"],
                    target,
                    connect=connections.to(target),
                    clock=utc_now,
                    notifier=self._notifier,
                    share=share,
                )
                for target in Target
            },
            credentials=credentials,
            connections=connections,
            readers=Readers(
                accounts=stores["accounts"],
                intake=stores["intake"],
                decider=stores["decider"],
                projectors={target: stores[f"projector_{target}"] for target in Target},
            ),
            may_repeat=True,
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this lasts, nothing else works on any service. Raises `StoreFailed` when something does now."""
        with closing(self._presence(*_LOGS)) as presence:
            presence.have_alone()
            yield

    @contextmanager
    def present(self) -> Iterator[None]:
        """While this lasts, nobody can have the services alone. Raises `StoreFailed` when somebody does now."""
        with closing(self._presence(*_LOGS)) as presence:
            presence.share()
            yield

    async def accounts(self) -> Process:
        """The process of accounts: people write them by commands, so it only relays. Raises `StoreFailed`."""
        return await self._opened("accounts", self._accounts)

    async def intake(self) -> Process:
        """The process of intake: it relays what commands bring, and reads the Portal's API. Raises `StoreFailed`."""
        return await self._opened("intake", self._intake)

    async def decider(self) -> Process:
        """A process of the decider. Raises `StoreFailed`."""
        return await self._opened("decider", self._decider)

    async def projector(self, target: Target) -> Process:
        """A process of a target's projector. Raises `StoreFailed`."""
        return await self._opened(f"projector_{target}", partial(self._projector, target))

    async def _opened(self, schema: str, opening: Callable[[], Process]) -> Process:
        """A process whose topics are there as they should be, its own and those that it follows."""
        access = to_kafka_access(self._settings)
        process = await asyncio.to_thread(opening)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(process.close)
            topics = [self._namespace.to_name(log) for log in (_LOGS[schema], *process.follows)]
            await check(access, topics, partitions=self._settings.kafka_partitions)
            stack.pop_all()
        return process

    def _accounts(self) -> Process:
        with _Opening() as opened:
            presence, store = self._present("accounts", opened), self._store("accounts", opened)
            return self._relaying_process(presence, self._relaying_only("accounts", store), opened)

    def _intake(self) -> Process:
        with _Opening() as opened:
            presence, store = self._present("intake", opened), self._store("intake", opened)
            chores = [Forgetting(Intake(store, utc_now), utc_now)]
            service, credentials = self._relaying_only("intake", store, chores), self._credentials(opened)
            polling = intake.to_polling(
                service,
                self._settings,
                credentials=credentials,
                turn=RelayLock(self._url, self._password, self._schema("intake"), duty="reading"),
                clock=utc_now,
                notifier=self._notifier,
            )
            return Process(
                service,
                self._relay("intake", service.name, opened),
                presence,
                work=partial(_together, service.run, polling.run),
                close=partial(asyncio.to_thread, credentials.close),
            )

    def _decider(self) -> Process:
        with _Opening() as opened:
            presence, store, share = (
                self._present("decider", opened),
                self._store("decider", opened),
                self._assignment(),
            )
            service = decider.to_service(
                store, clock=utc_now, notifier=self._notifier, share=share, batch_window=_LINGER
            )
            partitions = Partitions(service, store, share)
            return Process(
                service,
                self._relay("decider", service.name, opened),
                presence,
                work=service.run,
                join=lambda: self._member(service, partitions),
                partitions=partitions,
            )

    def _projector(self, target: Target) -> Process:
        schema, share = f"projector_{target}", self._assignment()
        with _Opening() as opened:
            presence, store = self._present(schema, opened), self._store(schema, opened)
            credentials = self._credentials(opened)
            connections = Connections(self._settings, credentials)
            app = projector.to_app(
                store,
                target,
                connect=connections.to(target),
                clock=utc_now,
                notifier=self._notifier,
                share=share,
                batch_window=_LINGER,
            )
            partitions = Partitions(app.service, store, share, resume=app.resume, drain=app.drain)

            async def close() -> None:
                await connections.close()
                await asyncio.to_thread(credentials.close)

            return Process(
                app.service,
                self._relay(schema, app.service.name, opened),
                presence,
                work=app.run,
                join=lambda: self._member(app.service, partitions),
                partitions=partitions,
                close=close,
            )

    def _relaying_process(self, presence: InstanceLock, service: Service, opened: ExitStack) -> Process:
        return Process(service, self._relay(service.name, service.name, opened), presence, work=service.run)

    def _relaying_only(self, name: str, store: Store, chores: Sequence[Callable[[], int]] = ()) -> Service:
        return Service(name, store=store, clock=utc_now, notifier=self._notifier, chores=chores)

    def _relay(self, schema: str, service: str, opened: ExitStack) -> Relay:
        store, log, epoch = self._store(schema, opened), _LOGS[schema], self._settings.epoch
        installation = self._tables.check(self._settings.installation)
        self._namespace = Namespace(installation=installation, prefix=self._settings.kafka_prefix)
        is_new = store.position(position_name(epoch, log)) == 0
        return Relay(
            store,
            log,
            epoch=epoch,
            turn=RelayLock(self._url, self._password, self._schema(schema)),
            opening=lambda: KafkaPublisher(
                to_kafka_access(self._settings),
                service=service,
                namespace=self._namespace,
                beginning=Beginning(epochs=self._tables, epoch=epoch, is_new=is_new),
            ),
        )

    def _member(self, service: Service, partitions: Partitions) -> KafkaMember:
        settings = self._settings
        group = Group(
            name=f"driverlink.{service.name}",
            member=f"{service.name}.{settings.member}" if settings.member else "",
            session_timeout=settings.kafka_session_timeout,
        )
        subscription = Subscription(topics=service.follows, partitions=settings.kafka_partitions, group=group)
        return KafkaMember(
            to_kafka_access(settings),
            subscription,
            partitions,
            epoch=settings.epoch,
            namespace=self._namespace,
            epochs=self._tables,
        )

    def _present(self, schema: str, opened: ExitStack) -> InstanceLock:
        presence = opened.enter_context(closing(self._presence(schema)))
        presence.share()
        if self._settings.member:
            presence.be(self._settings.member)
        return presence

    def _presence(self, *schemas: str) -> InstanceLock:
        return InstanceLock(self._url, self._password, [*map(self._schema, schemas)])

    def _schema(self, name: str) -> str:
        """The schema of this name in the database."""
        return f"{self._settings.database_prefix}{name}"

    def _assignment(self) -> Assignment:
        return Assignment(lambda account: partition_of(account, self._settings.kafka_partitions), held=())

    def _store(self, schema: str, opened: ExitStack) -> PostgresStore:
        log = _LOGS.get(schema, schema)
        name, rows = self._schema(schema), ROWS[schema]
        store = PostgresStore(self._url, self._password, schema=name, log_name=log, rows=rows)
        return opened.enter_context(closing(store))

    def _credentials(self, opened: ExitStack) -> CredentialsTable:
        return CredentialsTable(self._store(_CREDENTIALS, opened), self._settings.secret_key.get_secret_value())


async def _together(*works: Doing) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work())


class _Opening(ExitStack):
    """Leaves open what was opened, and closes it again where the rest could not be opened."""

    def __exit__(self, *failure: Any) -> None:  # noqa: ANN401 - the protocol's own types
        if failure[0] is None:
            self.pop_all()
        super().__exit__(*failure)


def to_kafka_access(settings: KafkaSettings) -> KafkaAccess:
    """How Kafka is reached. Raises `WrongSettings` when it is not said where it is."""
    if not settings.kafka_servers:
        raise WrongSettings("DRIVERLINK_KAFKA_SERVERS is not set: it says where Kafka is, as host:port")
    return KafkaAccess(
        servers=tuple(each.strip() for each in settings.kafka_servers.split(",")),
        security=Security(settings.kafka_security),
        mechanism=Mechanism(settings.kafka_sasl_mechanism),
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        ca_file=settings.kafka_ca_file,
        certificate_file=settings.kafka_certificate_file,
        key_file=settings.kafka_key_file,
    )


async def create_topics(settings: KafkaSettings) -> Sequence[str]:
    """Make the topics that are not there yet; which ones were made. Raises `StoreFailed`."""
    topics = [*map(Namespace(prefix=settings.kafka_prefix).to_name, LOGS)]
    return await create(
        to_kafka_access(settings), topics, partitions=settings.kafka_partitions, replication=settings.kafka_replication
    )


def migrate_database(settings: DistributedSettings, may_drop: Sequence[str]) -> None:
    """Make the schemas and tables that are not there yet; only a read model may be dropped. Raises `StoreFailed`."""
    prefix = settings.database_prefix
    named = {f"{prefix}{table.removeprefix(prefix)}" for table in may_drop}
    if refused := sorted(named - {f"{prefix}{table}" for table in _READ_MODELS}):
        raise StoreFailed(f"{refused[0]} is no read model, so nothing can make it anew")
    url, password = str(settings.database_url), settings.database_password.get_secret_value()
    InstallationTables(url, password, f"{prefix}{_INSTALLATION}").make(settings.installation)
    migrate(url, password, {f"{prefix}{schema}": rows for schema, rows in ROWS.items()}, may_drop=named)
