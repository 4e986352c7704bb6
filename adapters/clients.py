"""HTTP clients of one connection each, as many as there are calls at once.

httpx's pool looks at all its connections several times for each request, and loses one when a request is cancelled
while it waits. Here a call has a client to itself, and there is nothing to wait for.
"""

from collections.abc import Callable, Mapping
from functools import cache
from ssl import SSLContext
from typing import Final

import httpx

_ONE: Final = httpx.Limits(max_connections=1)


class Clients:
    """The clients of one vendor as one account reaches it; the one that was used last is used next."""

    def __init__(
        self, *, headers: Mapping[str, str], timeout: httpx.Timeout, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._new: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(
            headers=headers,
            timeout=timeout,
            limits=_ONE,
            transport=transport,
            verify=True if transport else _certificates(),
        )
        self._idle: list[httpx.AsyncClient] = []
        self._busy: set[httpx.AsyncClient] = set()

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None,
        json: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
    ) -> httpx.Response:
        """The answer, read to its end. Raises `httpx.RequestError` when there is none."""
        client = self._idle.pop() if self._idle else self._new()
        self._busy.add(client)
        is_fit = False
        try:
            reply = await client.request(method, url, params=params, json=json, headers=headers)
            is_fit = True
        except httpx.RequestError:
            is_fit = True
            raise
        finally:
            self._busy.discard(client)
            await self._put_back(client, is_fit=is_fit)
        return reply

    async def close(self) -> None:
        """Close all connections."""
        for client in (*self._idle, *self._busy):
            await client.aclose()

    async def _put_back(self, client: httpx.AsyncClient, *, is_fit: bool) -> None:
        """Keep a client for the next call; what a cancelled call leaves behind is used no more."""
        if is_fit:
            self._idle.append(client)
        else:
            await client.aclose()


@cache
def _certificates() -> SSLContext:
    """Whom to trust, the same for all: a megabyte each time that it is loaded."""
    return httpx.create_ssl_context()
