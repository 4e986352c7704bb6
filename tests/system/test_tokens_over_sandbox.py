"""Access tokens of both vendors, over time, in front of their sandboxes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from adapters.credentials import CredentialsFile
from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.http.oauth import OAuthGrant
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.failures import Reason, Rejected
from domain.identity import Key, Target
from domain.ports import Done, TargetDrivers
from services.sandbox import driveri, motive

pytestmark = pytest.mark.anyio

START = 1_800_000_000
HOUR = 3600
BOB = {"first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test"}
KEY = ("acme-key", "acme-secret")
GRANT = {"client_id": "app", "client_secret": "app-secret", "refresh_token": "first"}
DRIVERI = {
    "tenants": [
        {
            "tenant": "acme",
            "clients": [{"client_id": KEY[0], "client_secret": KEY[1], "token_lifetime": HOUR * 1000}],
            "drivers": [{"driverId": "7", "firstName": "Bob"}],
        }
    ]
}
MOTIVE = {
    "companies": [
        {
            "api_key": "acme-key",
            "grants": [{**GRANT, "token_lifetime": HOUR * 1000}],
            "users": [{"id": 7, "first_name": "Bob", "last_name": "Ray", "email": "bob@fleet.test"}],
        }
    ]
}


class Clock:
    """The time of everybody, in seconds since the epoch."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return float(self.now)

    def to_milliseconds(self) -> int:
        """The same as the sandboxes count."""
        return self.now * 1000


