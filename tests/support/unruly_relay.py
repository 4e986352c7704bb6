"""Another relay of intake's log, of the worst kind that there may be: it sends everything once more, out of order."""

import asyncio
import random
from collections.abc import Sequence

from adapters.kafka.producer import KafkaPublisher
from adapters.store.postgres import PostgresStore
from domain.store import Record, StoreFailed
from services.runtime.consumer import BATCH, version_of
from services.runtime.context import CHANGES
from services.runtime.service import Worker
from services.wiring.distributed import SCHEMAS, to_kafka_access
from services.wiring.settings import DistributedSettings

_LONGEST_REST = 1.0
"""Seconds in which changes gather that are sent in another order, at most."""

_PAUSE = 0.2
"""Seconds until it is tried again, or looked at again."""


class UnrulyRelay:
    """Sends what intake's own relay sends too, with the drivers in another order, each driver's changes in theirs.

    It waits for no turn: while no process of intake runs, what it sends out of order comes first.
    """

    def __init__(self, settings: DistributedSettings, chance: random.Random) -> None:
        url, password = str(settings.database_url), settings.database_password.get_secret_value()
        self._store = PostgresStore(url, password, schema="intake", log_name=CHANGES, rows=SCHEMAS["intake"])
        self._access = to_kafka_access(settings)
        self._chance = chance
        self._worker = Worker("unruly-relay")
        self._position = 0

    async def run(self) -> None:
        """Work until cancelled, whatever is away meanwhile."""
        while True:
            publisher = KafkaPublisher(self._access, service="intake")
            try:
                await self._relay(publisher)
            except StoreFailed:
                await asyncio.sleep(_PAUSE)
            finally:
                await publisher.close()

    async def until_sent(self) -> None:
        """Wait until it has sent all that there is."""
        while self._position < await self._worker.call(self._store.log.end):  # noqa: ASYNC110 - a store gives no event
            await asyncio.sleep(_PAUSE)

    def close(self) -> None:
        """Let go of the database."""
        self._worker.close()
        self._store.close()

    async def _relay(self, publisher: KafkaPublisher) -> None:
        while True:
            records = await self._worker.call(self._store.log.read, self._position, BATCH)
            if records:
                await publisher.publish(CHANGES, shuffled(records, self._chance))
                self._position = records[-1].position
            await asyncio.sleep(self._chance.uniform(0, _LONGEST_REST))


def shuffled(records: Sequence[Record], chance: random.Random) -> list[Record]:
    """These records with the drivers in another order, and each driver's own records in theirs."""
    drivers = [version_of(record)[0] for record in records]
    chance.shuffle(drivers)
    left = {driver: iter([each for each in records if version_of(each)[0] == driver]) for driver in set(drivers)}
    return [next(left[driver]) for driver in drivers]
