"""The edge of the API: what is too large is refused before it is read, and every response says whose it is."""

from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.header import API_HEADER

LARGEST_BODY = 64 * 2**20
"""Bytes of the largest body that is read; the review of a list of 100,000 drivers has a quarter of them."""

_TOO_LARGE = f"a request has at most {LARGEST_BODY // 2**20} MB: send it in parts"


class Edge:
    """An ASGI application that bounds the bodies of requests and names the responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
            return message

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[API_HEADER] = "1"
            await send(message)

        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated) > LARGEST_BODY:
            refusal = JSONResponse({"error": _TOO_LARGE}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            await refusal(scope, receive, named)
        else:
            await self._app(scope, bounded, named)
