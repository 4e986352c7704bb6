"""What is ours in a Kafka that others use too: our topics and groups by a prefix, our records by a header."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from adapters.streams.cloud_events import INSTALLATION, Message
from adapters.streams.failures import StreamsMisconfigured


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """The id of our installation, which every record carries, and what the names of our topics and groups begin with.

    Without an id nothing is checked.
    """

    installation: str = ""
    prefix: str = ""

    def to_name(self, name: str) -> str:
        """The topic of a log, or the group of this name, as Kafka has it."""
        return f"{self.prefix}{name}"

    def to_log(self, topic: str) -> str:
        """The log that one of our topics carries."""
        return topic.removeprefix(self.prefix)

    def to_assignors(self) -> Sequence[Any]:
        """How a group's partitions are shared out: Kafka lets nobody in who has no such way in common with the rest.

        So the way is named after the installation, and a member of another one cannot join.
        """
        if not self.installation:
            return (RangePartitionAssignor,)
        return (type("Range", (RangePartitionAssignor,), {"name": f"range.{self.installation}"}),)

    def check(self, messages: Iterable[Message]) -> None:
        """Raise `StreamsMisconfigured` when one of these records is of another installation."""
        for message in messages if self.installation else ():
            if self._is_foreign(message):
                raise StreamsMisconfigured(
                    f"topic {message.topic} holds a record of another installation (partition {message.partition}, "
                    f"offset {message.offset}), and ours is {self.installation}: give one of the two its own "
                    "DRIVERLINK_KAFKA_PREFIX, then the other one another DRIVERLINK_EPOCH"
                )

    def _is_foreign(self, message: Message) -> bool:
        """Whether the record names another installation; one without a readable name is a dead letter or old."""
        named = [value for name, value in message.headers if name == INSTALLATION and value is not None]
        return len(named) == 1 and named[0] != self.installation.encode()