class Watched(httpx.AsyncBaseTransport):
    """The way to a sandbox; each answer's status by method and path, in order."""

    def __init__(self, app: httpx.ASGITransport) -> None:
        self.app = app
        self.answers: list[tuple[str, str, int]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks."""
        response = await self.app.handle_async_request(request)
        self.answers.append((request.method, request.url.path, response.status_code))
        return response

    def count(self, method: str, path: str) -> int:
        """How often this was called."""
        return sum(each[:2] == (method, path) for each in self.answers)

    def refusals(self) -> list[int]:
        """The statuses of what was refused."""
        return [status for _, _, status in self.answers if status >= 400]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tenant(clock: Clock) -> Watched:
    return Watched(httpx.ASGITransport(driveri.application(DRIVERI, clock.to_milliseconds)))


@pytest.fixture
def company(clock: Clock) -> Watched:
    return Watched(httpx.ASGITransport(motive.application(MOTIVE, clock.to_milliseconds)))


@pytest.fixture
def keeper(tmp_path: Path) -> CredentialsFile:
    keeper = CredentialsFile(tmp_path / "credentials")
    keeper.keep("acme", Target.MOTIVE, GRANT)
    return keeper


async def pause(_: float) -> None:
    """No time passes."""


def to_driveri(tenant: Watched, clock: Clock) -> DriveriDrivers:
    access = DriveriAccess(base_url="http://driveri.test", tenant="acme", client_id=KEY[0], client_secret=KEY[1])
    return DriveriDrivers(access, transport=tenant, clock=clock, pause=pause, jitter=lambda: 0.0)


def to_motive(company: Watched, clock: Clock, keeper: CredentialsFile) -> MotiveDrivers:
    grant = OAuthGrant(
        target=Target.MOTIVE,
        account="acme",
        token_url="http://motive.test/oauth/token",
        keeper=keeper,
        **GRANT,
    )
    access = MotiveAccess(base_url="http://motive.test", grant=grant)
    return MotiveDrivers(access, transport=company, clock=clock, pause=pause, jitter=lambda: 0.0)


async def switch_on(sandbox: Watched, *rules: dict[str, object]) -> None:
    async with httpx.AsyncClient(transport=sandbox.app, base_url="http://sandbox.test") as client:
        assert (await client.put("/sandbox/faults", json={"rules": rules})).is_success


async def is_found(drivers: TargetDrivers) -> bool:
    return await drivers.find(Key("7"), {}) is not None


async def active(tenant: Watched) -> list[str]:
    """The secrets of the active tokens of the API key, without counting as a call."""
    async with httpx.AsyncClient(transport=tenant.app, base_url="http://driveri.test", auth=KEY) as client:
        return [each["accessToken"] for each in (await client.get("/v1/auth/tokens")).json()["data"]]


async def hours(clock: Clock, count: int, step: int = 60) -> AsyncIterator[int]:
    """Every minute of this many hours."""
    for minute in range(0, count * HOUR, step):
        clock.now = START + minute
        yield minute


async def test_driveri_tokens_are_renewed_in_time_and_never_more_than_two(tenant: Watched, clock: Clock) -> None:
    drivers = to_driveri(tenant, clock)
    async for _ in hours(clock, 5):
        assert await is_found(drivers)
        assert len(await active(tenant)) <= 2
    assert tenant.refusals() == []
    assert tenant.count("POST", "/v1/auth/token") == 6


async def test_restarts_leave_no_more_driveri_tokens_than_there_may_be(tenant: Watched, clock: Clock) -> None:
    """Nothing is given back by a process that is killed; the next one goes on with what is active."""
    for _ in range(5):
        assert await is_found(to_driveri(tenant, clock))
    assert (len(await active(tenant)), tenant.count("POST", "/v1/auth/token")) == (1, 1)


async def test_two_processes_share_the_driveri_tokens_of_an_api_key(tenant: Watched, clock: Clock) -> None:
    processes = [to_driveri(tenant, clock) for _ in range(3)]
    async for _ in hours(clock, 3):
        assert all(await asyncio.gather(*map(is_found, processes)))
        assert len(await active(tenant)) <= 2
    assert 401 not in tenant.refusals()


async def test_an_ending_process_takes_no_token_from_another_for_good(tenant: Watched, clock: Clock) -> None:
    first, second = to_driveri(tenant, clock), to_driveri(tenant, clock)
    assert await is_found(first)
    assert await is_found(second)
    await first.close()
    assert await active(tenant) == []
    assert await is_found(second)


async def test_a_driveri_token_that_ended_in_mid_flight_is_renewed_once(tenant: Watched, clock: Clock) -> None:
    drivers = to_driveri(tenant, clock)
    assert await is_found(drivers)
    await switch_on(tenant, {"fault": "expired_token", "times": 1})
    profile = {**BOB, "first_name": "Rob"}
    assert isinstance(await drivers.update(Key("7"), profile, ["first_name"]), Done)
    assert tenant.refusals() == [401]


async def test_a_third_driveri_token_is_refused_and_room_is_made(tenant: Watched, clock: Clock) -> None:
    await switch_on(tenant, {"fault": "third_token", "times": 1})
    assert await is_found(to_driveri(tenant, clock))
    assert len(await active(tenant)) == 2


async def test_a_clock_that_goes_wrong_is_put_right_by_the_target(tenant: Watched, clock: Clock) -> None:
    """Ours is behind, so that an ended token seems to last."""
    behind = Clock()
    drivers = to_driveri(tenant, behind)
    assert await is_found(drivers)
    clock.now += HOUR
    assert await is_found(drivers)
    assert tenant.refusals() == [401]


async def test_motive_tokens_are_renewed_in_time_each_with_the_next_refresh_token(
    company: Watched, clock: Clock, keeper: CredentialsFile
) -> None:
    drivers = to_motive(company, clock, keeper)
    async for _ in hours(clock, 5):
        assert await is_found(drivers)
    assert company.refusals() == []
    assert company.count("POST", "/oauth/token") == 6


async def test_restarts_spend_no_refresh_tokens(company: Watched, clock: Clock, keeper: CredentialsFile) -> None:
    for _ in range(5):
        drivers = to_motive(company, clock, keeper)
        assert await is_found(drivers)
        await drivers.close()
    assert company.count("POST", "/oauth/token") == 1


async def test_two_processes_share_what_comes_of_one_grant(
    company: Watched, clock: Clock, keeper: CredentialsFile
) -> None:
    processes = [to_motive(company, clock, keeper) for _ in range(2)]
    async for _ in hours(clock, 3, step=1200):
        for process in processes:
            assert await is_found(process)
    assert set(company.refusals()) <= {401}


async def test_a_motive_token_that_ended_in_mid_flight_is_renewed_once(
    company: Watched, clock: Clock, keeper: CredentialsFile
) -> None:
    drivers = to_motive(company, clock, keeper)
    assert await is_found(drivers)
    await switch_on(company, {"fault": "expired_token", "times": 1})
    profile = {**BOB, "first_name": "Rob"}
    assert isinstance(await drivers.update(Key("7"), profile, ["first_name"]), Done)
    assert company.refusals() == [401]


async def test_a_refresh_token_whose_successor_was_lost_is_a_matter_of_credentials(
    company: Watched, clock: Clock, keeper: CredentialsFile, tmp_path: Path
) -> None:
    """A process was killed between the answer and the storing; nothing but a new grant helps."""
    assert await is_found(to_motive(company, clock, keeper))
    as_before = CredentialsFile(tmp_path / "as-before")
    as_before.keep("acme", Target.MOTIVE, GRANT)
    answer = await to_motive(company, clock, as_before).delete(Key("7"))
    assert isinstance(answer, Rejected)
    assert answer.reason is Reason.CREDENTIALS
    assert "driverlink accounts connect acme motive" in answer.detail
