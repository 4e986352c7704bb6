"""The registry of services: each with its log, what it consumes, its tables, and how it is built and rebuilt.

Both deployments, the schemas of the database, the topics of Kafka, the choices of `driverlink serve`, the rebuild, and
what the API says of services and of what they have left to do follow from `SERVICES`.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir
from time import time
from types import MappingProxyType
from typing import Final

from adapters.events import BodySealer
from adapters.store.sqlite import SqliteStore
from adapters.webhooks import HttpReceivers
from domain.identity import Target
from domain.ports import CredentialsKeeper, ProfileKeys
from domain.profile import DataSubject
from domain.reconciliation import PlanStep
from domain.store import FILLED, Row, Store, StoreFailed, Where
from services.accounts.handlers import READ_MODELS as ACCOUNT_MODELS
from services.accounts.handlers import AccountRow, Accounts
from services.api.authentication import Access
from services.api.installation import Installation, Limits, Readers, RunningServices, Signer
from services.decider import read_models as decider
from services.decider.dry_run import PlanChecks
from services.decider.handlers import Decider
from services.decider.order import BatchRow
from services.intake import read_models as intake
from services.intake.erasing import BegunErasure, Erasing
from services.intake.handlers import Hourly, Intake
from services.intake.polling import LOOK, ListReader, Polling
from services.intake.pushing import Pushes
from services.projector import read_models as projector
from services.projector.breaker import Breakers, Probing
from services.projector.calls import Connected, Connecting, Pause
from services.projector.deliveries import Deliveries, Outcomes
from services.projector.erasing import ErasedDrivers
from services.projector.read_models import read_models_of
from services.projector.reads import DriverReads
from services.projector.scanning import Scanning
from services.projector.scans import Freshness, Scans
from services.projector.service import ProjectorApp
from services.runtime.caching import CachingStore, OwnedCachingStore
from services.runtime.consumer import PartitionOf
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, OUTCOMES, WEBHOOKS, Assignment, Clock, outcomes_of
from services.runtime.forgetting import Forgotten
from services.runtime.partitions import Action, OwnedStore, nothing
from services.runtime.read_models import ReadModel
from services.runtime.service import LeaderLock, Notifier, Service
from services.views.link_states import STATES
from services.webhooks import read_models as webhooks
from services.webhooks.endpoints import Endpoints
from services.webhooks.messages import Messages
from services.webhooks.sending import WebhooksApp
from services.wiring.connections import Connections, Credentials, PortalConnections
from services.wiring.settings import ServiceSettings, SignInSettings


class Dependencies:
    """What services are built on in one process. Credentials are opened only for a service that needs them."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        credentials: Callable[[], Credentials],
        leader_lock: Callable[[], LeaderLock | None],
        profile_keys: ProfileKeys,
        assignment: Assignment,
        clock: Clock,
        notifier: Notifier,
    ) -> None:
        self.settings = settings
        self.profile_keys = profile_keys
        self.leader_lock = leader_lock
        self.assignment = assignment
        self.clock = clock
        self.notifier = notifier
        self._open_credentials = credentials

    @cached_property
    def credentials(self) -> Credentials:
        """The accounts' credentials. Raises `StoreFailed`."""
        return self._open_credentials()

    @cached_property
    def connections(self) -> Connections:
        """The targets as each account reaches them. Raises `StoreFailed`."""
        return Connections(self.settings, self.credentials)

    async def close(self) -> None:
        """Close the connections to the targets, where there are any."""
        if "connections" in self.__dict__:
            await self.connections.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A service, built. `run` is all of its work.

    `resume` begins the work in hand for accounts that were assigned, `drain` ends it for accounts that go elsewhere.
    """

    service: Service
    run: Action
    resume: Action = nothing
    drain: Action = nothing
    projector: ProjectorApp | None = None
    polling: Polling | None = None
    sending: WebhooksApp | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """A service: everything that differs between services.

    `kind` is what `driverlink serve` calls it; there is one of a kind, or one for each target. `log_title` is what
    people call its log. It keeps rows of `cached` and `cached_groups` in memory, as `CachingStore` says. `work` are the
    tables of work in hand, which no log can rebuild; the rows that `to_do` finds by its conditions are each something
    that the service has still to do. One that `begins_behind_fence` only replays what the logs have when it first comes
    into an installation, because what it does of its own, such as sending, is not for the past. An installation that
    does not use one that `is_optional` need not run it.
    """

    kind: str
    log: str
    log_title: str
    build: Callable[[Store, Dependencies], Built]
    read_models: tuple[ReadModel, ...]
    consumes: tuple[str, ...] = ()
    cached: tuple[type[Row], ...] = ()
    cached_groups: tuple[type[Row], ...] = ()
    work: tuple[type[Row], ...] = ()
    to_do: tuple[tuple[type[Row], Where], ...] = ()
    begins_behind_fence: bool = False
    target: Target | None = None
    is_optional: bool = False

    @property
    def name(self) -> str:
        """Its name among all services, such as `projector-motive`."""
        return f"{self.kind}-{self.target}" if self.target else self.kind

    @property
    def command(self) -> str:
        """How it is run as a process of its own."""
        return f"driverlink serve {self.kind}" + (f" --target {self.target}" if self.target else "")

    @property
    def schema(self) -> str:
        """The name of its schema in the database, without the installation's prefix."""
        return self.name.replace("-", "_")

    def caching(self, store: Store) -> CachingStore:
        """Its store as it uses it, where no other process stores."""
        return CachingStore(store, self.cached, self.cached_groups)

    def caching_owned(self, store: OwnedStore) -> OwnedCachingStore:
        """Its store as it uses it, where other processes store what they own."""
        return OwnedCachingStore(store, self.cached, self.cached_groups)

    @property
    def tables(self) -> tuple[type[Row], ...]:
        """The tables of its read models."""
        return tuple(row for model in self.read_models for row in model.tables)

    @property
    def rows(self) -> tuple[type[Row], ...]:
        """Every table of its own."""
        return (*self.tables, *self.work)


