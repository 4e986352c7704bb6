"""Every way in which a record of intake's topic can be spoiled, and the producer that sends it so all the same."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaProducer

from adapters.events import new_mapper, to_record
from adapters.kafka.cloud_events import LARGEST, to_outgoing
from adapters.kafka.topics import LARGEST_BATCH, Namespace
from domain.store import Event
from services.wiring.distributed import to_kafka_access
from services.wiring.settings import DistributedSettings
from tests.unit.adapters.kafka.batches import UNREADABLE, unreadable

Header = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A record as it is sent, whatever it holds."""

    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]

    @property
    def said(self) -> Mapping[str, bytes | None]:
        """The headers by name."""
        return dict(self.headers)


Spoiling = Callable[[Message], Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """How a good message is spoiled, and what the reason of its dead letter says."""

    spoiled: Spoiling
    reason: str


def good(event: Event, log_position: int) -> Message:
    """The message of an event at this place of intake's log."""
    mapper = new_mapper()
    outgoing = to_outgoing(to_record(mapper, log_position, mapper.to_stored_event(event)), "intake")
    return Message(key=outgoing.key, value=outgoing.value, headers=outgoing.headers)


def _key(key: bytes | None) -> Spoiling:
    return lambda message: replace(message, key=key)


def _value(value: bytes | None) -> Spoiling:
    return lambda message: replace(message, value=value)


def _fields(**changed: object) -> Spoiling:
    """Other fields in the body; None leaves one out."""

    def spoiled(message: Message) -> Message:
        fields = {**json.loads(message.value or b""), **changed}
        kept = {name: value for name, value in fields.items() if value is not None}
        return replace(message, value=json.dumps(kept).encode())

    return spoiled


def _header(name: str, value: bytes | None) -> Spoiling:
    return lambda message: replace(
        message, headers=tuple((each, value if each == name else said) for each, said in message.headers)
    )


def _lacking(*names: str) -> Spoiling:
    return lambda message: replace(
        message, headers=tuple((each, said) for each, said in message.headers if each not in names)
    )


def _further(name: str, value: bytes) -> Spoiling:
    return lambda message: replace(message, headers=(*message.headers, (name, value)))


def _moment(text: str) -> Spoiling:
    return _fields(at=text)


def _version(version: str) -> Spoiling:
    def spoiled(message: Message) -> Message:
        originator = (message.said["ce_id"] or b"").partition(b"/")[0]
        return _header("ce_id", originator + b"/" + version.encode())(message)

    return spoiled


def _padded(message: Message) -> Message:
    return replace(message, value=(message.value or b"").ljust(LARGEST + 1))


_NO_EVENT_ID = "ce_id is not the id of an event"
_NO_POSITION = "ce_sequence is not a position in a log"
_NO_MOMENT = "ce_time is not a moment, or is out of range"
_CANNOT = "PortalDriver.DriverCreated cannot be read"
_OUT_OF_RANGE = "its moment has no offset, or is out of range"
_FOREIGN_KEY = "its key is not the event's account"

POISONS: Mapping[str, Poison] = {
    name: Poison(spoiled=spoiled, reason=reason)
    for name, (spoiled, reason) in {
        "header no UTF-8": (_header("ce_subject", b"\xff\xfe"), "the header 'ce_subject' is not UTF-8"),
        "id no UTF-8": (_header("ce_id", b"\xff"), "the header 'ce_id' is not UTF-8"),
        "header without value": (_header("ce_time", None), "the header 'ce_time' has no value"),
        "name of a header no UTF-8": (_further(UNREADABLE, b"1"), "the name of a header is not UTF-8"),
        "header twice": (_further("ce_type", b"x"), "the header 'ce_type' comes more than once"),
        "no headers": (lambda message: replace(message, headers=()), "the header 'ce_specversion' is missing"),
        "no specification": (_lacking("ce_specversion"), "the header 'ce_specversion' is missing"),
        "no id": (_lacking("ce_id"), "the header 'ce_id' is missing"),
        "no type": (_lacking("ce_type"), "the header 'ce_type' is missing"),
        "no sequence": (_lacking("ce_sequence"), "the header 'ce_sequence' is missing"),
        "no content type": (_lacking("content-type"), "the header 'content-type' is missing"),
        "another specification": (_header("ce_specversion", b"0.3"), "ce_specversion is '0.3', not '1.0'"),
        "another content type": (_header("content-type", b"application/avro"), "content-type is 'application/avro'"),
        "unknown type": (
            _header("ce_type", b"PortalDriver.DriverPraised"),
            "unknown type 'PortalDriver.DriverPraised'",
        ),
        "another event's type": (_header("ce_type", b"Account.SyncTurnedOn"), "Account.SyncTurnedOn cannot be read"),
        "unknown version": (_fields(class_version=7), "its version 7 is unknown here"),
        "id of nothing": (_header("ce_id", b"somebody"), _NO_EVENT_ID),
        "version 0": (_version("0"), _NO_EVENT_ID),
        "version out of range": (_version(str(2**63)), _NO_EVENT_ID),
        "sequence in words": (_header("ce_sequence", b"seven"), _NO_POSITION),
        "sequence out of range": (_header("ce_sequence", str(2**63).encode()), _NO_POSITION),
        "time in words": (_header("ce_time", b"yesterday"), _NO_MOMENT),
        "time out of range": (_header("ce_time", b"0001-01-01T00:00:00+14:00"), _NO_MOMENT),
        "date out of range": (_moment("12026-01-05T08:00:00+00:00"), _CANNOT),
        "date before the first": (_moment("0001-01-01T00:00:00+14:00"), _OUT_OF_RANGE),
        "date without offset": (_moment("2026-01-05T08:00:00"), _OUT_OF_RANGE),
        "no key": (_key(None), _FOREIGN_KEY),
        "key no UTF-8": (_key(b"\xff\xfe"), _FOREIGN_KEY),
        "another account's key": (_key(b"somebody"), _FOREIGN_KEY),
        "tombstone": (_value(None), "it has no value: a tombstone"),
        "empty": (_value(b""), _CANNOT),
        "no Unicode": (_value(b"\xff\x00"), _CANNOT),
        "no JSON": (_value(b'{"at":'), _CANNOT),
        "no object": (_value(b"[1, 2]"), _CANNOT),
        "nested too deeply": (_value(b"[" * 200_000), _CANNOT),
        "too large": (_padded, f"its value has {LARGEST + 1} bytes, more than {LARGEST}"),
        "missing field": (_fields(source=None), "missing or of another type: source"),
        "field of another type": (_fields(driver=7), "missing or of another type: driver"),
        "lone surrogate in the driver": (_fields(driver="\udfff"), "Error"),
        "NUL": (_fields(driver="2\x003"), "Error"),
        "profile of other types": (_fields(profile={"first_name": 7, "driveri_driver_id": ["A"]}), "Error"),
    }.items()
}
"""Every kind, by name."""


async def send(settings: DistributedSettings, topic: str, partition: int, messages: Sequence[Message]) -> list[int]:
    """Send these to a partition, one by one, just as they are; the offset of each."""
    options = {**to_kafka_access(settings).to_options(), "max_request_size": LARGEST_BATCH}
    async with AIOKafkaProducer(**options) as producer:
        name = Namespace(prefix=settings.kafka_prefix).to_name(topic)
        return [await _send(producer, name, partition, message) for message in messages]


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, message: Message) -> int:
    builder = producer.create_batch()
    builder.append(timestamp=None, key=message.key, value=message.value, headers=list(message.headers))
    build = builder._build
    builder._build = lambda: unreadable(bytes(build()))
    sent = await (await producer.send_batch(builder, topic, partition=partition))
    return int(sent.offset)
