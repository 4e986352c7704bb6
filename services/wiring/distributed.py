"""The distributed shape, put together: each service on its schema of the database, and each log on its topic."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from functools import partial
from typing import Any

from adapters.credentials import CredentialsRow, CredentialsTable
from adapters.kafka.connection import KafkaAccess, Mechanism, Security
from adapters.kafka.consumer import KafkaConsumer
from adapters.kafka.producer import Beginning, KafkaPublisher
from adapters.kafka.subscription import Group, TopicSubscription
from adapters.kafka.topics import Namespace, check, create, partition_of
from adapters.store.installation import InstallationTables
from adapters.store.locks import InstanceLock, LeaderLock
from adapters.store.postgres import PostgresStore, migrate
from domain.identity import Target
from domain.store import Row, Store, StoreFailed
from services.accounts.handlers import AccountRow, Accounts
from services.api.installation import Installation
from services.decider.read_models import CatchUp, Look, Retry
from services.intake.handlers import Forgetting, Intake
from services.intake.read_models import ReadingRow, ReKeyingRow, ShownDriver, SnapshotDriver
from services.projector.read_models import DueDelivery, LookUp, Probe, RefusedDriver, ScanProgress, StartedAttempt
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, LOGS, Assignment, outcomes_of, utc_now
from services.runtime.outbox import Relay, position_name
from services.runtime.partitions import Action, Partitions
from services.runtime.process import Process
from services.runtime.readers import Readers
from services.runtime.service import Notifier, Service
from services.wiring import services as decider
from services.wiring import services as intake
from services.wiring import services as projector
from services.wiring.services import Connections
from services.wiring.settings import DistributedSettings, KafkaSettings, WrongSettings

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
        DueDelivery,
        StartedAttempt,
        Probe,
        RefusedDriver,
        ScanProgress,
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
            presence.acquire_exclusive()
            yield

    @contextmanager
    def present(self) -> Iterator[InstanceLock]:
        """While this lasts, nobody can have the services alone. Raises `StoreFailed` when somebody does now."""
        with closing(self._presence(*_LOGS)) as presence:
            presence.acquire_shared()
            yield presence

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
                turn=LeaderLock(self._url, self._password, self._schema("intake"), duty="reading"),
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
            turn=LeaderLock(self._url, self._password, self._schema(schema)),
            opening=lambda: KafkaPublisher(
                to_kafka_access(self._settings),
                service=service,
                namespace=self._namespace,
                beginning=Beginning(epochs=self._tables, epoch=epoch, is_new=is_new),
            ),
        )

    def _member(self, service: Service, partitions: Partitions) -> KafkaConsumer:
        settings = self._settings
        group = Group(
            name=f"driverlink.{service.name}",
            member=f"{service.name}.{settings.member}" if settings.member else "",
            session_timeout=settings.kafka_session_timeout,
        )
        subscription = TopicSubscription(topics=service.follows, partitions=settings.kafka_partitions, group=group)
        return KafkaConsumer(
            to_kafka_access(settings),
            subscription,
            partitions,
            epoch=settings.epoch,
            namespace=self._namespace,
            epochs=self._tables,
        )

    def _present(self, schema: str, opened: ExitStack) -> InstanceLock:
        presence = opened.enter_context(closing(self._presence(schema)))
        presence.acquire_shared()
        if self._settings.member:
            presence.acquire_name(self._settings.member)
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


async def _together(*works: Action) -> None:
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
