"""Both sandboxes, in this process, behind a counter of their requests and responses."""

import asyncio
import json
from collections import Counter
from collections.abc import MutableMapping, Sequence
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.driveri.target import DriveriDrivers
from adapters.driveri.wire import DriveriAccess
from adapters.http.client import RateLimiter
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from domain.identity import AccountId, Target
from domain.ports import TargetDrivers
from services.sandbox import driveri, motive

LIMITED: Final = 429


class Counting:
    """ASGI middleware: `answers` by method and status, and the e-mail addresses of those who were created."""

    def __init__(self, app: ASGIApp) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.made: list[str] = []
        self._app = app
        self._awaited: dict[int, asyncio.Event] = {}

    @property
    def refused(self) -> int:
        """How many calls were answered 429."""
        return sum(number for (_, status), number in self.answers.items() if status == LIMITED)

    @property
    def served(self) -> int:
        """How many calls were not."""
        return self.answers.total() - self.refused

    async def until(self, made: int) -> None:
        """Wait until this many drivers have been created."""
        await self._awaited.setdefault(made, asyncio.Event()).wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ASGI's own signature."""
        body = b""

        async def received() -> MutableMapping[str, Any]:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"], body)
            await send(message)

        await self._app(scope, received, counted)

    def _count(self, scope: Scope, status: int, body: bytes) -> None:
        self.answers[scope["method"], status] += 1
        if scope["method"] == "POST" and body and status < httpx.codes.BAD_REQUEST:
            self.made.append(json.loads(body)["email"])
            if awaited := self._awaited.get(len(self.made)):
                awaited.set()


class LimitedTargets:
    """Both targets, with a tenant and a company for each account, and e-mail addresses that are taken in Motive."""

    def __init__(self, accounts: Sequence[AccountId], taken: Sequence[str]) -> None:
        tenants = [{"tenant": each, "clients": [{"client_id": each, "client_secret": each}]} for each in accounts]
        companies = [{"api_key": each} for each in accounts]
        self.counting = {
            Target.DRIVERI: Counting(driveri.application({"tenants": tenants})),
            Target.MOTIVE: Counting(motive.application({"companies": companies, "elsewhere": list(taken)})),
        }

    async def switch_on(self, *rules: dict[str, Any]) -> None:
        """Give both these faults, and reset the counts."""
        for counting in self.counting.values():
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(counting), base_url="http://sandbox.test"
            ) as client:
                (await client.put("/sandbox/faults", json={"rules": rules})).raise_for_status()
            counting.answers.clear()

    def reached(self, target: Target, account: AccountId, rate_limiter: RateLimiter) -> TargetDrivers:
        """A target as this account reaches it."""
        transport = httpx.ASGITransport(self.counting[target])
        if target is Target.MOTIVE:
            access = MotiveAccess(base_url="http://motive.test", api_key=account)
            return MotiveDrivers(access, transport=transport, rate_limiter=rate_limiter)
        tenant = DriveriAccess(base_url="http://driveri.test", tenant=account, client_id=account, client_secret=account)
        return DriveriDrivers(tenant, transport=transport, rate_limiter=rate_limiter)
