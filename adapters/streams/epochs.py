"""Where an epoch begins in a topic: what is before belongs to former epochs, and is sent once more in this one."""

from collections.abc import Mapping
from typing import Protocol

from adapters.streams.failures import StreamsMisconfigured

Beginnings = Mapping[str, Mapping[int, int]]
"""By epoch and number of the partition: the offset of the first record that may be sent."""


class Epochs(Protocol):
    """Keeps where the epochs of our topics begin, for all services of the installation. May be used in any thread."""

    def beginnings(self, topic: str) -> Beginnings:
        """Where the epochs begin in this topic, as far as they have begun. Raises `StoreFailed`."""
        ...

    def begin(self, epoch: str, topic: str, offsets: Mapping[int, int]) -> None:
        """The epoch begins here, unless it has begun before. Raises `StoreFailed`."""
        ...


class NoEpochs:
    """Knows of none."""

    def beginnings(self, topic: str) -> Beginnings:  # noqa: ARG002 - of the port
        """None has begun."""
        return {}

    def begin(self, epoch: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Nothing is kept."""


def start(stream: str, position: int, *, beginning: int, end: int, begun: Mapping[str, int]) -> int:
    """From where a stream goes on; `begun` is, by epoch, where it began in this partition.

    What was read goes on from its position. What was never read goes on where its epoch begins: whatever was removed
    before that is sent once more. While nothing is sent in this epoch, it will begin at the present end.

    Raises `StreamsMisconfigured` when records of this epoch are gone, or the topic was made anew.
    """
    epoch, _, _ = stream.partition("/")
    unsent = end if begun else beginning
    at = position or begun.get(epoch, unsent)
    if at > end:
        raise StreamsMisconfigured(
            f"stream {stream} was read up to {at}, but ends at {end}: its topic was made anew, "
            "so set another DRIVERLINK_EPOCH"
        )
    if at < beginning:
        raise StreamsMisconfigured(
            f"stream {stream} was read up to {at}, but begins at {beginning}: records are gone that nobody "
            "has taken over; let the topic keep them for ever (retention.ms=-1), then set another DRIVERLINK_EPOCH"
        )
    return at
