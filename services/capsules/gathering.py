"""What goes into a capsule, found by keys in the stores of an installation: no log is read from its beginning.

Beside the facts about the driver itself, these are needed to decide the same again: the other drivers who had an
identifier in common with it, held or waited for one of its own, or are named by its decisions, and the target drivers
that any of them had.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final
from uuid import UUID

from domain.account import DeletesJudged, ReconciliationRequested, RetryRequested
from domain.driver_link import Decision, LinkEvent, Parked
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
from domain.matching import claims
from domain.outcomes import DriverLookedUp, RosterScanFailed, RosterScanned
from domain.portal import Change, PortalDriverEvent
from domain.profile import SPECS, is_erased
from domain.store import DeadLetter, Event, Store
from services.api.as_of import Logs, keys_of, related
from services.capsules.capsule import MOST_FACTS, Capsule, CapsuleUnusable, Facts, LetterOfCapsule
from services.decider.order import BatchRow, Chore
from services.decider.read_models import ClaimRow, ObservedRow, RosterIdentifier
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, outcomes_of

MOST_OTHERS: Final = 100
"""Other drivers in a capsule; who had an identifier in common are a handful, unless a list was wrong."""

_MOST_LETTERS: Final = 1000
"""Dead letters of a service that are looked through."""

_PAGE: Final = 100
_MOST_BATCHES: Final = 5000
"""Batches that are looked through for the one that handled a fact."""

_SKEW: Final = timedelta(seconds=5)
"""By how much the clock of a service may be ahead of the decider's."""


def gather(logs: Logs, account: AccountId, driver: PortalDriverId, *, made_by: str, now: datetime) -> Capsule:
    """Everything about a driver, not masked yet. Raises `CapsuleUnusable`, `StoreFailed`."""
    drivers = [driver, *_others(logs, account, driver)]
    facts = _facts(logs, account, driver, drivers)
    if sum(map(len, facts.values())) > MOST_FACTS:
        raise CapsuleUnusable(
            f"more than {MOST_FACTS:,} facts are about driver {driver}, which is too much for one file"
        )
    batches, unordered = _Order(logs[DECISIONS], account, driver).of(facts)
    return Capsule(
        made_by=made_by,
        made_at=now.isoformat(),
        account=account,
        driver=driver,
        is_erased=_is_erased(facts[CHANGES], driver),
        facts=facts,
        batches=batches,
        unordered=unordered,
        dead_letters=[*_dead_letters(logs, facts)],
    )


def _is_erased(changes: Facts, driver: PortalDriverId) -> bool:
    """Whether the driver's personal data was erased, at least that of before."""
    return any(is_erased(each.profile) for _, each in changes if isinstance(each, Change) and each.driver == driver)


def _others(logs: Logs, account: AccountId, driver: PortalDriverId) -> list[PortalDriverId]:
    """The other drivers on which decisions about this one depended, and those that these waited for in turn."""
    decider = logs[DECISIONS]
    found: dict[PortalDriverId, None] = dict.fromkeys(related(logs[CHANGES], account, driver))
    links = _links(decider, account, [driver])
    found |= dict.fromkeys(_named(chain.from_iterable(links.values())))
    found |= dict.fromkeys(_claimants(logs, account, driver, links))
    found.pop(driver, None)
    new = [*found]
    while new and len(found) <= MOST_OTHERS:
        named = _named(chain.from_iterable(_links(decider, account, new).values()), only_holders=True)
        new = [each for each in dict.fromkeys(named) if each not in found and each != driver]
        found |= dict.fromkeys(new)
    return [*found][:MOST_OTHERS]


def _links(decider: Store, account: AccountId, drivers: Sequence[PortalDriverId]) -> dict[Target, list[LinkEvent]]:
    found: dict[Target, list[LinkEvent]] = {}
    for target in Target:
        histories = decider.histories([link_stream(account, target, each) for each in drivers])
        found[target] = [each for each in chain.from_iterable(histories.values()) if isinstance(each, LinkEvent)]
    return found


def _named(facts: Iterable[LinkEvent], *, only_holders: bool = False) -> Iterator[PortalDriverId]:
    """The portal drivers that these facts name."""
    for fact in facts:
        if isinstance(fact, Parked) and fact.holder:
            yield PortalDriverId(fact.holder)
        if only_holders:
            continue
        conflict: Mapping[str, Any] = getattr(fact, "rationale", {}).get("evidence", {}).get("conflict", {})
        yield from (PortalDriverId(str(conflict[name])) for name in ("holder", "former") if conflict.get(name))


