"""What the webhooks service keeps: the key of every link, endpoints, and the messages to each of them.

Only the links follow from a log. Endpoints are what people asked for; messages are work in hand, and the log of it.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple

from domain.driver_link import Confirmed, Decision, DeleteHeld, LinkEvent, Parked
from domain.store import FILLED, Row, Where
from domain.webhooks import MessageState, NamedLink, Occurrence, follow
from services.runtime.context import DECISIONS
from services.runtime.read_models import Events, ReadModel, Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLinkRow(Row):
    """See `NamedLink`."""

    TABLE: ClassVar[str] = "named_links"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver")

    account: str
    target: str
    driver: str
    version: int
    key: str
    decided: int
    situation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRow(Row):
    """Where an account wants which types of messages to go. It is on, or off, `since` a moment.

    Only commands write it. While it is off nothing is sent, and nothing that happens is kept for it.
    """

    TABLE: ClassVar[str] = "endpoints"
    KEY: ClassVar[tuple[str, ...]] = ("account", "endpoint")

    account: str
    endpoint: str
    url: str
    types: list[str]
    is_on: bool
    since: str
    created: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealthRow(Row):
    """Work in hand: how an endpoint has answered; only what was seen `at` or after it was turned on counts.

    `failures` are those in a row, since `failing_since`, and nothing is sent before `paused_until`. An endpoint was
    `ended`, by us, for this reason, where it failed for as long as a message is tried, or said that it is gone.
    """

    TABLE: ClassVar[str] = "endpoint_health"
    KEY: ClassVar[tuple[str, ...]] = ("account", "endpoint")

    account: str
    endpoint: str
    at: str
    failures: int = 0
    failing_since: str = ""
    paused_until: str = ""
    ended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest(Row):
    """Work in hand: what a command asks the service to do with an endpoint; see `Asked`."""

    TABLE: ClassVar[str] = "endpoint_requests"
    KEY: ClassVar[tuple[str, ...]] = ("account", "endpoint", "asked", "message")

    account: str
    endpoint: str
    asked: str
    message: str


class Asked(StrEnum):
    """Send a ping as this message; send this message again; or look what waits, now that the endpoint is on."""

    PING = "ping"
    RESEND = "resend"
    LOOK = "look"


class EndpointId(NamedTuple):
    """An endpoint of an account."""

    account: str
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow(Row):
    """Work in hand: a message to an endpoint, with the tries that were made of it.

    `message` is its webhook-id, the same each time. It is sent when it is `due`; one that is not, and was not
    `started`, waits behind an earlier one about the same link. `number` orders those about one `link`, `place` those in
    one state by time, the newest first; `hour` is when it came.
    """

    TABLE: ClassVar[str] = "webhook_messages"
    KEY: ClassVar[tuple[str, ...]] = ("account", "endpoint", "message")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("endpoint", "due"),
        ("started",),
        ("endpoint", "link", "state", "number"),
        ("endpoint", "state", "place"),
        ("hour",),
    )
    # Link and place are never empty; but only what asks for them may use their indexes, or it reads all of an endpoint.
    SPARSE: ClassVar[frozenset[str]] = frozenset({"due", "started", "link", "place"})

    account: str
    endpoint: str
    message: str
    type: str
    link: str
    number: int
    place: str
    hour: str
    at: str
    body: dict[str, Any]
    state: str = MessageState.WAITING
    due: str = ""
    started: str = ""
    tries: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def to(self) -> EndpointId:
        """Where it goes."""
        return EndpointId(self.account, self.endpoint)


def messages_to(*endpoints: str) -> Where:
    """What all messages to these endpoints match."""
    return {"endpoint": endpoints, "link": FILLED}


_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**63 - 1


def place_of(at: datetime, number: int, message: str) -> str:
    """A text by which messages are in the order of time and of their numbers, the newest first."""
    return f"{(_LATEST - at) // _MICROSECOND:018}/{_LARGEST - number:019}/{message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What there is to say of one fact, which has this position in the log."""

    position: int
    fact: LinkEvent
    occurrence: Occurrence


_SAYING: Final = (Decision, Confirmed, Parked, DeleteHeld)


def project_named_links(events: Events, rows: Rows) -> list[Said]:
    """The keys of links after these facts, and what there is to say of them."""
    facts = [(at, event) for at, event in events if isinstance(event, _SAYING)]
    rows.load(NamedLinkRow, ((fact.account, fact.target, fact.driver) for _, fact in facts))
    said: list[Said] = []
    for at, fact in facts:
        place = fact.account, fact.target, fact.driver
        row = rows.get(NamedLinkRow, *place)
        before = _to_link(row) if row else NamedLink()
        after, occurrences = follow(before, fact)
        said += (Said(position=at, fact=fact, occurrence=each) for each in occurrences)
        if after is not before:
            rows.put(_to_row(fact, after))
    return said


def _to_link(row: NamedLinkRow) -> NamedLink:
    return NamedLink(version=row.version, key=row.key, decided=row.decided, situation=row.situation)


def _to_row(fact: LinkEvent, link: NamedLink) -> NamedLinkRow:
    return NamedLinkRow(
        account=fact.account,
        target=fact.target,
        driver=fact.driver,
        version=link.version,
        key=link.key,
        decided=link.decided,
        situation=link.situation,
    )


READ_MODELS = (ReadModel(tables=(NamedLinkRow,), projections=lambda _: {DECISIONS: project_named_links}),)
"""What the webhooks service keeps of the decisions."""

WORK: tuple[type[Row], ...] = (EndpointRow, EndpointHealthRow, EndpointRequest, MessageRow)
"""Its tables that no log can rebuild."""
