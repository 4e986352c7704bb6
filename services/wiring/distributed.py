"""The distributed deployment: each service a process on its own schema of the database, and each log on its topic."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

from adapters.credentials import CredentialsRow, CredentialsTable
from adapters.kafka.cloud_events import to_outgoing_state
from adapters.kafka.connection import KafkaAccess, Mechanism, Security
from adapters.kafka.consumer import Group, KafkaConsumer, TopicSubscription
from adapters.kafka.producer import Beginning, KafkaPublisher
from adapters.kafka.topics import Namespace, check, create, partition_of
from adapters.profile_keys import ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.signing import RootSigner
from adapters.store.locks import InstanceLock, PostgresLeaderLock, UpgradeLock, running_schemas
from adapters.store.migrating import in_postgres
from adapters.store.postgres import InstallationTables, PostgresStore, migrate
from adapters.store.questions import SCHEMA as QUESTIONS
from adapters.store.questions import QuestionViews, make_questions
from domain.ports import ProfileKeys
from domain.store import Row
from services.api.authentication import ACCESS_ROWS, Access, Provider, ProviderSettings
from services.api.installation import Installation, Readers
from services.runtime.context import Assignment, utc_now
from services.runtime.outbox import Relay, position_name
from services.runtime.partitions import Partitions
from services.runtime.process import Process
from services.runtime.service import LeaderLock, Notifier
from services.views.relays import StatesRelay, Views, request_all_states, without_personal_data
from services.wiring.erasing import Forget
from services.wiring.migrations import migrate as migrate_tables
from services.wiring.rebuild import stale_models, upgrade
from services.wiring.registry import LOGS, SERVICES, VIEWS, Dependencies, ServiceSpec, ViewSpec, to_installation
from services.wiring.settings import DistributedSettings, KafkaSettings, SignInSettings, WrongSettings

_CREDENTIALS = "credentials"
_ACCESS = "api"
_PROFILE_KEYS = "profile_keys"
_INSTALLATION = "installation"
"""The schema that does not belong to a service."""

SCHEMAS: Mapping[str, tuple[type[Row], ...]] = {
    **{spec.schema: spec.rows for spec in SERVICES.values()},
    _CREDENTIALS: (CredentialsRow,),
    _ACCESS: ACCESS_ROWS,
    _PROFILE_KEYS: (ProfileKeyRow,),
}
"""Every schema of the database with tables of services."""


def to_provider(settings: SignInSettings) -> Provider | None:
    """The provider with which people sign in, where one is set up."""
    if not settings.oidc_issuer:
        return None
    return Provider(
        ProviderSettings(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            public_url=settings.public_url.rstrip("/"),
            user_claim=settings.oidc_user_claim,
            roles_claim=settings.oidc_roles_claim,
        )
    )


class Distributed:
    """Opens what a process of the distributed deployment needs."""

    def __init__(self, settings: DistributedSettings) -> None:
        self._settings = settings
        self._url = str(settings.database_url)
        self._password = settings.database_password.get_secret_value()
        self._namespace = Namespace(prefix=settings.kafka_prefix)
        self._tables = InstallationTables(self._url, self._password, self._schema(_INSTALLATION))

    def installation(self) -> Installation:
        """Every service on its store, for the API; none of them consumes. Raises `StoreFailed`."""
        with _Opening() as opened:
            keys = self.profile_keys(opened)
            stores = {name: self._store(spec, opened, keys) for name, spec in SERVICES.items()}
            for store in stores.values():
                store.log.check_keys()
            if self._settings.installation:
                self._tables.check(self._settings.installation)
            credentials = self._credentials(opened)
            access_store = self._table_store(_ACCESS, opened)
        given = self._dependencies(lambda: credentials, lambda: None, Assignment(held=()), keys)
        built = {name: spec.build(stores[name], given) for name, spec in SERVICES.items()}
        installation = to_installation(
            stores,
            built,
            given,
            credentials=credentials,
            access=Access(access_store, utc_now, admin_key=self._settings.admin_key.get_secret_value()),
            profile_keys=keys,
            readers=Readers(stores=stores),
            running=self._running,
            partition_of=self.partition_of,
            signer=self.signer(),
        )
        return replace(installation, provider=to_provider(self._settings))

    def signer(self) -> RootSigner | None:
        """What signs roots; None without a secret key."""
        secret = self._settings.secret_key.get_secret_value()
        return RootSigner.of_secret(secret) if secret else None

    @contextmanager
    def instance_lock(self, *, is_exclusive: bool) -> Iterator[InstanceLock]:
        """The lock of every service: exclusive for a rebuild, shared for the API.

        Raises `StoreFailed` while another process has it in the other way.
        """
        if not is_exclusive:
            self.upgrade()
        with closing(self._lock_of(*SERVICES.values())) as lock:
            if is_exclusive:
                lock.acquire_exclusive()
            else:
                lock.acquire_shared()
            yield lock

    @contextmanager
    def stores(self) -> Iterator[Mapping[str, PostgresStore]]:
        """Every service's store, whatever version its read models are of. Raises `StoreFailed`."""
        if self._settings.installation:
            self._tables.check(self._settings.installation)
        with ExitStack() as opened:
            keys = self.profile_keys(opened)
            yield {name: self._store(spec, opened, keys, rows=spec.work) for name, spec in SERVICES.items()}

    @contextmanager
    def beside_stores(self) -> Iterator[Collection[Forget]]:
        """What the database has of accounts beside the stores of services. Raises `StoreFailed`."""
        with ExitStack() as opened:
            access = Access(self._table_store(_ACCESS, opened), utc_now)
            yield self._credentials(opened).forget, access.forget, self.profile_keys(opened).destroy_all

    def stale_tables(self) -> Sequence[str]:
        """The tables of read models that are of another version, as schema.table. Raises `StoreFailed`."""
        with self.stores() as stores:
            if not any(store.log.end() for store in stores.values()):
                return ()
            models = stale_models(stores)
        return [
            f"{self._schema(SERVICES[name].schema)}.{row.TABLE}"
            for name, own in models.items()
            for model in own
            for row in model.tables
        ]

    def upgrade(self) -> None:
        """Make read models of another version again; while another process does so, wait until it has.

        Raises `StoreFailed`, also where processes or commands work on their schemas already: those of the version
        before.
        """
        with closing(UpgradeLock(self._url, self._password, self._settings.database_prefix)) as lock:
            lock.acquire()
            with self.stores() as stores:
                if models := stale_models(stores):
                    with closing(self._lock_of(*(SERVICES[name] for name in models))) as alone:
                        alone.acquire_exclusive()
                        for store in stores.values():
                            store.log.check_keys()
                        upgrade(stores, self.partition_of, self._settings.kafka_partitions)

    async def process(self, spec: ServiceSpec) -> Process:
        """A process of a service, once its topics and those that it consumes are found as expected.

        Raises `StoreFailed`.
        """
        access = to_kafka_access(self._settings)
        process = await asyncio.to_thread(self._open, spec)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(process.close)
            topics = [self._namespace.to_name(log) for log in (spec.log, *spec.consumes)]
            await check(access, topics, partitions=self._settings.kafka_partitions)
            stack.pop_all()
        return process

    async def views(self) -> Views:
        """A process that relays every view, once its topics are found as expected. Raises `StoreFailed`."""
        process = await asyncio.to_thread(self._open_views)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(process.close)
            topics = [self._namespace.to_name(view.topic) for view in VIEWS]
            await check(to_kafka_access(self._settings), topics, partitions=self._settings.kafka_partitions)
            stack.pop_all()
        return process

    def request_states(self) -> None:
        """Let the topic of states be filled again by the process that relays views. Raises `StoreFailed`."""
        with self.instance_lock(is_exclusive=False), ExitStack() as opened:
            decider = self._store(SERVICES["decider"], opened, self.profile_keys(opened), rows=())
            request_all_states(decider)

    def partition_of(self, account: str) -> int:
        """The partition of an account."""
        return partition_of(account, self._settings.kafka_partitions)

    def _running(self) -> Collection[str]:
        """The services of which a process runs. Raises `StoreFailed`."""
        by_schema = {self._schema(spec.schema): name for name, spec in SERVICES.items()}
        return [by_schema[schema] for schema in running_schemas(self._url, self._password, by_schema)]

    def _open(self, spec: ServiceSpec) -> Process:
        used = ExitStack()

        def credentials() -> CredentialsTable:
            return used.enter_context(closing(self._credentials(opened)))

        def leader_lock() -> LeaderLock:
            return PostgresLeaderLock(self._url, self._password, self._schema(spec.schema), duty="reading")

        async def close() -> None:
            await given.close()
            await asyncio.to_thread(used.close)

        self.upgrade()
        with _Opening() as opened:
            lock = opened.enter_context(closing(self._lock_of(spec)))
            lock.acquire_shared()
            lock.show_running()
            if self._settings.member:
                lock.acquire_name(self._settings.member)
            keys = self.profile_keys(opened)
            own = self._store(spec, opened, keys)
            own.log.check_keys()
            store = spec.caching_owned(own)
            assignment = Assignment(self.partition_of, held=())
            given = self._dependencies(credentials, leader_lock, assignment, keys)
            built = spec.build(store, given)
            partitions = Partitions(built.service, store, assignment, resume=built.resume, drain=built.drain)
            return Process(
                built.service,
                self._relay(spec, opened, keys),
                lock,
                work=built.run,
                close=close,
                partitions=partitions if spec.consumes else None,
                join=(lambda: self._member(spec, partitions, keys)) if spec.consumes else None,
            )

    def _open_views(self) -> Views:
        self.upgrade()
        with _Opening() as opened:
            lock = opened.enter_context(closing(self._lock_of(*(SERVICES[view.service] for view in VIEWS))))
            lock.acquire_shared()
            keys = self.profile_keys(opened)
            return Views([self._view(view, opened, keys) for view in VIEWS], lock)

    def _view(self, view: ViewSpec, opened: ExitStack, keys: ProfileKeys) -> Relay:
        spec, epoch = SERVICES[view.service], self._settings.epoch
        store, duty = self._store(spec, opened, keys), f"relay/{view.topic}"
        leader_lock = PostgresLeaderLock(self._url, self._password, self._schema(spec.schema), duty)
        if view.is_compacted:
            opening = self._opening(
                spec, store, view.topic, to_outgoing=to_outgoing_state, alone_as=f"driverlink.{duty}"
            )
            return StatesRelay(store, epoch=epoch, leader_lock=leader_lock, opening=opening)
        return Relay(
            store,
            view.topic,
            epoch=epoch,
            leader_lock=leader_lock,
            opening=self._opening(spec, store, view.topic),
            view=without_personal_data,
        )

    def _dependencies(
        self,
        credentials: Callable[[], CredentialsTable],
        leader_lock: Callable[[], LeaderLock | None],
        assignment: Assignment,
        keys: ProfileKeys,
    ) -> Dependencies:
        return Dependencies(
            self._settings,
            credentials=credentials,
            leader_lock=leader_lock,
            profile_keys=keys,
            assignment=assignment,
            clock=utc_now,
            notifier=Notifier(),
        )

    def _relay(self, spec: ServiceSpec, opened: ExitStack, keys: ProfileKeys) -> Relay:
        store = self._store(spec, opened, keys)
        return Relay(
            store,
            spec.log,
            epoch=self._settings.epoch,
            leader_lock=PostgresLeaderLock(self._url, self._password, self._schema(spec.schema)),
            opening=self._opening(spec, store, spec.log),
        )

    def _opening(
        self,
        spec: ServiceSpec,
        store: PostgresStore,
        topic: str,
        **how: Any,  # noqa: ANN401 - the publisher's own
    ) -> Callable[[], KafkaPublisher]:
        """What opens a way to a topic for what comes from a service's log."""
        epoch, installation = self._settings.epoch, self._tables.check(self._settings.installation)
        self._namespace = Namespace(installation=installation, prefix=self._settings.kafka_prefix)
        is_new = store.position(position_name(epoch, topic)) == 0
        return lambda: KafkaPublisher(
            to_kafka_access(self._settings),
            service=spec.name,
            namespace=self._namespace,
            beginning=Beginning(epochs=self._tables, epoch=epoch, is_new=is_new),
            **how,
        )

    def _member(self, spec: ServiceSpec, partitions: Partitions, keys: ProfileKeys) -> KafkaConsumer:
        settings = self._settings
        group = Group(
            name=f"driverlink.{spec.name}",
            member=f"{spec.name}.{settings.member}" if settings.member else "",
            session_timeout=settings.kafka_session_timeout,
        )
        return KafkaConsumer(
            to_kafka_access(settings),
            TopicSubscription(topics=spec.consumes, partitions=settings.kafka_partitions, group=group),
            partitions,
            epoch=settings.epoch,
            namespace=self._namespace,
            epochs=self._tables,
            keys=keys,
        )

    def _lock_of(self, *specs: ServiceSpec) -> InstanceLock:
        return InstanceLock(self._url, self._password, [self._schema(spec.schema) for spec in specs])

    def _schema(self, name: str) -> str:
        """The schema of this name in the database."""
        return f"{self._settings.database_prefix}{name}"

    def _store(
        self, spec: ServiceSpec, opened: ExitStack, keys: ProfileKeys, rows: Sequence[type[Row]] | None = None
    ) -> PostgresStore:
        """The store of a service; its tables are checked, or only those of these rows."""
        store = PostgresStore(
            self._url,
            self._password,
            schema=self._schema(spec.schema),
            log_name=spec.log,
            rows=spec.rows if rows is None else rows,
            views=[to_questions(self._settings.database_prefix).links],
            keys=keys,
        )
        return opened.enter_context(closing(store))

    def _table_store(self, name: str, opened: ExitStack) -> PostgresStore:
        """The store of a schema that is not a service's."""
        store = PostgresStore(self._url, self._password, schema=self._schema(name), log_name=name, rows=SCHEMAS[name])
        return opened.enter_context(closing(store))

    def profile_keys(self, opened: ExitStack) -> ProfileKeysTable:
        """The keys of profiles; the master key is only needed for the first of them."""
        settings = self._settings
        masters = StatedMasterKeys(
            settings.profile_master_key.get_secret_value() or settings.secret_key.get_secret_value(),
            settings.former_profile_master_keys.get_secret_value().splitlines(),
        )
        return ProfileKeysTable(self._table_store(_PROFILE_KEYS, opened), masters, utc_now)

    def _credentials(self, opened: ExitStack) -> CredentialsTable:
        store = self._table_store(_CREDENTIALS, opened)
        return CredentialsTable(store, self._settings.secret_key.get_secret_value())


