"""What a log of decisions and a sandbox's journal have to show when every change is decided once, and done once."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from domain.driver_link import Confirmed, CreateDecided, Decision, DeleteHeld, DeleteRecalled, LinkEvent, Parked
from domain.identity import Target
from domain.portal import Change
from domain.store import Event, Stream
from services.sandbox.demo import NO_TLS
from tests.support.hanging import HANGS

Json = dict[str, Any]

Decided = Decision | DeleteHeld | Parked
"""What is said of a link because of something, at most once for each cause."""

Place = tuple[str, str, str, str]
"""A change at a link: account, target, driver, and the change's sequence."""

_PAGE = 500


def events_of(log: Stream) -> list[Event]:
    """Every event of a log, in order."""
    position, events = 0, []
    while page := log.read(position, _PAGE):
        events += [record.event for record in page if record.event]
        position = page[-1].position
    return events


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How often each change, where it is, was answered by a decision."""

    counted: Counter[Place]

    def repeated(self) -> list[Place]:
        """The changes that were decided more than once."""
        return [place for place, times in self.counted.items() if times > 1]

    def missing(self, changes: Iterable[Change]) -> list[Place]:
        """Those of these changes that were not decided, by target."""
        return [
            place for change in changes for target in Target if (place := _place(change, target)) not in self.counted
        ]


def answered(decisions: Iterable[Event]) -> Answered:
    """How often each change was decided: by a decision because of it, or by the recall of a delete that was held."""
    counted: Counter[Place] = Counter()
    held: dict[tuple[str, str, str], int] = {}
    for event in decisions:
        if isinstance(event, DeleteHeld):
            held[event.account, event.target, event.driver] = event.sequence
        if isinstance(event, DeleteRecalled):
            link = (event.account, event.target, event.driver)
            counted[(*link, str(held[link] + 1))] += 1
        if isinstance(event, Decided) and event.rationale.get("trigger") == "change":
            counted[event.account, event.target, event.driver, event.rationale["ref"]] += 1
    return Answered(counted=counted)


def said_twice(decisions: Iterable[Event]) -> list[tuple[object, ...]]:
    """What was decided more than once for the same cause and the same desired state."""
    said = Counter(
        (each.account, each.target, each.driver, type(each).__name__, str(each.rationale), each.sequence)
        for each in decisions
        if isinstance(each, Decided)
    )
    return [each for each, times in said.items() if times > 1]


def out_of_order(decisions: Iterable[Event]) -> list[tuple[str, str, str, int, int]]:
    """Where a link was decided for an older change after it had been for a newer one, with both sequences."""
    newest: dict[tuple[str, str, str], int] = {}
    fallen = []
    for each in decisions:
        if isinstance(each, Decided):
            link = (each.account, each.target, each.driver)
            if each.sequence < newest.get(link, 0):
                fallen.append((*link, newest[link], each.sequence))
            newest[link] = each.sequence
    return fallen


def created(decisions: Collection[Event], target: Target) -> int:
    """The drivers that were to be created at this target, and are there now."""
    there = [event for event in decisions if isinstance(event, LinkEvent) and event.target == target]
    wanted = {(each.account, each.driver) for each in there if isinstance(each, CreateDecided)}
    confirmed = {(each.account, each.driver) for each in there if isinstance(each, Confirmed)}
    return len(wanted & confirmed)


def repeated_effects(journal: Sequence[Json]) -> list[tuple[str, ...]]:
    """Writes that had just the same effect twice."""
    named = ("driver", "method", "path", "created", "changed", "before", "after", "fingerprint")
    effects = Counter(
        tuple(str(entry[name]) for name in named) for entry in journal if entry["created"] or entry["changed"]
    )
    return [each for each, times in effects.items() if times > 1]


async def journal_of(address: str) -> list[Json]:
    """Every write that reached a sandbox."""
    entries: list[Json] = []
    async with httpx.AsyncClient(timeout=HANGS, verify=NO_TLS) as client:
        while True:
            after = entries[-1]["number"] if entries else 0
            answer = await client.get(f"{address}/sandbox/journal", params={"after": after, "limit": 1000})
            journal = answer.raise_for_status().json()
            assert journal["dropped"] == 0, "the sandbox had more writes than its journal keeps"
            page = journal["entries"]
            if not page:
                return entries
            entries += page


def _place(change: Change, target: Target) -> Place:
    return change.account, str(target), change.driver, str(change.sequence)