def build_accounts(store: Store, given: Dependencies) -> Built:
    """Accounts: people write them by commands, so it consumes nothing."""
    service = Service("accounts", store=store, clock=given.clock, notifier=given.notifier)
    return Built(service=service, run=service.run)


def build_intake(store: Store, given: Dependencies) -> Built:
    """Intake, with its polling of the Portal's API."""
    chores = [
        Hourly(Erasing(store, given.profile_keys.destroy).go_on, given.clock),
        Hourly(Intake(store, given.clock).forget_unfinished_snapshots, given.clock),
        Hourly(Pushes(store, given.clock).forget_old, given.clock),
    ]
    service = Service("intake", store=store, clock=given.clock, notifier=given.notifier, chores=chores)
    settings = given.settings
    most_asked = max(1, int(settings.portal_calls_per_second * settings.portal_read_every / 2))
    polling = Polling(
        ListReader(service, given.clock, every=settings.portal_read_every, most_asked=most_asked),
        portals=PortalConnections(settings, given.credentials),
        lock=given.leader_lock(),
        notifier=given.notifier,
        look=min(LOOK, settings.portal_read_every),
    )

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run())
            group.create_task(polling.run())

    return Built(service=service, run=run, polling=polling)


def _decider(store: Store, given: Dependencies) -> Built:
    service = build_decider(store, clock=given.clock, notifier=given.notifier, assignment=given.assignment)
    return Built(service=service, run=service.run)


def build_decider(store: Store, *, clock: Clock, notifier: Notifier, assignment: Assignment) -> Service:
    """The decider on its store, for the accounts of its assignment."""
    deciding = Decider(store, clock, assignment)
    handlers = {
        ACCOUNTS: deciding.on_accounts,
        CHANGES: deciding.on_changes,
        **dict.fromkeys(OUTCOMES, deciding.on_reports),
    }
    checks = PlanChecks(store, clock, in_hand=deciding.planned_accounts, scratch=open_dry_run, order=deciding.order)
    chores: Sequence[Callable[[], int]] = [
        deciding.forgetting,
        deciding.look_again,
        checks.check_plans,
        deciding.reconcile,
        deciding.retry,
    ]
    return Service(
        "decider",
        store=store,
        clock=clock,
        notifier=notifier,
        handlers=handlers,
        chores=chores,
    )


def build_projector(
    store: Store,
    target: Target,
    *,
    connect: Connecting,
    clock: Clock,
    notifier: Notifier,
    assignment: Assignment,
    destroy: Callable[[Collection[DataSubject]], object],
    pause: Pause = asyncio.sleep,
) -> ProjectorApp:
    """The projector of this target on its store, for the accounts of its assignment.

    `destroy` is for the keys of target drivers that are erased.
    """
    connected, breakers = Connected(connect), Breakers(store, target, clock, assignment)
    freshness = Freshness()
    reads = DriverReads(store, target, clock, assignment, breakers, freshness)
    scans = Scans(store, target, clock, assignment, breakers, freshness)
    erased = ErasedDrivers(store, target, clock, assignment, freshness, destroy=destroy)
    deliveries = Deliveries(
        store,
        target,
        clock,
        assignment,
        database=store.behind if isinstance(store, CachingStore) else store,
        connected=connected,
        breakers=breakers,
        outcomes=Outcomes(store, target, clock, breakers, freshness),
        erased=erased,
        on_changed=scans.schedule.look_up_again,
    )
    service = Service(
        f"projector-{target}",
        target=str(target),
        store=store,
        clock=clock,
        notifier=notifier,
        handlers={ACCOUNTS: deliveries.on_accounts, DECISIONS: deliveries.on_decisions},
        chores=[erased.chore],
        on_stored=deliveries.on_stored,
    )
    return ProjectorApp(
        service,
        deliveries=deliveries,
        scans=scans,
        scanning=Scanning(
            service,
            target,
            scans=scans,
            reads=reads,
            breakers=breakers,
            connect=connected.to,
            slots=connected.slots,
            clock=clock,
            notifier=notifier,
        ),
        reads=reads,
        breakers=breakers,
        probing=Probing(service, breakers, connected.to, clock, on_closed=deliveries.look_again),
        assignment=assignment,
        pause=pause,
    )


