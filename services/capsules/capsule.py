"""A capsule: everything that happened to one driver, and what it was decided by, as one JSON document.

It has the facts of the logs with their positions, and the batches in which the decider handled them. Ids of histories
are left out, since they follow from the names, which are masked.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import datetime
from io import BytesIO
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.account import AccountEvent
from domain.driver_link import LinkEvent
from domain.failures import ClearFailure
from domain.identity import (
    AccountId,
    Key,
    PortalDriverId,
    Target,
    account_stream,
    breaker_stream,
    delivery_stream,
    link_stream,
    portal_driver_stream,
    scan_stream,
    target_driver_stream,
)
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    ReportEvent,
)
from domain.portal import PortalDriverEvent
from domain.store import Event
from services.decider.order import BatchRow

FORMAT: Final = "driverlink-capsule"
VERSION: Final = 1
MOST_FACTS: Final = 20_000
"""Facts in a capsule; a driver has some tens, and one that changes every hour for a year has 9,000."""

LARGEST: Final = 64_000_000
"""Bytes of a capsule that are read, once it is unpacked."""

Facts = Sequence[tuple[int, Event]]
"""Facts of one log in its order, each with its position there."""


class CapsuleUnusable(ClearFailure):
    """A file cannot be replayed, or a capsule cannot be made; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterOfCapsule:
    """A record about the driver that a service could not handle: which, why, and which service. Its bytes are left out.

    `type` and `version` are those of the event, `service` is that which could not handle it.
    """

    service: str
    type: str
    version: int
    reason: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """What happened to one driver.

    `made_by` is the version of the installation with its commit. `facts` are those of each log, by its name: of the
    driver itself, of the account, and of those other drivers and target drivers that decided for it. `batches` say in
    what order the decider handled them; of `unordered` facts that is not stored. `is_erased`: the driver's personal
    data was erased, so facts have none.
    """

    made_by: str
    made_at: str
    account: AccountId
    driver: PortalDriverId
    is_erased: bool = False
    facts: Mapping[str, Facts]
    batches: Sequence[BatchRow]
    unordered: int = 0
    dead_letters: Sequence[LetterOfCapsule] = field(default=())

    def others(self) -> int:
        """How many other portal drivers are in it."""
        drivers = {each.driver for facts in self.facts.values() for _, each in facts if isinstance(each, LinkEvent)}
        return len(drivers - {self.driver})


