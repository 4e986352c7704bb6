"""What a driver with a temporary key or value gets of its own: the wished one if it is free, else the former one.

It is written with nothing else, so that no other field which the target refuses can keep the driver from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from domain.driver_link import DriverLink
from domain.identity import Key, Target
from domain.ledger import Ledger
from domain.profile import Profile
from domain.wish import Wish, key_mark, mark_of, temporary_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnValues:
    """The key, and the profile that the target has confirmed, with these fields in place of temporary ones."""

    key: Key
    profile: Profile
    fields: tuple[str, ...]


def own_values(wish: Wish, link: DriverLink, ledger: Ledger) -> OwnValues | None:
    """What the driver gets; None if it has nothing temporary, or none of its own values is free."""
    if link.key is None or link.confirmed is None or not link.is_aside:
        return None
    key = _own_key(wish, link, ledger) if link.key == link.temporary_key else link.key
    fields = dict(_own_fields(wish, link, ledger, link.confirmed))
    if key is None or (key == link.key and not fields):
        return None
    return OwnValues(key=key, profile={**link.confirmed, **fields}, fields=tuple(sorted(fields)))


def _own_key(wish: Wish, link: DriverLink, ledger: Ledger) -> Key | None:
    if wish.key and ledger.is_free(link, key_mark(link.target, wish.key)):
        return wish.key
    former = link.former_key
    return former if former and ledger.is_free(link, key_mark(link.target, former)) else None


def _own_fields(wish: Wish, link: DriverLink, ledger: Ledger, confirmed: Profile) -> Iterator[tuple[str, str]]:
    if link.target is Target.DRIVERI:
        return
    for field in temporary_fields(confirmed, link.temporary_key):
        for text in (wish.profile.get(field), link.former.get(field)):
            mark = mark_of(link.target, {**confirmed, field: text}, field) if text else ""
            if text and mark and ledger.is_free(link, mark):
                yield field, text
                break
