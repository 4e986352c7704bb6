"""Whether a user in Motive who carries our external id of another portal driver answers to a weaker identifier.

Our external id is the strongest identifier: such a user was, or is, another portal driver. RefID, e-mail and licence
lead to that user only if nothing speaks against it being the same person.

| licence of both    | RefID of both     | e-mail of both    | the user's own portal driver | answers |
| ------------------ | ----------------- | ----------------- | ---------------------------- | ------- |
| any                | any               | any               | the Portal still has it      | no      |
| the same           | any               | any               | gone, or unknown             | yes     |
| another            | any               | any               | gone, or unknown             | no      |
| not known of both  | another           | any               | gone, or unknown             | no      |
| not known of both  | any               | another           | gone, or unknown             | no      |
| not known of both  | the same          | the same, unknown | gone, or unknown             | yes     |
| not known of both  | not known of both | the same          | gone, or unknown             | no      |

A licence belongs to a person for good, and a RefID is what the fleet itself calls a person. An e-mail address is
passed on to the next one, so it alone proves nothing. A name is never compared.
"""

from collections.abc import Collection, Mapping

from domain.identity import PortalDriverId
from domain.roster import TargetDriver
from domain.wish import Wish, marks

STILL_THERE = "the Portal still has that driver"
UNPROVEN = "nothing but the e-mail is the same"
_DIFFERENT: Mapping[str, str] = {
    "licence": "the licences are different",
    "ref": "the RefIDs are different",
    "email": "the e-mails are different",
}


def former_driver(wish: Wish, shown: TargetDriver) -> PortalDriverId | None:
    """The other portal driver whose external id this target driver carries, if it does."""
    carried = shown.profile.get("portal_driver_id", "")
    return PortalDriverId(carried) if carried.casefold() not in ("", wish.driver.casefold()) else None


def speaks_against(wish: Wish, shown: TargetDriver, wanted: Collection[PortalDriverId]) -> str:
    """What speaks against a target driver, who was another portal driver, being this one; empty if nothing does.

    `wanted` are the portal drivers that the Portal has now, as far as they matter.
    """
    former = former_driver(wish, shown)
    if former is None:
        return ""
    if former in wanted:
        return STILL_THERE
    same, different = _compared(wish, shown)
    if "licence" in same:
        return ""
    against = next((words for kind, words in _DIFFERENT.items() if kind in different), "")
    return against or ("" if "ref" in same else UNPROVEN)


def _compared(wish: Wish, shown: TargetDriver) -> tuple[set[str], set[str]]:
    """The kinds of identifiers that both have the same, and those that both have and that differ."""
    wished, carried = _by_kind(wish.marks), _by_kind(marks(wish.target, None, shown.profile))
    both = wished.keys() & carried.keys() & _DIFFERENT.keys()
    same = {kind for kind in both if wished[kind] == carried[kind]}
    return same, both - same


def _by_kind(found: Collection[str]) -> dict[str, str]:
    return {mark.partition(":")[0]: mark for mark in found}