def _claimants(
    logs: Logs, account: AccountId, driver: PortalDriverId, links: Mapping[Target, Sequence[LinkEvent]]
) -> Iterator[PortalDriverId]:
    """Who has claimed what this driver ever wanted, and whose external id a target driver with that carries."""
    decider = logs[DECISIONS]
    stated = logs[CHANGES].histories([portal_driver_stream(account, driver)]).values()
    for target, facts in links.items():
        identifiers = {*_identifiers(target, driver, chain.from_iterable(stated), facts)}
        place = {"account": str(account), "target": str(target), "identifier": sorted(identifiers)}
        if not identifiers:
            continue
        yield from (PortalDriverId(row.driver) for row in decider.select(ClaimRow, place, limit=MOST_OTHERS))
        carriers = decider.select(RosterIdentifier, place, limit=MOST_OTHERS)
        place["identifier"] = sorted({each.driver for each in carriers})
        for row in decider.select(ObservedRow, place) if carriers else ():
            if carried := row.profile.get("portal_driver_id"):
                yield PortalDriverId(carried)


def _identifiers(
    target: Target, driver: PortalDriverId, stated: Iterable[Event], facts: Iterable[LinkEvent]
) -> Iterator[str]:
    """Every identifier that a driver ever wanted, or had, on a target."""
    for each in stated:
        if isinstance(each, Change):
            profile = {**each.profile, "portal_driver_id": driver}
            yield from claims(target, None, profile)
            for key in filter(None, map(profile.get, SPECS[target].key_fields)):
                yield from claims(target, Key(key), profile)
    for fact in facts:
        if isinstance(fact, Decision):
            yield from fact.claims
        if isinstance(fact, Parked) and fact.waits_for:
            yield fact.waits_for


def _keys(
    logs: Logs, account: AccountId, target: Target, driver: PortalDriverId, drivers: Sequence[PortalDriverId]
) -> set[Key]:
    """The target drivers that these drivers had, or that had what the driver wants."""
    decider = logs[DECISIONS]
    found = keys_of(decider, logs[outcomes_of(target)], account, target, drivers)
    facts = _links(decider, account, [driver])[target]
    for fact in facts:
        evidence: Mapping[str, Any] = getattr(fact, "rationale", {}).get("evidence", {})
        found |= {Key(str(evidence[name]["key"])) for name in ("linked", "found") if name in evidence}
    stated = logs[CHANGES].histories([portal_driver_stream(account, driver)]).values()
    identifiers = {*_identifiers(target, driver, chain.from_iterable(stated), facts)}
    place = {"account": str(account), "target": str(target), "identifier": sorted(identifiers)}
    carriers = decider.select(RosterIdentifier, place, limit=MOST_OTHERS) if identifiers else []
    place["identifier"] = sorted({each.driver for each in carriers})
    return found | {Key(row.key) for row in (decider.select(ObservedRow, place) if carriers else ())}


def _facts(
    logs: Logs, account: AccountId, driver: PortalDriverId, drivers: Sequence[PortalDriverId]
) -> dict[str, list[tuple[int, Event]]]:
    """By log the facts that concern the driver, in its order."""
    streams: dict[str, Iterable[UUID]] = {
        ACCOUNTS: [account_stream(account)],
        CHANGES: [portal_driver_stream(account, each) for each in drivers],
        DECISIONS: [link_stream(account, target, each) for target in Target for each in drivers],
    }
    for target in Target:
        streams[outcomes_of(target)] = [
            scan_stream(account, target),
            breaker_stream(account, target),
            *(delivery_stream(account, target, each) for each in drivers),
            *(target_driver_stream(account, target, key) for key in _keys(logs, account, target, driver, drivers)),
        ]
    found: dict[str, list[tuple[int, Event]]] = {}
    for log, ids in streams.items():
        records = chain.from_iterable(logs[log].records([*ids]).values())
        placed = [(each.position, each.event) for each in records if each.event]
        found[log] = sorted(placed, key=lambda each: each[0])
    known = frozenset(drivers)
    scans = {_scan_of(each) for _, each in found[DECISIONS] if isinstance(each, LinkEvent) and each.driver == driver}
    found[ACCOUNTS] = [(at, told) for at, each in found[ACCOUNTS] if (told := _of_account(each, driver, known))]
    for target in Target:
        found[outcomes_of(target)] = _without_idle_scans(found[outcomes_of(target)], driver, scans)
    return found


def _of_account(event: Event, driver: PortalDriverId, known: frozenset[PortalDriverId]) -> Event | None:
    """What of the account's facts concerns the driver: its policy, and what people asked about it."""
    match event:
        case DeletesJudged():
            holds = [hold for hold in event.holds if hold[0] in known]
            return replace(event, holds=holds) if holds else None
        case RetryRequested() | ReconciliationRequested() if event.driver not in ("", driver):
            return None
    return event