def _projector(target: Target) -> Callable[[Store, Dependencies], Built]:
    def build(store: Store, given: Dependencies) -> Built:
        app = build_projector(
            store,
            target,
            connect=given.connections.to(target),
            clock=given.clock,
            notifier=given.notifier,
            assignment=given.assignment,
            destroy=given.profile_keys.destroy,
        )
        return Built(service=app.service, run=app.run, resume=app.resume, drain=app.drain, projector=app)

    return build


def build_webhooks(store: Store, given: Dependencies) -> Built:
    """Webhooks: what happens to drivers, sent to the endpoints of the accounts of its assignment."""
    settings = given.settings
    messages = Messages(
        store,
        given.clock,
        given.assignment,
        secrets=given.credentials,
        origin=settings.public_url.rstrip("/") if isinstance(settings, SignInSettings) else "",
    )
    service = Service(
        "webhooks",
        store=store,
        clock=given.clock,
        notifier=given.notifier,
        handlers={DECISIONS: messages.on_decisions},
        chores=[Hourly(messages.forget_old, given.clock)],
        on_stored=messages.on_stored,
    )
    receivers = HttpReceivers(allows_private=settings.webhooks_private)
    app = WebhooksApp(service, messages=messages, receivers=receivers, assignment=given.assignment)
    return Built(service=service, run=app.run, resume=app.resume, drain=app.drain, sending=app)


_ACCOUNTS = ServiceSpec(
    kind="accounts",
    log=ACCOUNTS,
    log_title="accounts",
    build=build_accounts,
    read_models=ACCOUNT_MODELS,
)
_INTAKE = ServiceSpec(
    kind="intake",
    log=CHANGES,
    log_title="changes",
    build=build_intake,
    read_models=intake.READ_MODELS,
    work=(
        intake.SnapshotDriver,
        intake.ShownDriver,
        intake.ReadingRow,
        intake.ReKeyingRow,
        intake.PushRow,
        intake.RefusedPushRow,
        BegunErasure,
    ),
    to_do=((BegunErasure, {}),),
)
_DECIDER = ServiceSpec(
    kind="decider",
    log=DECISIONS,
    log_title="decisions",
    consumes=(ACCOUNTS, CHANGES, *OUTCOMES),
    build=_decider,
    read_models=decider.READ_MODELS,
    cached=(AccountRow, decider.DesiredRow, decider.ObservedRow, decider.LinkRow, decider.ClaimRow),
    cached_groups=(decider.RosterScanRow, decider.RosterIdentifier),
    work=(decider.Look, decider.RunningReconciliation, decider.RetryRow, BatchRow, Forgotten),
    to_do=((decider.Look, {}), (decider.RunningReconciliation, {}), (decider.RetryRow, {}), (Forgotten, {})),
)


def _projector_of(target: Target) -> ServiceSpec:
    log = outcomes_of(target)
    return ServiceSpec(
        kind="projector",
        target=target,
        log=log,
        log_title=f"outcomes-{target}",
        consumes=(ACCOUNTS, DECISIONS),
        build=_projector(target),
        read_models=read_models_of(target),
        cached=(AccountRow, projector.DeliveryRow, projector.RosterRow),
        work=(projector.ScanProgress, projector.LookUp, projector.Hint, Forgotten),
        to_do=(
            (projector.DeliveryRow, {"due": FILLED}),
            (projector.DeliveryRow, projector.UNDER_WAY),
            (projector.LookUp, {}),
            (projector.Hint, {}),
            (Forgotten, {}),
        ),
    )


_WEBHOOKS = ServiceSpec(
    kind="webhooks",
    log=WEBHOOKS,
    log_title="webhooks",
    consumes=(DECISIONS,),
    build=build_webhooks,
    read_models=webhooks.READ_MODELS,
    cached=(webhooks.NamedLinkRow,),
    work=webhooks.WORK,
    begins_behind_fence=True,
    is_optional=True,
)