def to_json(capsule: Capsule) -> dict[str, Any]:
    """The capsule as a document."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_by": capsule.made_by,
        "made_at": capsule.made_at,
        "account": capsule.account,
        "driver": capsule.driver,
        "is_erased": capsule.is_erased,
        "facts": {log: [_fact(position, event) for position, event in facts] for log, facts in capsule.facts.items()},
        "batches": [_batch(each) for each in capsule.batches],
        "unordered": capsule.unordered,
        "dead_letters": [asdict(each) for each in capsule.dead_letters],
    }


def encoded(capsule: Capsule) -> Iterable[bytes]:
    """The capsule as lines of text: one for each fact, so that two of them can be compared."""
    document = to_json(capsule)
    many = {"facts": document.pop("facts"), "batches": document.pop("batches")}
    yield from (line.encode() for line in _head(document))
    for number, (log, facts) in enumerate(many["facts"].items()):
        yield f"{',' if number else ''}\n  {json.dumps(log)}: [".encode()
        yield from _lines(facts, "    ")
        yield b"]"
    yield b'\n },\n "batches": ['
    yield from _lines(many["batches"], "  ")
    yield b"]\n}\n"


def _head(document: Mapping[str, Any]) -> Iterable[str]:
    yield "{"
    for name, value in document.items():
        yield f"\n {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},"
    yield '\n "facts": {'


def _lines(values: Sequence[Any], indent: str) -> Iterable[bytes]:
    for number, value in enumerate(values):
        yield f"{',' if number else ''}\n{indent}{json.dumps(value, ensure_ascii=False)}".encode()


def _fact(position: int, event: Event) -> dict[str, Any]:
    state = dict(vars(event))
    del state["originator_id"]
    version, at = state.pop("originator_version"), state.pop("at")
    return {"position": position, "type": event.TOPIC, "version": version, "at": at.isoformat(), **state}


def _batch(row: BatchRow) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "account"}


def read(content: bytes) -> Capsule:
    """The capsule in a file, gzipped or not. Raises `CapsuleUnusable`."""
    document = _document(content)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CapsuleUnusable("this is not a capsule: `driverlink capsule ACCOUNT DRIVER` makes one")
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        raise CapsuleUnusable(
            f"the capsule has format {version}, and this version of Driver Sync reads up to {VERSION}: use a later one"
        )
    try:
        return _to_capsule(document)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as failure:
        raise CapsuleUnusable(f"the capsule is damaged ({type(failure).__name__}): make it again") from None


_TOO_MANY: Final = 2**53
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 3000
"""Far from the ends of the calendar, so that a replay can add to a time, and take from it."""


def _document(content: bytes) -> object:
    try:
        return json.loads(_unpacked(content))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        raise CapsuleUnusable("this is not a capsule, or it is cut off: it is neither JSON nor gzipped JSON") from None


def _unpacked(content: bytes) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        with gzip.open(BytesIO(content)) as packed:
            content = packed.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise CapsuleUnusable(f"the file is larger than any capsule: more than {LARGEST // 1_000_000} MB")
    return content


def _to_capsule(document: Mapping[str, Any]) -> Capsule:
    account = AccountId(_text(document["account"]))
    facts = {
        _text(log): [(int(each["position"]), to_event(each)) for each in entries]
        for log, entries in document["facts"].items()
    }
    if sum(map(len, facts.values())) > MOST_FACTS:
        raise CapsuleUnusable(f"the capsule has more than {MOST_FACTS:,} facts, which none has")
    if any(event.account != account for each in facts.values() for _, event in each):
        raise ValueError("a fact of another account")
    for each in facts.values():
        _check_places(each)
    batches = [{**each, "account": account} for each in document["batches"]]
    return Capsule(
        made_by=_text(document["made_by"]),
        made_at=_text(document["made_at"]),
        account=account,
        driver=PortalDriverId(_text(document["driver"])),
        is_erased=bool(document["is_erased"]),
        facts=facts,
        batches=msgspec.convert(batches, list[BatchRow]),
        unordered=int(document["unordered"]),
        dead_letters=msgspec.convert(document["dead_letters"], list[LetterOfCapsule]),
    )


def _check_places(facts: Facts) -> None:
    """See to it that each fact has a place, a version and a time that a log can have. Raises `ValueError`."""
    versions = [(event.originator_id, event.originator_version) for _, event in facts]
    positions = [position for position, _ in facts]
    if len({*versions}) < len(facts) or len({*positions}) < len(facts):
        raise ValueError("two facts at one place")
    if any(not 1 <= number < _TOO_MANY for number in (*positions, *(version for _, version in versions))):
        raise ValueError("a fact at a place that no log has")
    if any(event.at.utcoffset() is None or not _FIRST_YEAR <= event.at.year < _LAST_YEAR for _, event in facts):
        raise ValueError("a fact of a time that cannot be")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


_PLACEHOLDER: Final = UUID(int=0)


def to_event(stated: Mapping[str, Any]) -> Event:
    """The fact that a document states. Raises `KeyError`, `TypeError` and `ValueError`."""
    kind = Event.BY_TOPIC[stated["type"]]
    known = {each.name: each for each in fields(kind)}
    state = {name: value for name, value in stated.items() if name not in ("position", "type", "version")}
    state |= {"originator_id": _PLACEHOLDER, "originator_version": stated["version"]}
    state["at"] = datetime.fromisoformat(stated["at"])
    if surplus := state.keys() - known.keys():
        raise ValueError(f"fields that {kind.TOPIC} has not: {sorted(surplus)}")
    needed = {name for name, each in known.items() if each.default is MISSING and each.default_factory is MISSING}
    if lacking := needed - state.keys():
        raise ValueError(f"fields that {kind.TOPIC} lacks: {sorted(lacking)}")
    return with_own_id(msgspec.convert(state, kind))


def with_own_id(event: Event) -> Event:
    """The fact in the history that its own words name. Raises `TypeError` for one that a capsule never has."""
    return replace(event, originator_id=_stream_of(event))


def _stream_of(event: Event) -> UUID:
    account = AccountId(event.account)
    match event:
        case AccountEvent():
            return account_stream(account)
        case PortalDriverEvent():
            return portal_driver_stream(account, PortalDriverId(event.driver))
        case LinkEvent():
            return link_stream(account, Target(event.target), PortalDriverId(event.driver))
        case CallAnswered():
            return delivery_stream(account, Target(event.target), PortalDriverId(event.driver))
        case BreakerOpened() | BreakerClosed():
            return breaker_stream(account, Target(event.target))
        case ReportEvent():
            key = getattr(event, "key", None)
            target = Target(event.target)
            return target_driver_stream(account, target, Key(key)) if key else scan_stream(account, target)
    raise TypeError(f"{event.TOPIC} is nothing that a capsule has")
