"""Views of logs get to topics of their own: without personal data, and as the state of every link.

They are made from the log of their service, and nothing else is stored for them but how far each was sent.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from domain.profile import PERSONAL_FIELDS
from domain.store import Position, Record, Store, Unit
from services.runtime.outbox import Publisher, Relay, position_name
from services.runtime.process import InstanceLocks, Progress, watch
from services.runtime.service import LeaderLock, Worker
from services.views.link_states import STATES, all_states, changed_states, tombstone

PERSONAL: Final = frozenset({*PERSONAL_FIELDS, "by", "authenticated", "note"})
"""The fields of events that hold what is personal: of drivers, and of who decided something and why."""

_REQUESTED: Final = f"requested/{STATES}"
"""The position that counts how often it was asked for that the topic is filled again."""

_log = structlog.get_logger()


def without_personal_data(records: Sequence[Record]) -> Sequence[Record]:
    """The same records, with nothing personal in them."""
    return [replace(record, body=_without_personal_data(record.body)) for record in records]


def _without_personal_data(body: bytes) -> bytes:
    stated: dict[str, Any] = json.loads(body)
    kept = {name: value for name, value in stated.items() if name not in PERSONAL}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()


def request_all_states(decider: Store) -> None:
    """Let the topic of states be filled again, and be rid of what is not there any more. Raises `StoreFailed`."""
    decider.commit(Unit(positions=[Position(name=_REQUESTED, at=decider.position(_REQUESTED) + 1)]))


class CompactedPublisher(Publisher, Protocol):
    """The way to a topic that keeps the last record of each key; one that is opened later shuts this one out."""

    async def keys(self, topic: str) -> Collection[bytes]:
        """The keys of all records that are not tombstones. Raises `StoreFailed`."""
        ...


class StatesRelay(Relay):
    """Sends the state of each link of which the decider's log says something new, and all of them when it begins.

    The state is read after the record that led to it, so what is sent last is the latest. All are sent again when that
    was requested: then what the topic has of links that are not there any more gets a tombstone.
    """

    def __init__(
        self, decider: Store, *, epoch: str, leader_lock: LeaderLock, opening: Callable[[], CompactedPublisher]
    ) -> None:
        def opened() -> Publisher:
            self._compacted = opening()
            return self._compacted

        super().__init__(
            decider,
            STATES,
            epoch=epoch,
            leader_lock=leader_lock,
            opening=opened,
            view=lambda records: changed_states(decider, records),
        )
        self._decider = decider
        self._filled = position_name(epoch, f"{STATES}/filled")

    async def _send(self, publisher: Publisher, records: Sequence[Record], position: int) -> int:
        requested, filled = await self._worker.call(self._requests)
        if requested > filled:
            records, position = (), await self._fill(requested, position)
        return await super()._send(publisher, records, position)

    def _requests(self) -> tuple[int, int]:
        """How often it was requested, the first time by nothing but the beginning, and how many of these are done."""
        return self._decider.position(_REQUESTED) + 1, self._decider.position(self._filled)

    async def _fill(self, requested: int, position: int) -> int:
        """Send all states, and a tombstone of every other link that the topic has.

        Returns up to which position of the log that is, and stores it: what changes later is sent afterwards.
        """
        end = max(position, await self._worker.call(self._decider.log.end))
        former, states, sent = set(await self._compacted.keys(STATES)), all_states(self._decider), self.sent
        while page := await self._worker.call(next, states, None):
            former.difference_update(record.key for record in page if record.key)
            await self._publish(self._compacted, page)
        await self._publish(self._compacted, [tombstone(key) for key in sorted(former)])
        reached = [Position(name=self._filled, at=requested)]
        if end > await self._worker.call(self._decider.position, self._name):
            reached.append(Position(name=self._name, at=end))
        await self._worker.call(self._decider.commit, Unit(positions=reached))
        _log.info("states of links are sent", records=self.sent - sent, gone=len(former))
        return end


class Views:
    """A process that relays views, until it is cancelled."""

    def __init__(self, relays: Sequence[Relay], instance_lock: InstanceLocks) -> None:
        self._relays = relays
        self._instance_lock = instance_lock
        self._worker = Worker("views")

    async def run(self, patience: float) -> None:
        """Work until cancelled. Raises `StoreFailed`, alone or in a group."""
        try:
            async with asyncio.TaskGroup() as group:
                for relay in self._relays:
                    group.create_task(relay.run())
                group.create_task(watch(self, patience))
        finally:
            await self.close()

    async def close(self) -> None:
        """Close everything."""

        def disconnect() -> None:
            for relay in self._relays:
                relay.close()
            self._worker.close()
            self._instance_lock.close()

        await asyncio.to_thread(disconnect)

    async def progress(self) -> Progress:
        """How far the process has come: what it is behind is what was not sent yet. Raises `StoreFailed`."""
        await self._worker.call(self._instance_lock.check)
        unsent = await self._worker.call(lambda: sum(relay.lag() for relay in self._relays))
        return Progress(
            taken=0,
            behind=0,
            sent=sum(relay.sent for relay in self._relays),
            unsent=unsent,
            relaying=any(relay.is_relaying for relay in self._relays),
            partitions=0,
            stuck=next(filter(None, (relay.stuck() for relay in self._relays)), None),
        )
