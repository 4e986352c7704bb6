"""Messages as Kafka's client hands them over."""

from dataclasses import dataclass, replace

from adapters.events import new_mapper, to_record
from adapters.kafka.cloud_events import to_outgoing
from domain.store import Event
from tests.contract.stands import fact

MAPPER = new_mapper()


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeMessage:
    """What `ConsumerRecord` says, and nothing else."""

    topic: str = "upstream.v1"
    partition: int = 0
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def message(
    event: Event | None = None, *, offset: int = 6, log_position: int = 3, installation: str = "", epoch: str = ""
) -> FakeMessage:
    """The message of an event at this place of its service's log."""
    logged = to_record(MAPPER, log_position, MAPPER.to_stored_event(event or fact()))
    outgoing = to_outgoing(logged, "intake", installation, epoch)
    return FakeMessage(offset=offset, key=outgoing.key, value=outgoing.value, headers=outgoing.headers)


def sent_by(installation: str) -> FakeMessage:
    """A record in the topic of accounts, as this installation sends it; without an id it says none."""
    return replace(message(installation=installation), topic="accounts.v1")


def with_header(original: FakeMessage, name: str, value: bytes | None) -> tuple[tuple[str, bytes | None], ...]:
    """Its headers with another value for this one."""
    return tuple((each, value if each == name else said) for each, said in original.headers)


def without_header(original: FakeMessage, name: str) -> tuple[tuple[str, bytes | None], ...]:
    """Its headers without this one."""
    return tuple((each, said) for each, said in original.headers if each != name)
