"""The state of every link as one record, for those who do not want its history; nothing in it is personal.

A record says how a link stands now, in the words of `driverlink status`, and takes the place of the one before with its
key. A link that has ended, or was erased, has a tombstone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from domain.driver_link import Confirmed, DriverLink, LinkEvent, apply, unlinked
from domain.identity import AccountId, PortalDriverId, Target
from domain.profile import EXTERNAL_ID, chosen
from domain.store import Event, Record, Store, pages
from services.decider.read_models import LinkRow, to_link_row

STATES: Final = "driver-links.state.v1"
"""The topic that has them."""

TYPE: Final = "DriverLink.State"
"""What its records are called."""

_EXTERNAL_IDS: Final = (*EXTERNAL_ID.fields, "driveri_driver_id")
"""What of a profile is an id that a target keeps for us."""

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSnapshot:
    """A link, when it changed last, and the version and moment of its last `Confirmed`; 0 and None: there was none.

    `position` is where the log says of it what led here.
    """

    link: DriverLink
    position: int = 0
    at: datetime | None = None
    confirmed_version: int = 0
    confirmed_at: datetime | None = None

    @property
    def key(self) -> bytes:
        """By which its records follow one another."""
        return key_of_link(self.link.account, self.link.target, self.link.driver)

    def to_json(self) -> dict[str, Any] | None:
        """What a record says; None where there is no link any more."""
        row = to_link_row(self.link)
        if row.state == "ended":
            return None
        confirmed = self.link.confirmed or {}
        return {
            "account": row.account,
            "target": row.target,
            "driver": row.driver,
            "state": row.state,
            "reason": row.reason,
            "key": row.key or None,
            "external_ids": chosen(confirmed, _EXTERNAL_IDS) if row.target == Target.MOTIVE else {},
            "version": row.version,
            "at": _moment(self.at),
            "confirmed_version": self.confirmed_version,
            "confirmed_at": _moment(self.confirmed_at),
        }

    def to_record(self) -> Record:
        """The record; one without a body is a tombstone."""
        stated = self.to_json()
        return _record(
            self.key,
            id=f"{self.link.id}/{self.link.version}",
            body=b"" if stated is None else json.dumps(stated, separators=(",", ":")).encode(),
            target=self.link.target,
            position=self.position,
        )


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def key_of_link(account: str, target: str, driver: str) -> bytes:
    """The key of a link's records: a JSON list, because ids may hold any separator."""
    return json.dumps([account, target, driver], separators=(",", ":"), ensure_ascii=False).encode()


def tombstone(key: bytes) -> Record:
    """Says that there is no link of this key."""
    return _record(key, id="", body=b"", target="", position=0)


def _record(key: bytes, *, id: str, body: bytes, target: str, position: int) -> Record:  # noqa: A002 - the record's word
    return Record(
        position=position,
        log_position=position,
        id=id,
        topic=TYPE,
        body=body,
        decode=lambda: (None, "it is the state of a link, and not an event"),
        target=target,
        key=key,
    )


def changed_states(decider: Store, records: Sequence[Record]) -> Sequence[Record]:
    """How the links stand now that these records of the decider's log are about. Raises `StoreFailed`."""
    last: dict[UUID, tuple[int, LinkEvent]] = {}
    for record in records:
        if isinstance(record.event, LinkEvent):
            last[record.event.originator_id] = record.position, record.event
    links = {
        id: LinkSnapshot(link=_unlinked(fact.account, fact.target, fact.driver), position=position)
        for id, (position, fact) in last.items()  # noqa: A001 - the history's word
    }
    return [state.to_record() for state in _folded(decider, links).values()]


def all_states(decider: Store) -> Iterator[Sequence[Record]]:
    """How every link stands that has not ended, page by page. Raises `StoreFailed`."""
    end = decider.log.end()
    for page in pages(decider, LinkRow, {}, LinkRow.KEY, limit=_PAGE):
        links = {
            link.id: LinkSnapshot(link=link, position=end)
            for link in (_unlinked(row.account, row.target, row.driver) for row in page)
        }
        records = [state.to_record() for state in _folded(decider, links).values()]
        yield [record for record in records if record.body]


def _unlinked(account: str, target: str, driver: str) -> DriverLink:
    return unlinked(AccountId(account), Target(target), PortalDriverId(driver))


def _folded(decider: Store, links: Mapping[UUID, LinkSnapshot]) -> Mapping[UUID, LinkSnapshot]:
    return decider.folded(links, _after) if links else {}


def _after(state: LinkSnapshot, event: Event) -> LinkSnapshot:
    state = replace(state, link=apply(state.link, event), at=event.at)
    if isinstance(event, Confirmed):
        return replace(state, confirmed_version=event.originator_version, confirmed_at=event.at)
    return state
