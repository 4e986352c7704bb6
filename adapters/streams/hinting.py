"""Hints for Kafka's own tools of how far a consumer is; nothing depends on them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError


class Hints:
    """Commits offsets, one commit at a time.

    The library shields the request of a commit: whoever cancels the commit leaves a request behind whose failure
    cannot be looked at. So a commit is not cancelled while it can still be answered; only waiting for it is.
    """

    def __init__(self, consumer: Callable[[], AIOKafkaConsumer]) -> None:
        self._consumer = consumer
        self._commit: asyncio.Future[None] | None = None

    async def give(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit these offsets once the commit before is answered. It may be cancelled; a failure of Kafka is ignored.

        Raises what else a commit fails with, this one or the one before.
        """
        await self._answered()
        self._commit = asyncio.ensure_future(self._consumer().commit({**offsets}))
        self._commit.add_done_callback(_look)
        await self._answered()

    async def end(self, patience: float) -> None:
        """Wait so many seconds for the commit under way; the consumer is stopped, so no answer can come later."""
        if self._commit is not None:
            await asyncio.wait({self._commit}, timeout=patience)
            self._commit.cancel()

    async def _answered(self) -> None:
        if self._commit is None:
            return
        await asyncio.wait({self._commit})
        done, self._commit = self._commit, None
        with suppress(KafkaError):
            done.result()


def _look(done: asyncio.Future[None]) -> None:
    """Look at a failure, so that the event loop does not report it as lost."""
    if not done.cancelled():
        done.exception()
