"""Webhooks: what subscribers are sent about drivers, and when it is sent again.

A message has no personal data: ids, keys, the reason, and where to read the explanation.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from uuid import UUID

from domain.driver_link import Confirmed, Decision, DeleteHeld, LinkEvent, Parked, UpdateDecided
from domain.failures import LONGEST_WAIT, doubled, spread


class MessageType(StrEnum):
    """What a message says; a subscriber chooses among these."""

    LINKED = "driver.linked"
    RENAMED = "driver.renamed"
    DELETED = "driver.deleted"
    PARKED = "driver.parked"
    HELD = "driver.held"
    NEEDS_PERSON = "driver.needs_person"


class MessageState(StrEnum):
    """What became of a message: those that are parked are not tried again unless a person asks."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"


PING: Final = "webhook.ping"
"""The type of a message that a person asked for, to see whether it arrives."""

OBSERVED: Final = "observed"
"""The reason where the target showed something that no decision of ours had asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedLink:
    """A link as far as messages follow from it: its key, and the last decision that can change that, with its reason.

    `version` is that of the last fact that changed any of this.
    """

    version: int = 0
    key: str = ""
    decided: int = 0
    situation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """What a message is to say of a driver: `key` is its key on the target now, `former_key` the one before."""

    type: MessageType
    reason: str
    key: str = ""
    former_key: str = ""


Followed = tuple[NamedLink, tuple[Occurrence, ...]]


def follow(link: NamedLink, event: LinkEvent) -> Followed:
    """The link after this fact, and what there is to say of that; one that is older than the link changes nothing."""
    version = event.originator_version
    if version <= link.version:
        return link, ()
    match event:
        case UpdateDecided():
            return link, ()
        case Decision():
            situation = event.rationale.get("situation", "")
            return replace(link, version=version, decided=version, situation=situation), ()
        case Confirmed():
            return _confirmed(link, event)
        case Parked():
            return link, _set_aside(MessageType.PARKED, event.reason, link.key, needs_person=not _is_passing(event))
        case DeleteHeld():
            return link, _set_aside(MessageType.HELD, event.rationale.get("situation", ""), event.key)
    return link, ()


def _confirmed(link: NamedLink, event: Confirmed) -> Followed:
    key = event.key or ""
    if key == link.key:
        return link, ()
    reason = link.situation if event.decision and event.decision == link.decided else OBSERVED
    kind = MessageType.RENAMED if link.key and key else MessageType.LINKED if key else MessageType.DELETED
    said = Occurrence(type=kind, reason=reason, key=key, former_key=link.key)
    return replace(link, version=event.originator_version, key=key), (said,)


def _set_aside(kind: MessageType, reason: str, key: str, *, needs_person: bool = True) -> tuple[Occurrence, ...]:
    kinds = (kind, MessageType.NEEDS_PERSON) if needs_person else (kind,)
    return tuple(Occurrence(type=each, reason=reason, key=key) for each in kinds)


def _is_passing(parked: Parked) -> bool:
    """Whether it is over as soon as the others of a circle have moved, so that no person has to do anything."""
    return "swap" in parked.rationale.get("evidence", {}).get("conflict", {})


RETRY_SCHEDULE: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds before each further try of a message, up to a tenth more: three days and a bit in all.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Retries".
"""


def wait_after(tries: int, message: UUID, asked_for: float = 0.0) -> float | None:
    """Seconds until the next try after this many failed ones; None: there is none.

    A receiver that asks for more gets it, up to the longest wait of the schedule; there are no more tries for it.
    """
    if tries > len(RETRY_SCHEDULE):
        return None
    return max(spread(RETRY_SCHEDULE[tries - 1], message, tries), min(asked_for, RETRY_SCHEDULE[-1]))


def pause_after(failures: int, asked_for: float = 0.0) -> float:
    """Seconds for which an endpoint gets nothing after this many failures in a row; one alone pauses nothing.

    A receiver that asks for more gets it, up to the longest pause.
    """
    return max(doubled(failures - 2) if failures > 1 else 0.0, min(asked_for, LONGEST_WAIT))


_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator: what reaches such an address reaches the one within. Source: RFC 6052."""

_LOCALLY_TRANSLATED: Final = IPv6Network("64:ff9b:1::/48")
"""The same within one network. Source: RFC 8215."""


def is_public_address(address: str) -> bool:
    """Whether an IP address is one of the public internet, and not of this machine, a private network or a link."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        within = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            within = IPv4Address(int(found) & 0xFFFF_FFFF)
        if within is not None:
            return is_public_address(str(within))
        if found in _LOCALLY_TRANSLATED:
            return False
    return found.is_global and not found.is_multicast


def is_loopback_address(address: str) -> bool:
    """Whether an IP address is one of this machine."""
    return ip_address(address.partition("%")[0]).is_loopback