def _scan_of(fact: LinkEvent) -> tuple[str, str]:
    """The scan by which something was decided, as target and version."""
    rationale: Mapping[str, Any] = getattr(fact, "rationale", {})
    return (fact.target, str(rationale.get("ref", ""))) if rationale.get("trigger") == "scan" else ("", "")


def _without_idle_scans(facts: Facts, driver: PortalDriverId, scans: set[tuple[str, str]]) -> list[tuple[int, Event]]:
    """Without the scans of each day that changed nothing for the driver: they would be most of a capsule."""
    kept: list[tuple[int, Event]] = []
    policy_generation = -1
    for at, event in facts:
        match event:
            case RosterScanned():
                is_first = event.policy_generation != policy_generation
                policy_generation = event.policy_generation
                if not is_first and (event.target, str(event.originator_version)) not in scans:
                    continue
                kept.append((at, replace(event, unreadable_records=[])))
                continue
            case RosterScanFailed():
                continue
            case DriverLookedUp() if event.driver != driver:
                continue
        kept.append((at, event))
    return kept


class _Order:
    """Finds the batches in which the decider handled facts: a batch is stored by the moment of its decisions."""

    def __init__(self, decider: Store, account: AccountId, driver: PortalDriverId) -> None:
        self._decider = decider
        self._account = account
        self._driver = driver
        self._found: dict[tuple[int, str, str], BatchRow] = {}
        self._handled: set[tuple[str, int | str]] = set()

    def of(self, facts: Mapping[str, Facts]) -> tuple[list[BatchRow], int]:
        """The batches with what they handled of these facts, in order, and how many facts are in none of them."""
        for at in sorted({each.at for _, each in facts[DECISIONS]}):
            self._at(at)
        consumed = {log: placed for log, placed in facts.items() if log != DECISIONS}
        found = [self._handling(log, position, event.at) for log in consumed for position, event in consumed[log]]
        positions = {log: {at for at, _ in placed} for log, placed in consumed.items()}
        mine = (self._mine(row, positions) for _, row in sorted(self._found.items()))
        return [each for each in mine if each], found.count(False)

    def _mine(self, row: BatchRow, positions: Mapping[str, set[int]]) -> BatchRow | None:
        """A batch as far as it is about these facts, or the driver; None where it is not."""
        if row.work in positions:
            handled: list[int | str] = [each for each in row.handled if each in positions[row.work]]
            return replace(row, handled=handled) if handled else None
        if row.work == Chore.LOOKS:
            return replace(row, handled=[self._driver]) if self._driver in row.handled else None
        return row if row.work in (Chore.RECONCILIATION, Chore.RETRY) else None

    def _at(self, at: datetime) -> None:
        """Note the batches of this moment."""
        for row in self._behind(at):
            if datetime.fromisoformat(row.at) > at:
                return
            if datetime.fromisoformat(row.at) == at:
                self._note(row)

    def _handling(self, log: str, position: int, at: datetime) -> bool:
        """Note the batch that handled this fact of a log; whether there is one."""
        if (log, position) in self._handled:
            return True
        for row in self._behind(at - _SKEW):
            if row.work != log:
                continue
            if position in row.handled:
                self._note(row)
                return True
            if max(int(each) for each in row.handled) > position:
                return False
        return False

    def _behind(self, at: datetime) -> Iterator[BatchRow]:
        """The batches from this moment on, in order, as many as are looked through. Raises `StoreFailed`."""
        after: tuple[int, str, str] = (int(at.timestamp() * 1_000_000) - 1, "~", "~")
        for _ in range(_MOST_BATCHES // _PAGE):
            page = self._decider.select(
                BatchRow,
                {"account": self._account},
                order_by=("number", "work", "target"),
                after=after,
                limit=_PAGE,
            )
            yield from page
            if len(page) < _PAGE:
                return
            after = (page[-1].number, page[-1].work, page[-1].target)

    def _note(self, row: BatchRow) -> None:
        self._found[row.number, row.work, row.target] = row
        self._handled.update((row.work, each) for each in row.handled)


def _dead_letters(logs: Logs, facts: Mapping[str, Facts]) -> Iterator[LetterOfCapsule]:
    """The records among these that a service could not handle, of those that are kept."""
    ids = {
        f"{event.originator_id}/{event.originator_version}": event
        for each in facts.values()
        for _, event in each
        if isinstance(event, LinkEvent | PortalDriverEvent) or hasattr(event, "driver")
    }
    for log, store in logs.items():
        for row in store.select(DeadLetter, order_by=("stream", "position"), after=("", -1), limit=_MOST_LETTERS):
            if event := ids.get(row.id):
                yield LetterOfCapsule(
                    service=log,
                    type=event.TOPIC,
                    version=event.originator_version,
                    reason=row.reason,
                    at=row.at,
                )
