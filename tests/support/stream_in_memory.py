"""A stream without a broker or a database; its positions have gaps, as theirs can have."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from adapters.events import again, new_mapper, to_record
from domain.store import Event, Record, Resubmission

_GAP = 7
_NOBODY = UUID(int=0)


class StreamInMemory:
    """Keeps the contract of `Stream`; what is put can be read at once."""

    def __init__(self, name: str = "1/upstream.v1/0", *, gap: int = _GAP) -> None:
        self.name = name
        self._gap = gap
        self._mapper = new_mapper()
        self._records: list[Record] = []

    @property
    def stream(self) -> "StreamInMemory":
        """The side that is read."""
        return self

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position, in order."""
        return [record for record in self._records if record.position > after][:limit]

    def end(self) -> int:
        """The position of the last record; 0 when there is none."""
        return self._records[-1].position if self._records else 0

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for, decoded again."""
        return again(self._mapper, resubmission)

    def put(self, events: Sequence[Event]) -> None:
        """Append these facts, in this order."""
        for event in events:
            self._append(self._mapper.to_stored_event(event))

    def put_record(self, topic: str, body: bytes) -> None:
        """Append a record as it is, readable or not."""
        self._append(StoredEvent(originator_id=_NOBODY, originator_version=1, topic=topic, state=body))

    def send(self, log_position: int, event: Event, *, is_stale: bool = False) -> None:
        """Append a fact from this place of its service's log, as a relay does, whatever came before."""
        record = to_record(self._mapper, self.end() + self._gap, self._mapper.to_stored_event(event))
        self._records.append(replace(record, log_position=log_position, is_stale=is_stale))

    def name_target(self, target: str) -> None:
        """Say that the last record concerns this target only."""
        self._records[-1] = replace(self._records[-1], target=target)

    def _append(self, stored: StoredEvent) -> None:
        self._records.append(to_record(self._mapper, self.end() + self._gap, stored))
