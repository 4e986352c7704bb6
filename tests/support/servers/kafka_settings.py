"""How a Kafka of one node is set up, so that tests do not wait for it."""

import base64
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Of a broker that is also its own controller; where it listens is added by the caller.
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "message.max.bytes": str(10 * 1024 * 1024),
    # One node keeps one copy.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    # Groups form at once, and members may be missed after a second.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A broker that was killed is let in again when its former self has timed out.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # By default a third of our heap.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A further way into a Kafka: where it listens, as `host:port`, and which of its security protocols it speaks."""

    name: str
    address: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The doors of a Kafka, the settings that they need, and the options for the program that makes its users."""

    doors: Sequence[Door] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    formatting: Sequence[str] = ()


def kafka_settings(
    *, broker: str, advertised: str, controller: str, guarded: Guarded | None = None, **further: str
) -> dict[str, str]:
    """Kafka's settings by name, for listeners given as `host:port`.

    `further` are settings whose names are written with underscores.
    """
    guarded = guarded or Guarded()
    doors = "".join(f",{door.name}://{door.address}" for door in guarded.doors)
    protocols = "".join(f",{door.name}:{door.protocol}" for door in guarded.doors)
    return {
        **_SETTINGS,
        "listeners": f"BROKER://{broker},CONTROLLER://{controller}{doors}",
        "advertised.listeners": f"BROKER://{advertised},CONTROLLER://{controller}{doors}",
        "listener.security.protocol.map": f"BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}",
        **guarded.settings,
        **{name.replace("_", "."): value for name, value in further.items()},
    }


def new_cluster_id() -> str:
    """A name for a cluster as Kafka asks for it, without dashes: its programs may take one for an option."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
