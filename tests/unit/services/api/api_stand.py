"""The API over an installation that is stepped by hand, and dead letters in its stores."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from fastapi.routing import APIRoute

from adapters.events import new_mapper
from domain.account import Mode
from domain.identity import AccountId, Target, scan_stream
from domain.outcomes import RosterScanned
from domain.store import DeadLetter, Resubmission, Row, Store, Unit
from services.accounts.handlers import AccountChange
from services.api import V1
from services.api.app import to_app
from services.api.authentication import CSRF_HEADER, Access, Provider, at_local_socket
from services.api.installation import Limits, RunningServices, Signer
from services.api.permissions import Grants, Principal
from services.runtime.service import Service
from services.wiring.embedded import open_embedded
from services.wiring.settings import EmbeddedSettings
from tests.contract.stands import fact
from tests.support.made_stores import put_stores

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
CHANGES = "1/portal.driver-changes.v1/0"
DECISIONS = "1/driver-links.decisions.v1/0"
GOOD = new_mapper().to_stored_event(fact())
"""The first fact about driver 417, as it is stored."""

Json = dict[str, Any]


class ApiStand:
    """Every service on its store, stepped by hand, and the API over them."""

    def __init__(self, folder: Path) -> None:
        self.now, self.path = NOW, folder
        put_stores(folder)
        self._installation = open_embedded(EmbeddedSettings(data=folder), lambda: self.now)
        self.app = to_app(self._installation)
        self._app = at_local_socket(self.app)
        self.stores = {service.name: service.store for service in self._installation.services}

    async def get(self, path: str, **query: str | list[str]) -> httpx.Response:
        """What the application answers."""
        async with self._client() as client:
            return await client.get(_to_url(path), params=query)

    async def post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        """What the application answers when something is to be done."""
        async with self._client() as client:
            return await client.post(_to_url(path), json=body)

    async def send(
        self, path: str, content: bytes | AsyncIterator[bytes], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """What the application answers to these bytes as JSON."""
        async with self._client() as client:
            return await client.post(
                _to_url(path), content=content, headers={"content-type": "application/json", **(headers or {})}
            )

    async def outside(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401 - httpx' own
        """What the application answers to a request that does not come through the local socket."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://driverlink") as client:
            return await client.request(method, path, **({"json": {}} if method == "POST" else {}) | request)

    async def passes(self, principal: Principal, route: APIRoute, account: str) -> bool:
        """Whether this principal gets past the guard of a route, with a session of theirs."""
        secret = self._installation.access.open_session(principal)
        session = self._installation.access.session(secret)
        assert session
        path = to_path(route, account)
        cookie = f"driverlink-80={secret}"
        headers = {"Cookie": cookie, CSRF_HEADER: session.csrf, "Content-Type": "application/json"}
        answer = await self.outside(min(route.methods or ()), path, content=b"{", json=None, headers=headers)
        assert answer.status_code != HTTPStatus.UNAUTHORIZED
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        return not is_problem or answer.json()["type"] != "/problems#forbidden"

    def key(self, grants: Grants) -> str:
        """A new API key with these grants."""
        return self._installation.access.create_key("test", grants, by="operator", expires=None)[1]

    def access_rows(self, kind: type[Row]) -> list[Row]:
        """What the API itself has stored of this kind."""
        return list(self._installation.access._store.select(kind))

    @property
    def access(self) -> Access:
        """What the API itself keeps."""
        return self._installation.access

    def sign_in_by(self, provider: Provider) -> None:
        """Let people sign in with this provider."""
        self.app.state.installation = replace(self._installation, provider=provider)

    def sign_by(self, signer: Signer) -> None:
        """Let roots be signed, and checked, by this key."""
        self.app.state.installation = replace(self._installation, signer=signer)

    def limit_to(self, limits: Limits) -> None:
        """Let a request take no more than this."""
        self.app.state.installation = replace(self._installation, limits=limits)

    def at_console(self, address: str) -> None:
        """Let browsers reach the API there."""
        self.app.state.installation = replace(self._installation, console=address)

    def look_at(self, running: RunningServices) -> None:
        """Let these be the services that run."""
        self.app.state.installation = replace(self._installation, running=running)

    def keep(self, *letters: DeadLetter, service: str = "decider") -> None:
        """Let a service have met these records."""
        unit = Unit()
        unit.keep(letters)
        self.stores[service].commit(unit)

    def letters(self, service: str = "decider") -> list[DeadLetter]:
        """A service's dead letters."""
        return self.stores[service].select(DeadLetter, order_by="position")

    def submitted(self, service: str = "decider") -> list[Resubmission]:
        """What waits to be consumed again by a service."""
        return self.stores[service].select(Resubmission, order_by="position")

    def step(self) -> int:
        """Let the decider do what there is to do; how much there was."""
        return self._installation.decider_service.step()

    def scanned(self, account: AccountId, target: Target, *, version: int = 1, request: int = 0) -> None:
        """Let the account's roster on this target have been read, and be empty."""
        completed = RosterScanned(
            originator_id=scan_stream(account, target),
            originator_version=version,
            at=NOW,
            account=account,
            target=str(target),
            policy_generation=self._installation.accounts.show(account).policy_generation[target],
            drivers=0,
            request=request,
        )
        self.stores[f"projector-{target}"].commit(Unit(events=[completed]))

    async def set_some_aside(self, account: str = "acme") -> None:
        """Drivers 1 and 2 cannot be named on Driveri, and 3 wants on Motive the e-mail address that 1 has claimed.

        Jane is the account's Master User, bob its account manager.
        """
        people = {"master_user": "jane", "account_manager": "bob"}
        await self.post("/accounts", {"account": account, "tier": "pro", "mode": "full", **people})
        await self.post(f"/accounts/{account}/sync", {"by": "jane", "on": True})
        self.step()
        for target in Target:
            self.scanned(AccountId(account), target)
        for driver, mail in {"1": "a@fleet.test", "2": "b@fleet.test", "3": "a@fleet.test"}.items():
            ids = {"ref_id": "R3"} if driver == "3" else {}
            profile = {"first_name": "Jane", "last_name": "Doe", "email": mail, **ids}
            await self.post(f"/accounts/{account}/drivers", {"action": "create", "driver": driver, "profile": profile})
        while self.step():
            pass

    @property
    def asked_store(self) -> Store:
        """What people ask of accounts is stored here."""
        return self._installation.accounts._store

    def ask(self, account: str, by: str, change: AccountChange) -> None:
        """Do at once what this person asks, as another process would."""
        self._installation.accounts.ask(account, by, change)

    async def set_mode(self, account: str, target: Target, mode: Mode) -> None:
        """Jane says how far it may go, and the decider knows."""
        await self.post(f"/accounts/{account}/mode", {"by": "jane", "target": target, "mode": mode})
        self.step()

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service."""
        return self._installation.services

    @property
    def decider(self) -> Store:
        """The decider's store."""
        return self.stores["decider"]

    def close(self) -> None:
        """Let go of the files."""
        self._installation.close()

    def _client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://driverlink")


def to_path(route: APIRoute, account: str) -> str:
    """A path of this route."""
    return route.path_format.format(
        account=account, driver="1", key_id="none", sender="portal", endpoint="ep_1", message="msg_1"
    )


def _to_url(path: str) -> str:
    """Where a resource is; health and the page of problems belong to every version."""
    return path if path in ("/live", "/ready", "/problems") else V1 + path


def letter(position: int = 1, body: bytes = GOOD.state, **said: str | int | list[list[str]]) -> DeadLetter:
    """A dead letter; what is not said is that of a good record."""
    given: Json = {
        "stream": CHANGES,
        "position": position,
        "log_position": position,
        "id": f"{GOOD.originator_id}/1",
        "topic": GOOD.topic,
        "headers": [],
        "body": b64encode(body).decode(),
        "reason": "LookupError: no such thing",
        "at": NOW.isoformat(),
    }
    return DeadLetter(**given | said)


def name(position: int = 1, stream: str = CHANGES, service: str = "decider") -> str:
    """What people call a dead letter."""
    return f"{service}/{stream}/{position}"
