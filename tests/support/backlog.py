"""How much is not done yet in the distributed deployment, by its stores and topics, even while processes are down."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.kafka.topics import Namespace, ends
from domain.identity import Target
from domain.store import FILLED, Resubmission, Row, Store, StoreFailed
from services.api.installation import Installation
from services.decider.read_models import Look, RetryRow, RunningReconciliation
from services.projector.read_models import DeliveryRow, Hint, LookUp
from services.projector.scans import ScanSchedule
from services.runtime.context import Assignment, utc_now
from services.runtime.forgetting import Forgotten
from services.runtime.service import Service
from services.wiring.distributed import to_kafka_access
from services.wiring.registry import LOGS, SERVICES
from services.wiring.settings import DistributedSettings

_LOOK = 0.6
"""Seconds between two looks."""

Ends = Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """How much one service had left at one moment, and how far it had come."""

    left: int
    reached: tuple[int, ...]


class Backlog:
    """Looks at every store of an installation, and at the ends of all topics."""

    def __init__(self, installation: Installation, settings: DistributedSettings) -> None:
        self._installation = installation
        self._settings = settings

    async def until_quiet(self) -> None:
        """Wait until nothing is left to be done, and nothing has moved between two looks."""
        before = None
        while True:
            now = await self._look()
            if now and now == before and not any(seen.left for seen in now):
                return
            before = now
            await asyncio.sleep(_LOOK)

    async def until_relayed(self) -> None:
        """Wait until every log is in its topic."""
        for log, service in zip(LOGS, self._installation.services, strict=True):
            while await service.call(self._unsent, service, log):  # noqa: ASYNC110 - another process gives no event
                await asyncio.sleep(_LOOK)

    def _unsent(self, service: Service, log: str) -> int:
        return service.store.log.end() - service.store.position(f"relay/{self._settings.epoch}/{log}")

    async def _look(self) -> list[_Seen] | None:
        """How every service stands; None while a server is away."""
        settings = self._settings
        try:
            names = {Namespace(prefix=settings.kafka_prefix).to_name(log): log for log in LOGS}
            found = await ends(to_kafka_access(settings), names, partitions=settings.kafka_partitions)
            known = {(names[topic], number): end for (topic, number), end in found.items()}
            return [
                await service.call(self._seen, service, log, known)
                for log, service in zip(LOGS, self._installation.services, strict=True)
            ]
        except StoreFailed:
            return None

    def _seen(self, service: Service, log: str, known: Ends) -> _Seen:
        store = service.store
        end, relayed = store.log.end(), store.position(f"relay/{self._settings.epoch}/{log}")
        # One that is optional does not run here.
        consumes = () if SERVICES[service.name].is_optional else service.consumes
        followed = {place: position for place, position in known.items() if place[0] in consumes}
        taken = {place: store.position(f"{self._settings.epoch}/{place[0]}/{place[1]}") for place in followed}
        behind = sum(max(0, followed[place] - taken[place]) for place in followed)
        left = end - relayed + behind + self._in_hand(service.name, store)
        return _Seen(left=left, reached=(end, relayed, *taken.values()))

    def _in_hand(self, name: str, store: Store) -> int:
        if name == self._installation.decider_service.name:
            return _counted(store, Look, RetryRow, RunningReconciliation, Resubmission, Forgotten)
        due = 0
        for target, app in self._installation.projectors.items():
            if app.service.name == name:
                due = _counted(store, LookUp, Hint, Forgotten) + _in_work(store) + _scans_due(store, target)
        return due


def _scans_due(store: Store, target: Target) -> int:
    """The scans whose time has come, those that wait for a breaker to close among them."""
    return sum(1 for _ in ScanSchedule(store, target, utc_now, Assignment()).due())


def _in_work(store: Store) -> int:
    """The deliveries that are due, and the calls that were started."""
    return sum(store.count(DeliveryRow, {column: FILLED})[()] for column in ("due", "started"))


def _counted(store: Store, *kinds: type[Row]) -> int:
    return sum(sum(store.count(kind).values()) for kind in kinds)
