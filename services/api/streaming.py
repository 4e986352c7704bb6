"""Responses in lines of JSON; and those that stay open, as Server-Sent Events, by one look at the logs for all."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from enum import Enum
from typing import Final, cast

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from domain.store import StoreFailed
from services.api.authentication import authenticate
from services.api.installation import Installation, Readers
from services.api.permissions import Forbidden, Unauthenticated
from services.api.routing import caller_of
from services.api.schema import ResponseBody
from services.runtime.service import REST, notified
from services.runtime.serving import ENDING

MOST_STREAMS: Final = 16
"""Streams that one client may have open at a time."""

HEARTBEAT: Final = 15.0
"""Seconds after which something is sent, so that a proxy does not take the connection for dead."""

_LONGEST: Final = 600.0
"""Seconds after which a client connects again, and proves again whose request it is."""

_CHECKED_EVERY: Final = 1.0
"""Seconds after which it is asked again whether a client is let in."""

_PAUSE: Final = 0.05
"""Seconds between two looks at the logs, however much is stored."""


async def encoded(
    lines: AsyncGenerator[ResponseBody, None], last: Callable[[Exception], ResponseBody]
) -> AsyncIterator[str]:
    """Lines of JSON; where a failure ends them, the last one says so: a response that breaks off explains nothing."""
    async with aclosing(lines):
        try:
            async for line in lines:
                yield to_line(line)
        except Exception as failure:  # noqa: BLE001 - whatever it is
            yield to_line(last(failure))


def to_line(line: ResponseBody) -> str:
    """A line of JSON, without what is None."""
    return line.model_dump_json(exclude_none=True) + "\n"


class TooManyStreams(Exception):
    """A client has as many streams open as it may; `retry_after` is in seconds."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__(f"a client has at most {MOST_STREAMS} streams open: close one first")


class Woken(Enum):
    """Why a stream goes on: something was stored, or a heartbeat is due; or that it is over."""

    NEWS = "news"
    QUIET = "quiet"
    OVER = "over"


Waiting = Callable[[], Awaitable[Woken]]
"""Waits until something was stored, at most until a heartbeat is due."""


class Watch:
    """Wakes the streams of a process when anything is stored."""

    def __init__(self, installation: Installation) -> None:
        self.access = installation.access
        self._readers = installation.readers
        self._notification = installation.accounts_service.waiter()
        self._clients: dict[asyncio.Event, str] = {}
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def joined(self, client: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever anything was stored. Raises `TooManyStreams`."""
        if sum(each == client for each in self._clients.values()) >= MOST_STREAMS:
            raise TooManyStreams
        news = asyncio.Event()
        self._clients[news] = client
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield news
        finally:
            del self._clients[news]
            if not self._clients:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        seen: tuple[int, ...] = ()
        while True:
            self._notification.clear()
            now: tuple[int, ...] = ()
            # Where this fails, the streams fail at what they read next.
            with suppress(StoreFailed):
                now = await self._readers.call(_ends, self._readers)
            if now != seen:
                for news in self._clients:
                    news.set()
            seen = now
            await asyncio.sleep(_PAUSE)
            await notified(self._notification, REST)


def _ends(readers: Readers) -> tuple[int, ...]:
    return tuple(store.log.end() for store in readers.stores.values())


class EventStream(StreamingResponse):
    """Server-Sent Events, made by `lines`, which end with the process, and with a store that fails.

    It raises `TooManyStreams` before it begins.
    """

    media_type = "text/event-stream"

    def __init__(self, request: Request, lines: Callable[[Waiting], AsyncIterator[str]]) -> None:
        super().__init__((), headers={"x-accel-buffering": "no"})
        self._watch = _watch_of(request)
        self._request = request
        self._principal = caller_of(request).principal
        self._lines = lines
        self._checked = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        ending = scope.get(ENDING) or asyncio.Event()
        clock = asyncio.get_running_loop().time
        self._checked, ends_at = clock(), clock() + _LONGEST

        async def is_over() -> bool:
            return ending.is_set() or clock() >= ends_at or not await self._is_let_in()

        with self._watch.joined(self._principal.who) as news:

            async def wait() -> Woken:
                waits = [asyncio.create_task(each.wait()) for each in (news, ending)]
                try:
                    await asyncio.wait(waits, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in waits:
                        each.cancel()
                if await is_over():
                    return Woken.OVER
                has_news = news.is_set()
                news.clear()
                return Woken.NEWS if has_news else Woken.QUIET

            async def sent() -> AsyncIterator[str]:
                yield "retry: 2000\n\n"
                with suppress(StoreFailed):
                    async for line in self._lines(wait):
                        yield line
                        if await is_over():
                            return

            self.body_iterator = sent()
            await super().__call__(scope, receive, send)

    async def _is_let_in(self) -> bool:
        """Whether it is still the same client: a key may be revoked meanwhile, or a session over."""
        now = asyncio.get_running_loop().time()
        if now - self._checked < _CHECKED_EVERY:
            return True
        self._checked = now
        try:
            return await authenticate(self._request, self._watch.access) == self._principal
        except (Unauthenticated, Forbidden):
            return False


class LineStream(StreamingResponse):
    """Lines of JSON, which end where the logs do; one of the client's streams. Raises as `EventStream` does."""

    media_type = "application/jsonl"

    def __init__(self, request: Request, lines: AsyncIterator[str]) -> None:
        super().__init__(lines)
        self._watch = _watch_of(request)
        self._who = caller_of(request).principal.who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        with self._watch.joined(self._who):
            await super().__call__(scope, receive, send)


def _watch_of(request: Request) -> Watch:
    """The one watch of the application."""
    state = request.app.state
    if not hasattr(state, "watch"):
        state.watch = Watch(state.installation)
    return cast("Watch", state.watch)
