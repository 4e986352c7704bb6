"""Another relay of intake's log, of the worst kind that there may be: it keeps forgetting how far it came."""

import asyncio
import random

from adapters.kafka.producer import Beginning, KafkaPublisher
from adapters.store.postgres import InstallationTables, PostgresStore
from domain.store import StoreFailed
from services.runtime.consumer import BATCH
from services.runtime.context import CHANGES
from services.runtime.service import Worker
from services.wiring.distributed import SCHEMAS, to_kafka_access
from services.wiring.settings import DistributedSettings

_LONGEST_REST = 1.0
"""Seconds between two pieces that it sends, at most."""

_FORGETS = 0.3
"""How often it goes back."""

_PAUSE = 0.2
"""Seconds until it is tried again, or looked at again."""


class UnrulyRelay:
    """Sends what intake's own relay sends too, at the same time, piece by piece, again and again.

    It waits for no turn, and goes back to any place that it had passed, as relays do that were ended, or were silent
    for long: whatever is behind a place comes once more, old and new among each other. As they do, it begins the epoch
    before it sends anything: what is in front of that does not count.
    """

    def __init__(self, settings: DistributedSettings, chance: random.Random) -> None:
        url, password = str(settings.database_url), settings.database_password.get_secret_value()
        self._store = PostgresStore(url, password, schema="intake", log_name=CHANGES, rows=SCHEMAS["intake"])
        self._access = to_kafka_access(settings)
        epochs = InstallationTables(url, password, "installation")
        self._beginning = Beginning(epochs=epochs, epoch=settings.epoch, is_new=True)
        self._chance = chance
        self._worker = Worker("unruly-relay")
        self._position = 0
        self._sent = 0

    async def run(self) -> None:
        """Work until cancelled, whatever is away meanwhile."""
        while True:
            publisher = KafkaPublisher(self._access, service="intake", beginning=self._beginning)
            try:
                await self._relay(publisher)
            except StoreFailed:
                await asyncio.sleep(_PAUSE)
            finally:
                await publisher.close()

    async def until_sent(self) -> None:
        """Wait until it has sent all that there is."""
        while self._sent < await self._worker.call(self._store.log.end):  # noqa: ASYNC110 - a store gives no event
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Let go of the database."""
        self._worker.close()
        self._store.close()

    async def _relay(self, publisher: KafkaPublisher) -> None:
        while True:
            records = await self._worker.call(self._store.log.read, self._position, BATCH)
            if records:
                piece = records[: self._chance.randint(1, len(records))]
                await publisher.publish(CHANGES, piece)
                self._position = piece[-1].position
                self._sent = max(self._sent, self._position)
            if self._chance.random() < _FORGETS:
                self._position = self._chance.randint(0, self._position)
            await asyncio.sleep(self._chance.uniform(0, _LONGEST_REST))
