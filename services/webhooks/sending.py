"""The webhooks service's process: consumes decisions, and keeps a bounded number of messages under way."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final

import structlog

from domain.ports import WebhookAnswer, WebhookReceivers
from domain.store import StoreConflict, StoreFailed
from services.runtime.context import Assignment
from services.runtime.service import Service, notified
from services.runtime.serving import CALLS_END, ended
from services.webhooks.messages import Messages, Send

LONGEST_SEND: Final = 20.0
"""Seconds after which a try gives its slot back, whatever it waits for."""

_LOOK: Final = 1.0
"""Seconds between looks at what commands have asked, which another process may have stored."""

_SHORTEST_WAIT: Final = 0.01

_log = structlog.get_logger()


class WebhooksApp:
    """Sends the messages of the webhooks service. Each is sent again until its end is stored, under the same id."""

    def __init__(
        self, service: Service, *, messages: Messages, receivers: WebhookReceivers, assignment: Assignment
    ) -> None:
        self.service = service
        self._messages = messages
        self._receivers = receivers
        self._assignment = assignment
        self._sends: dict[asyncio.Task[WebhookAnswer], Send] = {}
        self._results: list[tuple[Send, WebhookAnswer]] = []
        self._changed = asyncio.Event()
        self._storing = asyncio.Lock()
        self._is_uncertain = False

    async def run(self) -> None:
        """Work until cancelled; then let what is under way end, and store how. Raises `StoreFailed`."""
        loop = asyncio.get_running_loop()
        self._messages.wake = lambda: loop.call_soon_threadsafe(self._changed.set)
        await self.resume()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.service.run())
                group.create_task(self._keep_sending())
        finally:
            await self._end(self._sends)

    async def resume(self) -> None:
        """Learn what is due for our accounts, also what was under way at a kill."""
        await self.service.call(self._messages.resume)
        self._changed.set()

    async def drain(self) -> None:
        """Wait until what is under way for accounts that are not ours any more has ended."""
        await self._end([task for task, send in self._sends.items() if not self._assignment.has(send.to.account)])

    async def _end(self, sends: Collection[asyncio.Task[WebhookAnswer]]) -> None:
        await ended([*sends], CALLS_END)
        with suppress(StoreConflict):
            await self._store_results()

    async def _keep_sending(self) -> None:
        while True:
            wait = await self._turn()
            await notified(self._changed, min(max(wait, _SHORTEST_WAIT), _LOOK))
            self._changed.clear()

    async def _turn(self) -> float:
        """Store the results that have come, and send what is due; in how many seconds there may be more.

        What cannot be stored unexpectedly ends nothing else: it is learned again from the store.
        """
        try:
            if self._is_uncertain:
                await self.service.call(self._messages.resume)
                self._is_uncertain = False
            await self._store_results()
            await self.service.call(self._messages.take_requests)
            for send in await self.service.call(self._messages.begin):
                task = asyncio.create_task(self._send(send))
                self._sends[task] = send
                task.add_done_callback(self._note_end)
            return await self.service.call(self._messages.next_due)
        except StoreConflict:
            _log.info("accounts have gone to another process", service=self.service.name)
        except StoreFailed:
            raise
        except Exception:  # noqa: BLE001 - one message's trouble is its own, whatever it is
            _log.exception("messages cannot be stored")
        self._is_uncertain = True
        return _LOOK

    async def _store_results(self) -> None:
        async with self._storing:
            results, self._results = self._results, []
            if results:
                await self.service.call(self._messages.end, results)

    def _note_end(self, task: asyncio.Task[WebhookAnswer]) -> None:
        """A try has ended; what was cancelled or failed unexpectedly has no answer, and may have arrived."""
        send = self._sends.pop(task)
        if task.cancelled():
            answer = WebhookAnswer(detail="given up because the process had to end")
        elif failure := task.exception():
            _log.error("message failed unexpectedly", account=send.to.account, trouble=type(failure).__name__)
            answer = WebhookAnswer(detail=f"unexpected {type(failure).__name__}")
        else:
            answer = task.result()
        self._results.append((send, answer))
        self._changed.set()

    async def _send(self, send: Send) -> WebhookAnswer:
        if send.trouble:
            return WebhookAnswer(detail=send.trouble)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(LONGEST_SEND):
                return await self._receivers.send(send.url, send.headers, send.body)
        except TimeoutError:
            seconds = round(asyncio.get_running_loop().time() - started, 3)
            return WebhookAnswer(detail=f"no answer within {LONGEST_SEND:.0f} seconds", seconds=seconds)
