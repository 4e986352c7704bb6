"""Everything that the API needs of an installation, in either deployment."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from domain.failures import ClearFailure
from domain.hash_chain import ChainedStore
from domain.identity import Target
from domain.ports import CredentialsKeeper, ProfileKeys, ProfileSealer
from domain.store import Log, Row, Store, Where
from services.accounts.handlers import Accounts
from services.api.authentication import Access, Provider
from services.decider.dry_run import Scratch
from services.intake.erasing import Erasing
from services.intake.handlers import Intake
from services.intake.polling import Polling, Portals
from services.intake.pushing import Pushes
from services.projector.service import ProjectorApp
from services.runtime.consumer import PartitionOf
from services.runtime.context import Clock
from services.runtime.service import P, Service, T, Worker
from services.webhooks.endpoints import Endpoints
from services.webhooks.sending import WebhooksApp

PATIENCE = 20.0
"""Seconds in which a service may be restarted before what waits for it gives up."""

_LOOK_EVERY = 1.0
"""Seconds for which a look at what runs is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one caller, and one request, may take: requests in a minute, bytes of a body, seconds until it has come."""

    requests_a_minute: int = 6000
    largest_body: int = 64 * 2**20
    slowest_body: float = 60.0


class OpenConnections(Protocol):
    """The targets, as far as this process has reached them."""

    async def close(self) -> None:
        """Close every connection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Every service's store, by the service's name, only to be read.

    Where the services run in the same process these are stores of their own on the same files, with connections of
    their own; one thread reads all of them. `must_close` says that they are: else the services close theirs.
    """

    stores: Mapping[str, ChainedStore]
    must_close: bool = False
    _worker: Worker = field(default_factory=lambda: Worker("queries"))

    @property
    def accounts(self) -> Store:
        """The store of the accounts."""
        return self.stores["accounts"]

    @property
    def intake(self) -> Store:
        """The store of intake."""
        return self.stores["intake"]

    @property
    def decider(self) -> Store:
        """The store of the decider."""
        return self.stores["decider"]

    @property
    def projectors(self) -> Mapping[Target, Store]:
        """The store of each target's projector."""
        return {target: self.stores[f"projector-{target}"] for target in Target}

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read something, after whatever is being read now. Raises what that does, and `WorkerClosed` after `close`."""
        return await self._worker.call(work, *args, **kwargs)

    def close(self) -> None:
        """End after what is being read."""
        self._worker.close()
        for store in self.stores.values() if self.must_close else ():
            store.close()


class Registered(Protocol):
    """What the API uses of a service's entry in the registry; see `services.wiring.registry.ServiceSpec`."""

    @property
    def name(self) -> str:
        """Its name among all services, such as `projector-motive`."""
        ...

    @property
    def target(self) -> Target | None:
        """The target that it works on; None: it works on all, or on none."""
        ...

    @property
    def log(self) -> str:
        """The name of its log."""
        ...

    @property
    def log_title(self) -> str:
        """What people call its log."""
        ...

    @property
    def consumes(self) -> tuple[str, ...]:
        """The logs that it consumes."""
        ...

    @property
    def to_do(self) -> Collection[tuple[type[Row], Where]]:
        """What it has still to do: each of the rows that these conditions find."""
        ...

    @property
    def command(self) -> str:
        """How it is run as a process of its own."""
        ...

    @property
    def is_optional(self) -> bool:
        """Whether an installation that does not use it need not run it."""
        ...


class Signer(Protocol):
    """Signs by a key of the installation."""

    @property
    def key(self) -> str:
        """The public key, in hexadecimal digits."""
        ...

    def sign(self, text: str) -> str:
        """The signature of a text, in hexadecimal digits."""
        ...

    def has_signed(self, text: str, signature: str) -> bool:
        """Whether a text was signed by this key."""
        ...


class ServiceDown(ClearFailure):
    """A service that a request needs does not run; the message says which one, and how to start it."""


class RunningServices:
    """Which services run, as `look` finds them by name; `clock` counts seconds. Used from one thread.

    `command` starts every service; by default each has its own.
    """

    def __init__(
        self,
        registry: Collection[Registered],
        look: Callable[[], Collection[str]],
        clock: Callable[[], float] = monotonic,
        *,
        command: str | None = None,
    ) -> None:
        self._command = command
        self._registry = registry
        self._look = look
        self._clock = clock
        self._looked_at = float("-inf")
        self._down_since: dict[str, float] = {}

    def down(self, *names: str, seconds: float = 0.0) -> list[str]:
        """A line for each of these services, or of all that have to run, that does not, and has not for so long.

        Raises `StoreFailed`.
        """
        now = self._clock()
        if now - self._looked_at >= _LOOK_EVERY:
            running = self._look()
            # If the last look was long ago, a service that is down now may have run in between.
            before = self._down_since if now - self._looked_at <= 2 * PATIENCE else {}
            self._down_since = {
                each.name: before.get(each.name, now) for each in self._registry if each.name not in running
            }
            self._looked_at = now
        return [
            f"{each.name} is not running: start it by `{self._command or each.command}`"
            for each in self._registry
            if (each.name in names or not (names or each.is_optional))
            and now - self._down_since.get(each.name, now + 1) >= seconds
        ]

    def check(self, *names: str) -> None:
        """Raise `ServiceDown` where one of these services does not run, after some patience with a restart."""
        if lines := self.down(*names, seconds=PATIENCE):
            raise ServiceDown("; ".join(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Every service on its store, the accounts' credentials, and who has `access` to the API.

    `registry` describes the services, which `services` are in the same order; `readers` are their stores as queries
    read them. `open_portals` connects to the Portal for one check. `polling` reads the Portal's API, and `sending`
    sends webhooks, where this process does. `profile_keys` are those of profiles, and `sealer` uses them for what
    people mend.
    `partition_of` is the partition of an account in every stream; None where the services consume each other's logs
    in place. `console` is the address at which browsers of this machine reach the API; empty where there is none.
    `provider` signs people in, where there is one, and `signer` the roots over what is stored.
    """

    registry: Collection[Registered]
    services: tuple[Service, ...]
    running: RunningServices
    accounts: Accounts
    intake: Intake
    erasing: Erasing
    pushes: Pushes
    webhooks: Endpoints
    clock: Clock
    projectors: Mapping[Target, ProjectorApp]
    credentials: CredentialsKeeper
    access: Access
    profile_keys: ProfileKeys
    sealer: ProfileSealer
    connections: OpenConnections
    readers: Readers
    open_dry_run: Scratch
    open_portals: Callable[[], Portals]
    polling: Polling | None = None
    sending: WebhooksApp | None = None
    partition_of: PartitionOf | None = None
    console: str = ""
    provider: Provider | None = None
    signer: Signer | None = None
    limits: Limits = Limits()

    def service(self, name: str) -> Service:
        """The service of this name."""
        return next(service for service in self.services if service.name == name)

    @property
    def accounts_service(self) -> Service:
        """The service that stores what people request of accounts."""
        return self.service("accounts")

    @property
    def intake_service(self) -> Service:
        """The service that stores what the Portal states."""
        return self.service("intake")

    @property
    def decider_service(self) -> Service:
        """The service that decides."""
        return self.service("decider")

    @property
    def logs(self) -> dict[str, Log]:
        """Every log as queries read it, by the name that people know it by."""
        return {each.log_title: self.readers.stores[each.name].log for each in self.registry}

    def close(self) -> None:
        """End after the work in hand, and close the stores."""
        self.readers.close()
        self.access.close()
        for service in reversed(self.services):
            service.close()
        self.profile_keys.close()
