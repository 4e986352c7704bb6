"""What the sandboxes push: webhooks that are sent after the answer, in order, and again until they are accepted.

Portal: signed as the Standard Webhooks specification says (https://www.standardwebhooks.com).
Motive: the hexadecimal HMAC-SHA1 of the body; answered 403, it sends no more.
"""

import asyncio
import hmac
import json
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import sha1, sha256
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Final
from uuid import uuid4

import httpx
from pydantic import BaseModel, ConfigDict, Field

from services.sandbox.state import Now

_WAITS: Final = (0.0, 0.2, 1.0, 5.0, 15.0, 60.0)
"""Seconds before each try; after the last one a push is given up."""

_FOR_GOOD = 403
"""Answered by this, a sender of Motive's kind sends no more."""


class WebhookSeed(BaseModel):
    """Where what changes is pushed to, and by which secret it is signed.

    `socket` is the path of a local socket by which the address is reached, as that of `driverlink up`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1)
    secret: str = Field(min_length=1)
    socket: str | None = None


Sign = Callable[[bytes], Mapping[str, str]]
"""The headers that sign a body now; a push that is sent again is signed again."""


class Pusher:
    """Pushes to one address, one after the other; `ends_at_403` as Motive's do."""

    def __init__(self, webhook: WebhookSeed, *, ends_at_403: bool = False) -> None:
        self._webhook = webhook
        self._ends_at_403 = ends_at_403
        self._waiting: deque[tuple[bytes, Sign]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self.has_ended = False

    def push(self, document: object, sign: Sign) -> None:
        """Send this, behind everything that waits."""
        if not self.has_ended:
            self._waiting.append((json.dumps(document, separators=(",", ":")).encode(), sign))
            if self._sending is None or self._sending.done():
                self._sending = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        transport = httpx.AsyncHTTPTransport(uds=self._webhook.socket, verify=SSLContext(PROTOCOL_TLS_CLIENT))
        async with httpx.AsyncClient(transport=transport, timeout=10.0) as client:
            while self._waiting and not self.has_ended:
                await self._send(client, *self._waiting.popleft())

    async def _send(self, client: httpx.AsyncClient, body: bytes, sign: Sign) -> None:
        for wait in _WAITS:
            await asyncio.sleep(wait)
            headers = {"content-type": "application/json", **sign(body)}
            try:
                answer = await client.post(self._webhook.url, content=body, headers=headers)
            except httpx.TransportError:
                continue
            self.has_ended = self._ends_at_403 and answer.status_code == _FOR_GOOD
            if answer.is_success or self.has_ended:
                return


def standard_signature(secret: str, now: Now) -> Sign:
    """Signs one push as the Standard Webhooks specification says, under an id of its own."""
    push, key = f"msg_{uuid4().hex}", b64decode(secret.removeprefix("whsec_"))

    def sign(body: bytes) -> Mapping[str, str]:
        at = str(now() // 1000)
        digest = hmac.digest(key, f"{push}.{at}.".encode() + body, sha256)
        return {
            "webhook-id": push,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{b64encode(digest).decode()}",
        }

    return sign


def motive_signature(secret: str) -> Sign:
    """Signs as Motive does."""
    return lambda body: {"X-KT-Webhook-Signature": hmac.digest(secret.encode(), body, sha1).hex()}
