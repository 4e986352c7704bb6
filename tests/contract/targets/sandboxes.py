"""Each vendor's adapter in front of its sandbox, in a time that passes only while something waits."""

import ssl
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
from starlette.types import ASGIApp

from adapters.credentials import CredentialsFile
from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.http.oauth import OAuthGrant
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.identity import Target
from domain.ports import TargetDrivers
from services.sandbox import driveri, motive
from services.sandbox.serving import listening
from tests.contract.targets.stands import DRIVERI_PEOPLE, MOTIVE_PEOPLE, SEEDED, People, TargetStand

Json = dict[str, Any]

NOW = 1_767_268_800
GRANT = {"client_id": "app", "client_secret": "app-secret", "refresh_token": "first"}
NOTHING_SWITCHED: Mapping[str, object] = MappingProxyType({})
_CERTIFICATES = ssl.create_default_context()


class Time:
    """Seconds since the epoch; a pause makes it later at once."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now

    def milliseconds(self) -> int:
        """The same, as the sandboxes count it."""
        return int(self.now * 1000)

    async def pause(self, seconds: float) -> None:
        """Wait, in no time."""
        self.now += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a client comes to a sandbox."""

    app: ASGIApp
    base_url: str
    transport: Callable[[], httpx.AsyncBaseTransport]


Ways = Callable[[ASGIApp], AbstractAsyncContextManager[Way]]


@asynccontextmanager
async def over_http(app: ASGIApp) -> AsyncIterator[Way]:
    """Real HTTP; the certificates that every client reads on its own otherwise are read once."""
    async with listening(app) as base_url:
        yield Way(app=app, base_url=base_url, transport=lambda: httpx.AsyncHTTPTransport(verify=_CERTIFICATES))


@asynccontextmanager
async def in_process(app: ASGIApp) -> AsyncIterator[Way]:
    """Without a socket, where the same is tried a thousand times."""
    yield Way(app=app, base_url="http://sandbox.test", transport=lambda: _InProcess(app))


class _InProcess(httpx.ASGITransport):
    """A reset is what it is over a socket, as the sandboxes' own tests show."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except ConnectionResetError as reset:
            raise httpx.ReadError(str(reset), request=request) from reset


class SandboxStand(TargetStand):
    """One vendor's adapter in front of its sandbox."""

    def __init__(self, people: People, way: Way, time: Time) -> None:
        self.way = way
        self.time = time
        self.opened: list[TargetDrivers] = []
        super().__init__(people, self.reconnected())

    async def aclose(self) -> None:
        """Close every adapter that was in front of the sandbox."""
        for drivers in self.opened:
            await drivers.close()

    async def journal(self) -> list[Json]:
        """Every write that has reached the sandbox."""
        return list((await self._asked("GET", "journal")).json()["entries"])

    async def effects(self) -> int:
        """How many calls have changed something at the target."""
        return len([entry for entry in await self.journal() if entry["changed"]])

    async def state(self) -> Json:
        """Everything that the sandbox keeps, also what the vendor never shows."""
        return dict((await self._asked("GET", "state")).json())

    async def seed(self, state: Json) -> None:
        """Let this take the place of everything that the sandbox keeps."""
        await self._asked("PUT", "state", state)

    async def switch_on(self, *rules: Json) -> None:
        """Let these faults take the place of all others."""
        await self._asked("PUT", "faults", {"rules": rules})

    async def switch_off(self) -> Sequence[int]:
        """Have no faults any more; how often each rule has struck."""
        struck: Sequence[int] = (await self._asked("GET", "faults")).json()["struck"]
        await self._asked("DELETE", "faults")
        return struck

    async def seed_again(self) -> None:
        """Go back to the beginning."""
        await self._asked("DELETE", "state")

    @abstractmethod
    def reconnected(self) -> TargetDrivers:
        """The same drivers by an adapter that knows nothing yet."""

    @abstractmethod
    async def bystanders(self) -> list[Json]:
        """All that the sandbox keeps of the drivers that no call is about."""

    async def _asked(self, method: str, about: str, body: object = None) -> httpx.Response:
        transport = httpx.ASGITransport(self.way.app)
        async with httpx.AsyncClient(transport=transport, base_url=self.way.base_url) as client:
            return (await client.request(method, f"/sandbox/{about}", json=body)).raise_for_status()


class Tenant(SandboxStand):
    """Driveri."""

    def another(self, **other: str) -> DriveriDrivers:
        """The drivers by an access that differs in something."""
        usual = {"tenant": "acme", "client_id": "acme-key", "client_secret": "acme-secret"}
        access = DriveriAccess(base_url=self.way.base_url, **{**usual, **other})
        transport, time = self.way.transport(), self.time
        drivers = DriveriDrivers(access, transport=transport, clock=time, pause=time.pause, jitter=lambda: 0.0)
        self.opened.append(drivers)
        return drivers

    def reconnected(self) -> DriveriDrivers:
        """The same drivers by an adapter that knows nothing yet."""
        return self.another()

    async def bystanders(self) -> list[Json]:
        """All that the sandbox keeps of the drivers that no call is about."""
        drivers = (await self.state())["tenants"][0]["drivers"]
        return [driver for driver in drivers if driver["driverId"].startswith("S-")]


