"""The sandboxes as stand-ins of both targets, which note when each write reaches them."""

import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from domain.identity import Target
from services.sandbox import driveri, motive
from services.sandbox.demo import RunningSandboxes
from services.sandbox.serving import listening
from tests.contract.kafka import LoopThread

_LAST_NAME = {Target.DRIVERI: "lastName", Target.MOTIVE: "last_name"}


class Noting:
    """ASGI middleware that notes, by the last name written, the moment at which an update began to arrive."""

    def __init__(self, app: ASGIApp, target: Target) -> None:
        self.moments: dict[str, float] = {}
        self._app = app
        self._name = _LAST_NAME[target]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; ASGI's own signature."""
        at = perf_counter()

        async def received() -> MutableMapping[str, Any]:
            message = await receive()
            self._note(message.get("body"), at)
            return message

        await self._app(scope, received if scope["method"] == "PUT" else receive, send)

    def _note(self, body: bytes | None, at: float) -> None:
        if body:
            self.moments.setdefault(json.loads(body).get(self._name, ""), at)


class StandIns:
    """Both targets, empty, with a tenant and a company for each of these accounts."""

    def __init__(self, accounts: Sequence[str]) -> None:
        tenants = [{"tenant": each, "clients": [{"client_id": each, "client_secret": each}]} for each in accounts]
        companies = [{"api_key": each} for each in accounts]
        self.noting = {
            Target.DRIVERI: Noting(driveri.application({"tenants": tenants}), Target.DRIVERI),
            Target.MOTIVE: Noting(motive.application({"companies": companies}), Target.MOTIVE),
        }
        self._listening = AsyncExitStack()

    @property
    def moments(self) -> Mapping[Target, Mapping[str, float]]:
        """The moments of all updates, by target and last name."""
        return {target: noting.moments for target, noting in self.noting.items()}

    async def open(self) -> RunningSandboxes:
        """Listen, and say where."""
        urls = {
            target: await self._listening.enter_async_context(listening(noting))
            for target, noting in self.noting.items()
        }
        return RunningSandboxes(driveri=urls[Target.DRIVERI], motive=urls[Target.MOTIVE])

    async def close(self) -> None:
        """Listen no more."""
        await self._listening.aclose()


@contextmanager
def standing_in(accounts: Sequence[str]) -> Iterator[tuple[RunningSandboxes, StandIns]]:
    """While this lasts, stand-ins listen, in a thread of their own."""
    with closing(LoopThread()) as loop:
        stand_ins = StandIns(accounts)
        yield loop.do(stand_ins.open()), stand_ins
        loop.do(stand_ins.close())


def credentials(target: Target, account: str) -> dict[str, str]:
    """What this account is connected with."""
    if target is Target.MOTIVE:
        return {"api_key": account}
    return {"tenant": account, "client_id": account, "client_secret": account}
