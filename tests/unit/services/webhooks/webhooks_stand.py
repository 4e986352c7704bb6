"""The webhooks service on a store of its own, receivers that verify what comes, and a clock that is moved by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from json import loads
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.credentials import CredentialsFile
from adapters.store.sqlite import SqliteStore
from adapters.webhooks import HttpReceivers
from domain.driver_link import Confirmed, DeleteHeld, LinkEvent, Parked
from domain.identity import AccountId, PortalDriverId, Target, link_stream
from domain.ports import SigningSecrets, WebhookAnswer
from domain.store import JournalRow, Store
from domain.webhooks import MessageType
from services.runtime.context import WEBHOOKS, Assignment
from services.sandbox.serving import listening
from services.webhooks.endpoints import Endpoints
from services.webhooks.messages import Messages, Send
from services.webhooks.read_models import READ_MODELS, WORK, EndpointId, MessageRow
from tests.support.hanging import HANGS

NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FORMER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ALL = tuple(MessageType)
OK = WebhookAnswer(status=200)
FAILED = WebhookAnswer(status=500)
ROWS = (*(row for model in READ_MODELS for row in model.tables), *WORK)


def noted(account: str = "acme") -> JournalRow:
    given = dict.fromkeys(("command", "subject", "by", "role", "authenticated", "note"), "")
    return JournalRow(id=str(id(object())), at=NOW.isoformat(), account=account, **given)


def _origin(driver: str, version: int, account: str) -> dict[str, Any]:
    return {
        "originator_id": link_stream(AccountId(account), Target.DRIVERI, PortalDriverId(driver)),
        "originator_version": version,
        "at": NOW + timedelta(seconds=version),
        "account": account,
        "target": "driveri",
        "driver": driver,
    }


def confirmed(driver: str, version: int, key: str | None, account: str = "acme") -> Confirmed:
    """A target shows a driver under this key."""
    return Confirmed(**_origin(driver, version, account), decision=0, key=key, profile={"first_name": "J"}, unlike=[])


def parked(driver: str, version: int) -> Parked:
    """A driver is set aside."""
    given: dict[str, Any] = {"reason": "unkeyed", "detail": "Jane Doe", "waits_for": "", "holder": "", "rationale": {}}
    return Parked(**_origin(driver, version, "acme"), sequence=1, **given)


def held(driver: str, version: int) -> DeleteHeld:
    """A delete is held."""
    return DeleteHeld(**_origin(driver, version, "acme"), sequence=1, key="D1", rationale={"situation": "orphaned"})


class WebhooksStand:
    """Messages are begun and ended by hand."""

    def __init__(self, folder: Path, opening: Callable[[], Store] | None = None) -> None:
        self.now = NOW
        self.position = 0
        self.sent: list[str] = []
        self.folder = folder
        self._opening = opening or partial(SqliteStore, folder / "webhooks.sqlite", log_name=WEBHOOKS, rows=ROWS)
        self.store = self._opening()
        self.credentials = CredentialsFile(folder / "credentials")
        self.assignment = Assignment()
        self.messages = Messages(
            self.store, lambda: self.now, self.assignment, secrets=self.credentials, origin="https://sync.test"
        )
        self.endpoints = Endpoints(self.store, lambda: self.now)

    def reopened(self) -> "WebhooksStand":
        """The same after a kill."""
        self.store.close()
        again = WebhooksStand(self.folder, self._opening)
        again.now, again.position = self.now, self.position
        again.messages.resume()
        return again

    def add(
        self,
        url: str = "https://receiver.test/",
        account: str = "acme",
        *,
        types: Sequence[MessageType] = ALL,
        former: str = "",
    ) -> EndpointId:
        """An account has an endpoint."""
        to = EndpointId(account, f"ep_{len(self.endpoints.all(account))}_{account}")
        secrets = SigningSecrets(secret=SECRET, since=0, former=former, former_until=NOW.timestamp() + 60)
        self.credentials.keep_signing_secrets(*to, secrets)
        self.endpoints.add(to, url, types, noted(account))
        return to

    def happen(self, *events: LinkEvent) -> None:
        """The decider has stored these facts, and we consume them as one batch."""
        first = self.position + 1
        self.position += len(events)
        unit = self.messages.on_decisions([*enumerate(events, first)])
        self.store.commit(unit)
        self.messages.on_stored(unit)

    def begin(self) -> list[Send]:
        """What starts now."""
        self.messages.take_requests()
        return self.messages.begin()

    def send(self, answer: WebhookAnswer = OK, *, most: int = 1000) -> list[str]:
        """Send what is due, over and over, with this answer to each; the types of messages in their order."""
        sent: list[str] = []
        while len(sent) < most and (sends := self.begin()):
            self.messages.end([(send, answer) for send in sends])
            self.sent += [str(loads(send.body)["data"].get("key")) for send in sends]
            sent += [str(loads(send.body)["type"]) for send in sends]
        return sent

    def wait(self, **time: float) -> None:
        """Time passes."""
        self.now += timedelta(**time)

    def rows(self, to: EndpointId) -> list[MessageRow]:
        """The messages to an endpoint, the oldest first."""
        return self.endpoints.messages(to, "", "", 1000)[::-1]

    def states(self, to: EndpointId) -> list[str]:
        """What became of the messages to an endpoint, the oldest first."""
        return [str(row.state) for row in self.rows(to)]


class Receiver:
    """Has each message signed by the official library too, and answers it by the next of these statuses, then by 200.

    The library verifies only what was signed within the last minutes.
    """

    def __init__(self, *statuses: int) -> None:
        self.statuses = [*statuses]
        self.came: list[tuple[Mapping[str, str], Any]] = []
        self.changed = asyncio.Event()

    async def take(self, request: Request) -> Response:
        body = await request.body()
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        signature = Webhook(SECRET).sign(request.headers["webhook-id"], at, body.decode())
        assert signature in request.headers["webhook-signature"].split(" ")
        self.came.append((dict(request.headers), loads(body)))
        self.changed.set()
        status = self.statuses.pop(0) if self.statuses else 200
        headers = {302: {"location": "/elsewhere"}, 429: {"retry-after": "90"}}
        return Response("x" * 1000, status_code=status, headers=headers.get(status, {}))

    async def until(self, messages: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(HANGS):
            while len(self.came) < messages:
                self.changed.clear()
                await self.changed.wait()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """It answers at this address."""
        async with listening(Starlette(routes=[Route("/{rest:path}", self.take, methods=["POST"])])) as url:
            yield url


def local_receivers() -> HttpReceivers:
    """What may send to this machine."""
    return HttpReceivers(allows_private=True)
