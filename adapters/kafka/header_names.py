"""Header names that are not UTF-8: Kafka accepts them, and Kafka's client would stop at the first one for good.

It has no setting for that, so our reader of fetched records replaces its own.
Format: Apache Kafka, "Record Batch" and "Record" in the description of its messages.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

SUBSTITUTE = "\x1a"
"""Stands for each byte of such a name."""

_LENGTH = slice(8, 12)
_FIRST_BYTES = 12
"""A batch says how long it is, without these bytes."""

_ATTRIBUTES = slice(21, 23)
_CODEC = 0x07
_RECORDS = 61
"""Where the records of a batch begin."""


def install() -> None:
    """Let consumers read such names from now on."""
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords:
    """What was fetched, batch by batch."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = data
        self._at = 0

    def size_in_bytes(self) -> int:
        """How much was fetched."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> "_TolerantBatch":
        """The next batch."""
        rest = memoryview(self._data)[self._at :]
        length = _FIRST_BYTES + int.from_bytes(rest[_LENGTH])
        self._at += length
        return _TolerantBatch(self._records.next_batch(), rest[:length])


class _TolerantBatch:
    """A batch as the library reads it, as long as it can."""

    def __init__(self, batch: Any, data: memoryview) -> None:  # noqa: ANN401 - the library has no types
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the library's batch has
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except UnicodeDecodeError:
            if int.from_bytes(self._data[_ATTRIBUTES]) & _CODEC:
                raise
            yield from islice(DefaultRecordBatch(_mended(self._data)), read, None)


def _mended(data: memoryview) -> bytes:
    """The same uncompressed batch with readable names."""
    batch, at = bytearray(data), _RECORDS
    while at < len(batch):
        length, at = decode_varint(batch, at)
        _mend_names(batch, at)
        at += length
    return bytes(batch)


def _mend_names(batch: bytearray, at: int) -> None:
    """Mend the names in the record whose attributes are here."""
    for _ in ("attributes", "timestamp", "offset"):
        _, at = decode_varint(batch, at)
    for _ in ("key", "value"):
        at = _behind(batch, at)
    count, at = decode_varint(batch, at)
    for _ in range(count):
        start = at
        at = _behind(batch, start)
        _mend_name(batch, decode_varint(batch, start)[1], at)
        at = _behind(batch, at)


def _behind(batch: bytearray, at: int) -> int:
    """The place behind the bytes whose length is here; one below 0 means that there are none."""
    length, at = decode_varint(batch, at)
    return int(at + max(length, 0))


def _mend_name(batch: bytearray, start: int, end: int) -> None:
    try:
        batch[start:end].decode()
    except UnicodeDecodeError:
        batch[start:end] = SUBSTITUTE.encode() * (end - start)
