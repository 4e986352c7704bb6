"""What a projector asks of a target, asked by httpx alone."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter

import httpx

from adapters.driveri.translate import to_wire as to_driveri
from adapters.motive import MotiveAccess
from adapters.motive.external_ids import new_ids
from adapters.motive.translate import to_wire as to_motive
from domain.identity import AccountId, Target
from services.projector.app import MOST_CALLS
from tests.benchmarks.projecting import CHANGED, Wished, profile_of, settled_memory
from tests.benchmarks.standing_in import credentials

_LIMITS = httpx.Limits(max_connections=MOST_CALLS, keepalive_expiry=1.0)
"""Between turns the sandbox closes connections, which nobody must use then."""


class Bare(ABC):
    """The requests of one target, with a client and its pool for each account.

    One client for all would be much slower, because of how it looks after its connections.
    """

    def __init__(self, url: str, accounts: Iterable[AccountId]) -> None:
        self._clients = {account: httpx.AsyncClient(base_url=url, limits=_LIMITS) for account in accounts}

    async def open(self) -> None:
        """Get what every request has to carry."""
        for account, client in self._clients.items():
            client.headers.update(await self._headers(account, client))

    async def creates(self, wished: Iterable[Wished]) -> float:
        """Create these drivers, and do nothing else; the seconds."""
        return await self._seconds(wished, self._create)

    async def updates(self, wished: Iterable[Wished]) -> float:
        """Update these drivers, and do nothing else; the seconds."""
        return await self._seconds(wished, self._update)

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _seconds(self, wished: Iterable[Wished], call: Callable[[Wished], Awaitable[None]]) -> float:
        remaining = iter(wished)

        async def work() -> None:
            for each in remaining:
                await call(each)

        with settled_memory():
            began = perf_counter()
            await asyncio.gather(*(work() for _ in range(MOST_CALLS)))
            return perf_counter() - began

    async def _sent(self, account: AccountId, method: str, path: str, body: Mapping[str, object]) -> httpx.Response:
        reply = await self._clients[account].request(method, path, json=body)
        return reply.raise_for_status()

    @abstractmethod
    async def _headers(self, account: AccountId, client: httpx.AsyncClient) -> dict[str, str]: ...

    @abstractmethod
    async def _create(self, wished: Wished) -> None: ...

    @abstractmethod
    async def _update(self, wished: Wished) -> None: ...


class BareDriveri(Bare):
    """Driveri: a create is read back."""

    async def _headers(self, account: AccountId, client: httpx.AsyncClient) -> dict[str, str]:
        known = credentials(Target.DRIVERI, account)
        reply = await client.post("/v1/auth/token", auth=(known["client_id"], known["client_secret"]))
        return {"Authorization": f"Bearer {reply.json()['data']['accessToken']}", "Accept-Language": "en-US"}

    async def _create(self, wished: Wished) -> None:
        account, profile = wished.account, profile_of(Target.DRIVERI, wished, edition=1)
        tenant, key = f"/v1/tenants/{account}", profile["driveri_driver_id"]
        await self._sent(account, "POST", f"{tenant}/drivers", {"driverId": key, **to_driveri(profile)})
        await self._clients[account].get(f"{tenant}/driver", params={"driverId": key})

    async def _update(self, wished: Wished) -> None:
        account, profile = wished.account, profile_of(Target.DRIVERI, wished, edition=2)
        path = f"/v1/tenants/{account}/drivers/{profile['driveri_driver_id']}"
        await self._sent(account, "PUT", path, to_driveri(profile, CHANGED))


class BareMotive(Bare):
    """Motive: a create is read back, and tells the key for updates."""

    def __init__(self, url: str, accounts: Iterable[AccountId]) -> None:
        super().__init__(url, accounts)
        self._access = MotiveAccess(base_url=url)
        self._keys: dict[Wished, int] = {}

    async def _headers(self, account: AccountId, client: httpx.AsyncClient) -> dict[str, str]:  # noqa: ARG002 - Driveri asks
        return {"X-Api-Key": credentials(Target.MOTIVE, account)["api_key"]}

    async def _create(self, wished: Wished) -> None:
        profile = profile_of(Target.MOTIVE, wished, edition=1)
        body = {
            **to_motive(profile),
            "role": "driver",
            "external_ids_attributes": new_ids(profile, self._access),
        }
        reply = await self._sent(wished.account, "POST", "/v1/users", body)
        key = self._keys[wished] = reply.json()["user"]["id"]
        await self._clients[wished.account].get(f"/v1/users/{key}")

    async def _update(self, wished: Wished) -> None:
        body = to_motive(profile_of(Target.MOTIVE, wished, edition=2), CHANGED)
        await self._sent(wished.account, "PUT", f"/v1/users/{self._keys[wished]}", body)