class _Opening(ExitStack):
    """Leaves open what was opened, and closes it where the rest could not be opened."""

    def __exit__(self, *failure: Any) -> None:  # noqa: ANN401 - the protocol's own types
        if failure[0] is None:
            self.pop_all()
        super().__exit__(*failure)


def to_kafka_access(settings: KafkaSettings) -> KafkaAccess:
    """How to reach Kafka. Raises `WrongSettings` where its address is not set."""
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
    """Create the topics that are missing; answers which those were. Raises `StoreFailed`."""
    to_name = Namespace(prefix=settings.kafka_prefix).to_name
    return await create(
        to_kafka_access(settings),
        [to_name(topic) for topic in (*LOGS, *(view.topic for view in VIEWS if not view.is_compacted))],
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
        compacted=[to_name(view.topic) for view in VIEWS if view.is_compacted],
    )


def to_questions(prefix: str) -> QuestionViews:
    """What can be asked by SQL of the installation whose schemas begin so."""
    return QuestionViews(
        schema=f"{prefix}{QUESTIONS}",
        decider=f"{prefix}{SERVICES['decider'].schema}",
        projectors={str(spec.target): f"{prefix}{spec.schema}" for spec in SERVICES.values() if spec.target},
    )


def migrate_database(settings: DistributedSettings) -> Sequence[str]:
    """Create the schemas, tables and views that are missing, and migrate the tables that hold work in hand.

    Answers which tables of read models are of another version, as schema.table: the first process to start makes them
    again. Raises `StoreFailed`.
    """
    prefix = settings.database_prefix
    url, password = str(settings.database_url), settings.database_password.get_secret_value()
    InstallationTables(url, password, f"{prefix}{_INSTALLATION}").make(settings.installation)
    migrate(url, password, {f"{prefix}{_PROFILE_KEYS}": SCHEMAS[_PROFILE_KEYS]})
    shape = Distributed(settings)
    with ExitStack() as opened:
        old = {
            name: opened.enter_context(in_postgres(url, password, f"{prefix}{spec.schema}"))
            for name, spec in SERVICES.items()
        }
        migrate_tables(old, shape.partition_of, shape.profile_keys(opened))
    read_models = {f"{prefix}{spec.schema}": spec.tables for spec in SERVICES.values()}
    views = to_questions(prefix)
    schemas = {f"{prefix}{schema}": rows for schema, rows in SCHEMAS.items()}
    migrate(url, password, schemas, read_models=read_models, views=[views.links])
    stale = shape.stale_tables()
    make_questions(url, password, views, is_current=views.links.table not in stale)
    return stale
