"""An account of the Portal's sandbox, and intake that reads it over HTTP without a network."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from starlette.applications import Starlette

from adapters.portal.api import PortalAccess, PortalApiDrivers
from adapters.store.sqlite import SqliteStore
from domain.identity import AccountId
from domain.portal import PortalDriverEvent
from domain.profile import Profile
from services.intake.handlers import Intake
from services.intake.polling import ListReader
from services.intake.read_models import KnownDriver, ReadingRow
from services.runtime.context import CHANGES
from services.runtime.service import Notifier, Service
from services.sandbox import portal
from services.wiring.registry import INTAKE_ROWS

ACME = AccountId("acme")
DRIVER_ID = "Driveri DriverID"
EVERY = 300.0

Json = dict[str, Any]


def driver(number: int, *, name: str = "Jane", driver_id: str | None = None, **fields: object) -> Json:
    """A driver as the Portal's sandbox is seeded with."""
    attributes = {} if driver_id is None else {DRIVER_ID: driver_id}
    return {"id": number, "firstname": name, "lastname": "Doe", "attributes": attributes, **fields}


def fleet(size: int) -> list[Json]:
    """As many drivers, each with a Driveri DriverID."""
    return [driver(number, driver_id=f"D{number}") for number in range(1, size + 1)]


def user(username: str = "maria", **fields: object) -> Json:
    """Who may log in."""
    return {"username": username, "app_token": f"hush-{username}", **fields}


def to_seed(drivers: Sequence[Json], *users: Json, assumptions: Json | None = None) -> Json:
    """What the sandbox starts from."""
    account = {"account": ACME, "users": list(users or [user()]), "drivers": list(drivers)}
    return {"accounts": [{**account, "assumptions": assumptions or {}}]}


async def unhurried(_: float) -> None:
    """No time passes."""


class _Breakable(httpx.ASGITransport):
    """A way to the sandbox that breaks as a connection does."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request."""
        try:
            return await super().handle_async_request(request)
        except ConnectionResetError:
            raise httpx.ReadError("reset", request=request) from None


class PortalFleet:
    """The sandbox with one account, and intake with a clock that is moved by hand."""

    def __init__(
        self,
        folder: Path,
        drivers: Sequence[Json],
        *users: Json,
        most_asked: int = 1000,
        assumptions: Json | None = None,
    ) -> None:
        self._assumptions = assumptions
        self.now = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
        self.sandbox: Starlette = portal.application(
            to_seed(drivers, *users, assumptions=assumptions),
            now=lambda: int(self.now.timestamp() * 1000),
            pause=unhurried,
        )
        self.store = SqliteStore(folder / "intake.sqlite", log_name=CHANGES, rows=INTAKE_ROWS)
        self.intake = Intake(self.store, self.clock)
        self.service = Service("intake", store=self.store, clock=self.clock, notifier=Notifier())
        self.reader = ListReader(self.service, self.clock, every=EVERY, most_asked=most_asked)
        self.portal = self.login()
        self._logins = [self.portal]
        self._outside = httpx.AsyncClient(transport=httpx.ASGITransport(self.sandbox), base_url="http://portal.test")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        for login in self._logins:
            await login.close()
        await self._outside.aclose()
        with closing(self.service):
            pass

    def clock(self) -> datetime:
        """The present moment."""
        return self.now

    def _seconds(self) -> float:
        return self.now.timestamp()

    def login(
        self,
        username: str = "maria",
        *,
        attributes: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> PortalApiDrivers:
        """The Portal as this user reaches it."""
        access = PortalAccess(
            base_url="http://portal.test",
            username=username,
            app_token=f"hush-{username}",
            attributes={"driveri_driver_id": DRIVER_ID} if attributes is None else attributes,
        )
        return PortalApiDrivers(
            access,
            transport=transport or _Breakable(self.sandbox),
            clock=self._seconds,
            pause=unhurried,
            jitter=lambda: 0.0,
        )

    async def state(self, drivers: Sequence[Json], *users: Json) -> None:
        """Let the Portal have exactly these drivers."""
        answer = await self._outside.put("/sandbox/state", json=to_seed(drivers, *users, assumptions=self._assumptions))
        assert answer.is_success, answer.text

    async def fail(self, *rules: Json) -> None:
        """Let calls meet these faults, in the place of all others."""
        answer = await self._outside.put("/sandbox/faults", json={"rules": list(rules)})
        assert answer.is_success, answer.text

    async def read(self, portal: PortalApiDrivers | None = None) -> None:
        """Read the list once, a while after the last time."""
        self.now += timedelta(seconds=EVERY)
        login = portal or self.portal
        reading = await self.service.call(self.reader.begin, ACME, login.login)
        await self.reader.read(reading, login)

    @property
    def changes(self) -> list[str]:
        """Everything in the log, in words: the fact and its driver."""
        events = (record.event for record in self.store.log.read(0, 10_000))
        return [f"{type(event).__name__} {event.driver}" for event in events if isinstance(event, PortalDriverEvent)]

    def profile(self, number: int | str) -> Profile:
        """What is known of a driver."""
        (row,) = self.store.select(KnownDriver, {"account": ACME, "driver": str(number)})
        return row.profile

    @property
    def row(self) -> ReadingRow:
        """How the reading stands."""
        (row,) = self.store.select(ReadingRow)
        return row
