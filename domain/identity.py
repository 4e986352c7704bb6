"""Who is who: accounts, portal drivers, targets, keys, and the ids derived from them."""

from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal, NewType
from uuid import UUID, uuid5

AccountId = NewType("AccountId", str)
PortalDriverId = NewType("PortalDriverId", str)
Key = NewType("Key", str)
"""How a target names a driver: the DriverID in Driveri, the user id (digits) in Motive."""

_NAMESPACE = UUID("5d7c1f2e-6f0c-5b9e-8a53-0f6e1c9d4b11")


class Target(StrEnum):
    """A system that must mirror the Portal; found by its name, too, wherever one is looked up."""

    __hash__ = str.__hash__

    DRIVERI = "driveri"
    MOTIVE = "motive"


PORTAL: Final = "portal"

Connectable = Target | Literal["portal"]
"""What an account has credentials at: a target, or the Portal itself."""


PushSender = Literal["portal", "motive"]
"""Who pushes to us, signed by a secret of the account."""


@lru_cache(maxsize=16_384)
def _stream_id(*parts: str) -> UUID:
    return uuid5(_NAMESPACE, "\x1f".join(parts))


def account_stream(account: AccountId) -> UUID:
    """The id of an account's history: the same in any letter case, so that no two accounts differ only by that."""
    return _stream_id("account", account.lower())


def erasure_stream(account: AccountId) -> UUID:
    """The id of the history of when a log was rid of what it had of an account."""
    return _stream_id("erasure", account)


def signed_roots_stream() -> UUID:
    """The id of the history of the roots that were signed."""
    return _stream_id("signed-roots")


def archived_history_stream() -> UUID:
    """The id of the history of which parts of the logs were archived."""
    return _stream_id("archived-history")


def portal_driver_stream(account: AccountId, driver: PortalDriverId) -> UUID:
    """The id of a portal driver's history."""
    return _stream_id("portal-driver", account, driver)


def link_stream(account: AccountId, target: Target, driver: PortalDriverId) -> UUID:
    """The id of a DriverLink: never derived from a DriverID, which can be renamed."""
    return _stream_id("driver-link", account, target, driver)


def temporary_id(account: AccountId, target: Target, driver: PortalDriverId) -> str:
    """The id of a driver on a target while others of a circle move: the same each time, and unique to it."""
    return f"tmp-{link_stream(account, target, driver).hex[:12]}"


def delivery_stream(account: AccountId, target: Target, driver: PortalDriverId) -> UUID:
    """The id of the history of what one target answered about one link."""
    return _stream_id("delivery", account, target, driver)


def target_driver_stream(account: AccountId, target: Target, key: Key) -> UUID:
    """The id of the history of what was seen of one target driver."""
    return _stream_id("target-driver", account, target, key)


def breaker_stream(account: AccountId, target: Target) -> UUID:
    """The id of the history of when one account could reach one target, and when not."""
    return _stream_id("breaker", account, target)


def reconciliation_stream(account: AccountId, target: Target) -> UUID:
    """The id of the history of the reconciliations of one account on one target."""
    return _stream_id("reconciliation", account, target)


def scan_stream(account: AccountId, target: Target) -> UUID:
    """The id of the history of the scans of one roster."""
    return _stream_id("scan", account, target)