SERVICES: Mapping[str, ServiceSpec] = MappingProxyType(
    {spec.name: spec for spec in (_ACCOUNTS, _INTAKE, _DECIDER, *map(_projector_of, Target), _WEBHOOKS)}
)
"""Every service by its name, in the order in which a change passes them."""

LOGS = tuple(spec.log for spec in SERVICES.values())
"""Every log, which is a topic where Kafka carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSpec:
    """A view of a service's log, which `driverlink serve views` relays to a topic of its own."""

    topic: str
    service: str
    is_compacted: bool = False


VIEWS = (
    ViewSpec(topic=f"{CHANGES}.ids", service=_INTAKE.name),
    ViewSpec(topic=f"{DECISIONS}.ids", service=_DECIDER.name),
    ViewSpec(topic=STATES, service=_DECIDER.name, is_compacted=True),
)
"""Every view: two logs without personal data, and the state of each link."""

KINDS = tuple(dict.fromkeys(spec.kind for spec in SERVICES.values()))
"""What `driverlink serve` can run; of a kind with several services `--target` says which."""

INTAKE_ROWS = _INTAKE.rows
DECIDER_ROWS = _DECIDER.rows
PROJECTOR_ROWS = next(spec.rows for spec in SERVICES.values() if spec.target)
"""The tables of one service."""

_PREFIX: Final = "driverlink-plan-"
_LEFT: Final = 86_400.0
"""Seconds after which a dry run's store that is still there was left by a process that was killed."""


@contextmanager
def open_dry_run() -> Iterator[Store]:
    """An empty store in which a reconciliation can be rehearsed, in a temporary folder; removed afterwards.

    One that a killed process left is removed by the first that is opened a day later. Raises `StoreFailed`.
    """
    with open_scratch(DECISIONS, (*DECIDER_ROWS, PlanStep)) as store:
        yield store


@contextmanager
def open_scratch(log: str, rows: tuple[type[Row], ...]) -> Iterator[Store]:
    """An empty store with these tables, in a temporary folder, as that of a dry run. Raises `StoreFailed`."""
    with suppress(OSError):
        for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
            if left.lstat().st_mtime < time() - _LEFT:
                rmtree(left, ignore_errors=True)
    with _folder_of_dry_run() as folder:
        path = Path(folder) / "scratch.sqlite"
        with closing(SqliteStore(path, log_name=log, rows=rows)) as store:
            yield store


def _folder_of_dry_run() -> TemporaryDirectory[str]:
    try:
        # A piece of work that was given up may still be writing; it must not keep the rest from being removed.
        return TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
    except OSError as failure:
        raise StoreFailed(
            f"no folder for a dry run can be made ({failure.strerror}): "
            "let TMPDIR name one that exists, can be written, and has room"
        ) from failure


def to_installation(
    stores: Mapping[str, Store],
    built: Mapping[str, Built],
    given: Dependencies,
    *,
    credentials: CredentialsKeeper,
    access: Access,
    profile_keys: ProfileKeys,
    readers: Readers,
    running: Callable[[], Collection[str]] = lambda: SERVICES,
    command: str | None = None,
    polling: Polling | None = None,
    partition_of: PartitionOf | None = None,
    signer: Signer | None = None,
) -> Installation:
    """Every service on its store, as the API uses them; see `Installation`.

    `running` finds the services that run; `command` starts the others, by default each by its own.
    """
    return Installation(
        registry=SERVICES.values(),
        services=tuple(built[name].service for name in SERVICES),
        running=RunningServices(SERVICES.values(), running, command=command),
        accounts=Accounts(stores["accounts"], given.clock),
        intake=Intake(stores["intake"], given.clock),
        erasing=Erasing(stores["intake"], given.profile_keys.destroy),
        pushes=Pushes(stores["intake"], given.clock),
        webhooks=Endpoints(stores["webhooks"], given.clock, allows_private=given.settings.webhooks_private),
        clock=given.clock,
        projectors={
            spec.target: app for name, spec in SERVICES.items() if spec.target and (app := built[name].projector)
        },
        credentials=credentials,
        access=access,
        profile_keys=profile_keys,
        sealer=BodySealer(profile_keys),
        connections=given.connections,
        readers=readers,
        open_dry_run=open_dry_run,
        open_portals=lambda: PortalConnections(given.settings, given.credentials),
        polling=polling,
        sending=built["webhooks"].sending,
        partition_of=partition_of,
        signer=signer,
        limits=Limits(
            requests_a_minute=given.settings.api_requests_a_minute,
            largest_body=given.settings.api_largest_body,
            slowest_body=given.settings.api_slowest_body,
        ),
    )
