"""Where the records of one partition wait between the event loop, which fills it, and the thread of the service."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from threading import Condition

from adapters.kafka.cloud_events import ConsumerRecord

MOST_RECORDS = 2_000
MOST_BYTES = 4 * 1024 * 1024
"""At either bound a buffer is full, until a quarter of it is free again."""

_OVERHEAD = 2 * 1024
"""Bytes that a record takes besides its own."""


class PartitionBuffer:
    """A contiguous piece of a partition: every record behind the position `start`, up to the position `reached`.

    It opens when it is started, and gives nothing before, nor after it is closed. A full one still takes what was
    fetched already, which is bounded too.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._messages: deque[ConsumerRecord] = deque()
        self._bytes = 0
        self._end = 0
        self._is_open = False
        self.start = 0
        self.reached = 0
        self.is_halted = False

    @property
    def end(self) -> int:
        """The position of the partition's last record, as far as is known."""
        return max(self._end, self.reached)

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be fetched."""
        return len(self._messages) >= MOST_RECORDS or self._bytes >= MOST_BYTES

    @property
    def wants_more(self) -> bool:
        """Whether fetching was halted, and may go on."""
        return self.is_halted and len(self._messages) <= MOST_RECORDS * 3 // 4 and self._bytes <= MOST_BYTES * 3 // 4

    def restart(self, start: int, end: int) -> None:
        """Forget everything, and go on behind this position in a partition with such an end."""
        with self._changed:
            self._is_open = True
            self._messages.clear()
            self._bytes = 0
            self._end = end
            self.start = self.reached = start
            self._changed.notify_all()

    def put(self, messages: Sequence[ConsumerRecord], reached: int, end: int) -> None:
        """Append what follows on the position reached so far; there is nothing else up to the one that is now."""
        with self._changed:
            self._messages.extend(messages)
            self._bytes += sum(map(_size, messages))
            self._end = end
            self.reached = reached
            self._changed.notify_all()

    def ends_at(self, end: int) -> None:
        """Note where the partition ends now, by Kafka."""
        self._end = end

    def take(self, after: int, limit: int) -> Sequence[ConsumerRecord] | None:
        """The records behind this position, at most `limit`; those up to it are dropped. None if not held here."""
        with self._changed:
            if not self._is_open:
                return ()
            if not self.start <= after <= self.reached:
                return None
            self._forget(after)
            return list(islice(self._messages, limit))

    def wait(self, after: int, limit: int, timeout: float) -> Sequence[ConsumerRecord]:
        """The same once it starts there and has `limit` records or all there are, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_open or self._has(after, limit), timeout)
        return self.take(after, limit) or ()

    def close(self) -> None:
        """Return nothing any more, and release a waiting reader."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _has(self, after: int, limit: int) -> bool:
        return self.start == after and (len(self._messages) >= limit or self.reached >= self._end)

    def _forget(self, position: int) -> None:
        while self._messages and self._messages[0].offset < position:
            self._bytes -= _size(self._messages.popleft())
        self.start = position


def _size(message: ConsumerRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in message.headers)
    return _OVERHEAD + len(message.value or b"") + len(message.key or b"") + headers
