"""What takes the place of an answer, and what becomes of one that is spoilt on its way."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.types import Message, Send

from services.sandbox.clock import Now
from services.sandbox.faults.fault import Failing, Limited, Spoiling

ERROR_PAGE = (
    "<!DOCTYPE html><html><head><title>Something is wrong</title></head>"
    "<body><h1>Something is wrong</h1><p>Please come back later.</p></body></html>"
)


def retry_after(fault: Limited | Failing, now: Now) -> dict[str, str]:
    """The header `Retry-After`, if the fault has one. Source: RFC 9110, 10.2.3."""
    if fault.retry_after is None:
        return {}
    if not fault.as_date:
        return {"Retry-After": f"{math.ceil(fault.retry_after)}"}
    moment = datetime.fromtimestamp(math.ceil(now() / 1000 + fault.retry_after), UTC)
    return {"Retry-After": format_datetime(moment, usegmt=True)}


class Held:
    """Takes an answer down in place of sending it."""

    def __init__(self) -> None:
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        """ASGI's own signature."""
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body += message.get("body", b"")

    async def send_on(self, spoil: Callable[[bytes], bytes], send: Send) -> None:
        """Send the answer with another body; one that has none stays as it is.

        There is no answer to send where the client has gone meanwhile.
        """
        if not self._start:
            return
        body = spoil(self._body) if self._body else b""
        length = str(len(body)).encode()
        headers = [(name, length if name == b"content-length" else text) for name, text in self._start["headers"]]
        await send({**self._start, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def spoil_as(spoiling: Spoiling) -> Callable[[bytes], bytes]:
    """What such a fault does to a body."""
    return _SPOILT[spoiling]


_SPOILT: dict[Spoiling, Callable[[bytes], bytes]] = {
    Spoiling.TRUNCATED: lambda body: body[: len(body) // 2],
    Spoiling.MALFORMED: lambda body: b"OK" + body.replace(b'"', b"'"),
    Spoiling.SENSELESS: lambda _: b"{}",
    Spoiling.EMPTY: lambda _: b"",
}
