"""How links stand, and what they claim: the first link that wished a mark has it.

Who was first, the histories of two links do not say; where several links ever had a mark, which is rare, their events
go once more through a ledger, in the order of the log.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from domain.driver_link import Confirmed, Decision, DeleteDecided, DriverLink, LinkEvent, apply
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream
from domain.ledger import Ledger, claims_of
from domain.storing import Row, Store, Stored, Unit
from domain.wish import claims
from services.decider.read_models import ClaimRow, to_delete_row, to_link_row
from services.rebuilding.histories import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant(ClaimRow):
    """A driver whose link has had a mark for it, and whether it still has."""

    TABLE: ClassVar[str] = "claimants"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "mark", "driver")

    is_held: bool


def links(_: Store, histories: Sequence[History]) -> Unit:
    """How every link stands, what it claims and ever claimed, and the deletes that the guard counts."""
    unit = Unit()
    for history in histories:
        events = [event for _, event in history if isinstance(event, LinkEvent)]
        unit.keep(_rows_of(events) if events else ())
    return unit


def _rows_of(events: Sequence[LinkEvent]) -> Iterator[Row]:
    link, ever = _unlinked(events[0]), set[str]()
    for event in events:
        ever |= _claimed_by(event, link)
        link = apply(link, event)
        if isinstance(event, DeleteDecided) and event.key:
            yield to_delete_row(event)
    yield to_link_row(link)
    held = claims_of(link)
    for mark in ever:
        yield Claimant(account=link.account, target=link.target, mark=mark, driver=link.driver, is_held=mark in held)


def _claimed_by(event: LinkEvent, link: DriverLink) -> frozenset[str]:
    """What a link may claim anew by an event; what it confirms was claimed when it was decided, but for the key."""
    match event:
        case Decision(wished_key=wished_key):
            return claims(link.target, Key(wished_key) if wished_key else None, event.profile)
        case Confirmed(key=str() as key) if key != link.key or link.said(event.decision) is None:
            return claims(link.target, Key(key), event.profile)
    return frozenset()


def _unlinked(event: LinkEvent) -> DriverLink:
    return DriverLink(
        account=AccountId(event.account), target=Target(event.target), driver=PortalDriverId(event.driver)
    )


def claim_rows(beside: Store, store: Store) -> Iterator[Stored]:
    """The rows of `ClaimRow`, as they are stored, in the order of keys."""
    for place, claimants in groupby(beside.scan(Claimant), key=lambda values: values[:3]):
        several = list(claimants)
        if len(several) > 1:
            holder = _holder(store, str(place[2]), several)
            yield from [(*place, holder)] if holder else []
        elif several[0][4]:
            yield several[0][:4]


def _holder(store: Store, mark: str, claimants: Sequence[Stored]) -> PortalDriverId | None:
    ids = [
        link_stream(AccountId(str(account)), Target(str(target)), PortalDriverId(str(driver)))
        for account, target, _, driver, _ in claimants
    ]
    records = (record for records in store.records(ids).values() for record in records)
    events = [each.event for each in sorted(records, key=lambda record: record.position)]
    ledger = Ledger(Target(str(claimants[0][1])))
    standing: dict[str, DriverLink] = {}
    for event in events:
        if isinstance(event, LinkEvent):
            before = standing.get(event.driver) or _unlinked(event)
            standing[event.driver] = apply(before, event)
            ledger.record(before, standing[event.driver], (event,))
    return ledger.holder(mark)
