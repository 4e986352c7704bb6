"""What a projector asks of a target, asked by httpx alone."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter

import httpx

from adapters.driveri.wire import to_wire as to_driveri
from adapters.motive.target import new_ids
from adapters.motive.wire import MotiveAccess
from adapters.motive.wire import to_wire as to_motive
from domain.identity import AccountId, Target
from services.projector.deliveries import MOST_CALLS
from tests.benchmarks.projecting import CHANGED, Desired, profile_of, settled_memory
from tests.benchmarks.stand_in import credentials

_ONE = httpx.Limits(max_connections=1, keepalive_expiry=1.0)
"""Between turns the sandbox closes connections, which must not be used then."""


class Bare(ABC):
    """The requests of one target. As many workers as the projector has calls under way, each with a client of its own.

    A client has one connection: with more it would look after all of them for each request.
    """

    def __init__(self, url: str, accounts: Iterable[AccountId]) -> None:
        certificates = httpx.create_ssl_context()
        self._clients = [httpx.AsyncClient(base_url=url, limits=_ONE, verify=certificates) for _ in range(MOST_CALLS)]
        self._headers = dict.fromkeys(accounts, httpx.Headers())

    async def open(self) -> None:
        """Get what every request of an account has to carry."""
        for account in self._headers:
            self._headers[account] = httpx.Headers(await self._authorization(account, self._clients[0]))

    async def creates(self, desired: Iterable[Desired]) -> float:
        """Create these drivers, and do nothing else; the seconds."""
        return await self._seconds(desired, self._create)

    async def updates(self, desired: Iterable[Desired]) -> float:
        """Update these drivers, and do nothing else; the seconds."""
        return await self._seconds(desired, self._update)

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients:
            await client.aclose()

    async def _seconds(
        self, desired: Iterable[Desired], call: Callable[[httpx.AsyncClient, Desired], Awaitable[None]]
    ) -> float:
        remaining = iter(desired)

        async def work(client: httpx.AsyncClient) -> None:
            for each in remaining:
                await call(client, each)

        with settled_memory():
            began = perf_counter()
            await asyncio.gather(*map(work, self._clients))
            return perf_counter() - began

    @abstractmethod
    async def _authorization(self, account: AccountId, client: httpx.AsyncClient) -> dict[str, str]: ...

    @abstractmethod
    async def _create(self, client: httpx.AsyncClient, desired: Desired) -> None: ...

    @abstractmethod
    async def _update(self, client: httpx.AsyncClient, desired: Desired) -> None: ...


class BareDriveri(Bare):
    """Driveri: a create is read back."""

    async def _authorization(self, account: AccountId, client: httpx.AsyncClient) -> dict[str, str]:
        known = credentials(Target.DRIVERI, account)
        reply = await client.post("/v1/auth/token", auth=(known["client_id"], known["client_secret"]))
        return {"Authorization": f"Bearer {reply.json()['data']['accessToken']}", "Accept-Language": "en-US"}

    async def _create(self, client: httpx.AsyncClient, desired: Desired) -> None:
        account, profile = desired.account, profile_of(Target.DRIVERI, desired, edition=1)
        tenant, key = f"/v1/tenants/{account}", profile["driveri_driver_id"]
        body, headers = {"driverId": key, **to_driveri(profile)}, self._headers[account]
        (await client.post(f"{tenant}/drivers", json=body, headers=headers)).raise_for_status()
        (await client.get(f"{tenant}/driver", params={"driverId": key}, headers=headers)).raise_for_status()

    async def _update(self, client: httpx.AsyncClient, desired: Desired) -> None:
        account, profile = desired.account, profile_of(Target.DRIVERI, desired, edition=2)
        path = f"/v1/tenants/{account}/drivers/{profile['driveri_driver_id']}"
        body, headers = to_driveri(profile, CHANGED), self._headers[account]
        (await client.put(path, json=body, headers=headers)).raise_for_status()


class BareMotive(Bare):
    """Motive: a create is read back, and tells the key for updates."""

    def __init__(self, url: str, accounts: Iterable[AccountId]) -> None:
        super().__init__(url, accounts)
        self._access = MotiveAccess(base_url=url)
        self._keys: dict[Desired, int] = {}

    async def _authorization(self, account: AccountId, client: httpx.AsyncClient) -> dict[str, str]:  # noqa: ARG002 - Driveri asks
        return {"X-Api-Key": credentials(Target.MOTIVE, account)["api_key"]}

    async def _create(self, client: httpx.AsyncClient, desired: Desired) -> None:
        profile = profile_of(Target.MOTIVE, desired, edition=1)
        body = {
            **to_motive(profile),
            "role": "driver",
            "external_ids_attributes": new_ids(profile, self._access),
        }
        headers = self._headers[desired.account]
        reply = await client.post("/v1/users", json=body, headers=headers)
        key = self._keys[desired] = reply.raise_for_status().json()["user"]["id"]
        (await client.get(f"/v1/users/{key}", headers=headers)).raise_for_status()

    async def _update(self, client: httpx.AsyncClient, desired: Desired) -> None:
        body = to_motive(profile_of(Target.MOTIVE, desired, edition=2), CHANGED)
        headers = self._headers[desired.account]
        (await client.put(f"/v1/users/{self._keys[desired]}", json=body, headers=headers)).raise_for_status()