class Company(SandboxStand):
    """Motive."""

    def another(self, *, api_key: str = "acme-key") -> MotiveDrivers:
        """The drivers by an access that differs in something."""
        return self._opened(MotiveAccess(base_url=self.way.base_url, api_key=api_key))

    def reconnected(self) -> MotiveDrivers:
        """The same drivers by an adapter that knows nothing yet."""
        return self.another()

    async def switch(self, **assumptions: object) -> None:
        """Let the company, and the one in test mode, behave otherwise from now on; everybody stays."""
        state = await self.state()
        for each in state["companies"]:
            each["assumptions"].update(assumptions)
        await self.seed(state)

    async def users(self) -> dict[str, Json]:
        """Everybody of the company as they are kept, by id."""
        return {str(user["id"]): user for user in (await self.state())["companies"][0]["users"]}

    def _opened(self, access: MotiveAccess) -> MotiveDrivers:
        transport, time = self.way.transport(), self.time
        drivers = MotiveDrivers(access, transport=transport, clock=time, pause=time.pause, jitter=lambda: 0.0)
        self.opened.append(drivers)
        return drivers

    async def bystanders(self) -> list[Json]:
        """All that the sandbox keeps of the drivers that no call is about."""
        users = (await self.state())["companies"][0]["users"]
        return [user for user in users if user["first_name"].startswith(("First", "Olga"))]


class GrantedCompany(Company):
    """Motive, by a grant to an OAuth application."""

    def __init__(self, way: Way, time: Time, credentials: Path) -> None:
        self._keeper = CredentialsFile(credentials)
        self._keeper.keep("acme", Target.MOTIVE, GRANT)
        super().__init__(MOTIVE_PEOPLE, way, time)

    def reconnected(self) -> MotiveDrivers:
        """The same drivers by an adapter that knows nothing yet but what is stored."""
        token_url = f"{self.way.base_url}/oauth/token"
        grant = OAuthGrant(
            target=Target.MOTIVE,
            account="acme",
            token_url=token_url,
            keeper=self._keeper,
            **GRANT,
        )
        return self._opened(MotiveAccess(base_url=self.way.base_url, grant=grant))

    async def seed_again(self) -> None:
        """Go back to the beginning, with the refresh token that the company was connected by."""
        await super().seed_again()
        self._keeper.remove("acme", Target.MOTIVE)
        self._keeper.keep("acme", Target.MOTIVE, GRANT)


@asynccontextmanager
async def tenant(ways: Ways, seeded: int = SEEDED, assumptions: Json | None = None) -> AsyncIterator[Tenant]:
    """A tenant of Driveri's sandbox, with other readings of what is not public where they are stated."""
    time = Time()
    app = driveri.application(driveri_seed(seeded, assumptions), time.milliseconds, pause=time.pause)
    async with ways(app) as way, aclosing(Tenant(DRIVERI_PEOPLE, way, time)) as stand:
        yield stand


@asynccontextmanager
async def company(
    ways: Ways, seeded: int = SEEDED, assumptions: Mapping[str, object] = NOTHING_SWITCHED
) -> AsyncIterator[Company]:
    """A company of Motive's sandbox, where the assumptions may be other ones."""
    time, seed = Time(), motive_seed(seeded)
    seed["companies"][0]["assumptions"] = dict(assumptions)
    app = motive.application(seed, time.milliseconds, pause=time.pause)
    async with ways(app) as way, aclosing(Company(MOTIVE_PEOPLE, way, time)) as stand:
        yield stand


@asynccontextmanager
async def granted_company(ways: Ways, credentials: Path, seeded: int = SEEDED) -> AsyncIterator[GrantedCompany]:
    """The same company by a grant, whose tokens are stored in this file."""
    time = Time()
    app = motive.application(motive_seed(seeded), time.milliseconds, pause=time.pause)
    async with ways(app) as way, aclosing(GrantedCompany(way, time, credentials)) as stand:
        yield stand


def driveri_seed(seeded: int, assumptions: Json | None = None) -> Json:
    """What Driveri's sandbox starts from."""
    bob = {"driverId": "B 2", "firstName": "Bob", "lastName": "Ray", "email": "bob@fleet.test", "phone": "555"}
    departed = {"driverId": "D/3", "firstName": "Dee", "status": 2}
    north = {"groupName": "North", "groupUniqueName": "North"}
    others: list[Json] = [
        {"driverId": f"S-{number}", "firstName": f"First {number}", "lastName": f"Last {number}"}
        for number in range(seeded)
    ]
    others[:1] = [{**first, "group": north} for first in others[:1]]
    return {
        "tenants": [
            {
                "tenant": "acme",
                "clients": [{"client_id": "acme-key", "client_secret": "acme-secret"}],
                "statuses": [
                    {"status": 5, "description": "active"},
                    {"status": 3, "description": "On leave"},
                    {"status": 2, "description": "DELETED"},
                ],
                "drivers": [bob, departed, *others],
                "assumptions": assumptions or {},
            }
        ]
    }


def motive_seed(seeded: int) -> Json:
    """What Motive's sandbox starts from."""
    payroll = {"id": 900, "external_id": "payroll-9", "integration_name": "payroll"}
    bob = {"id": 2, "first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test", "external_ids": [payroll]}
    departed = {"id": 3, "first_name": "Dee", "last_name": "Low", "status": "deactivated"}
    office = {"id": 4, "role": "fleet_user", "first_name": "Olga", "last_name": "Fee", "email": "olga@fleet.test"}
    others = [
        {"id": 100 + number, "first_name": f"First {number}", "last_name": f"Last {number}"} for number in range(seeded)
    ]
    return {
        "companies": [
            {"api_key": "acme-key", "grants": [GRANT], "users": [bob, departed, {**office, "cycle": "70_8"}, *others]},
            {"api_key": "test-key", "test_mode": True},
        ],
        "elsewhere": ["taken@other.test"],
    }
