"""HTTP clients of one connection each, as many as there are calls at once.

httpx's pool looks at all its connections several times for each request, and loses one when a request is cancelled
while it waits. Here a call has a client to itself, and there is nothing to wait for.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import cache
from ssl import SSLContext
from typing import Final

import httpx

KEPT: Final = 5.0
"""Seconds for which a client is kept that nobody uses: by then the vendor may have closed its connection."""

_ONE: Final = httpx.Limits(max_connections=1)


class Clients:
    """The clients of one vendor as one account reaches it; the one that was used last is used next."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        timeout: httpx.Timeout,
        transport: httpx.AsyncBaseTransport | None,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._new: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(
            headers=headers,
            timeout=timeout,
            limits=_ONE,
            transport=transport,
            verify=True if transport else _certificates(),
        )
        self._idle: deque[tuple[float, httpx.AsyncClient]] = deque()
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
        client = self._idle.pop()[1] if self._idle else self._new()
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
        for client in (*(client for _, client in self._idle), *self._busy):
            await client.aclose()

    async def _put_back(self, client: httpx.AsyncClient, *, is_fit: bool) -> None:
        """Keep a client for the next call, but not what a cancelled call leaves behind, or nobody has used lately."""
        now = self._clock()
        if is_fit:
            self._idle.append((now, client))
        else:
            await client.aclose()
        while self._idle and self._idle[0][0] < now - KEPT:
            _, unused = self._idle.popleft()
            await unused.aclose()


@cache
def _certificates() -> SSLContext:
    """Whom to trust, the same for all: a megabyte each time that it is loaded."""
    return httpx.create_ssl_context()
