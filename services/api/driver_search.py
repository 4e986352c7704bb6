"""`/accounts/{account}/drivers`: the drivers of an account, found by name, e-mail or any id that they ever had."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from json import dumps, loads
from operator import attrgetter
from typing import Annotated, Self

from fastapi import Query

from domain.cleaning import LONGEST, clean, folded
from domain.identity import AccountId, Target
from domain.profile import Profile
from domain.store import FILLED, Store, Where, pages
from services.api.explanation_text import field_name, shown_name
from services.api.naming import NamedTarget
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, ResponseBody
from services.decider.read_models import DesiredRow, LinkRow
from services.intake.read_models import LONGEST_TERM, SEARCHED_IDS, KnownDriver, SearchTerm, search_terms

router = new_router("drivers", prefix="/accounts/{account}/drivers")

STATES = ("in_sync", "pending", "parked", "held", "kept", "ended", "undecided")
"""How a driver can stand on a target."""

MOST_LISTED = 100
"""Drivers in one response."""

MOST_LOOKED_AT = 20_000
"""Drivers that are looked at for one list, where most of them are not in it."""


class ListedState(ResponseBody):
    """How a driver stands on one target; `reason` says why it is parked, if it is."""

    target: str
    state: str
    key: str
    reason: str


class ListedDriver(ResponseBody):
    """A portal driver, for people who may see its name.

    `found_by` says by what a search found it: an id, the name or the e-mail; `former` is the same where that is an id
    that it had once, and has no more.
    """

    driver: str
    name: str
    email: str
    ref_id: str
    driveri_driver_id: str
    is_wanted: bool
    found_by: str
    former: str
    targets: tuple[ListedState, ...]


class DriverPage(ResponseBody):
    """Some of the drivers. `next` is the `after` of the next page, None at the end; a page before it may be empty."""

    drivers: tuple[ListedDriver, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class _FoundBy:
    """By which field a driver was found, in words; empty where nothing was searched for."""

    field: str = ""
    is_former: bool = False

    @classmethod
    def of(cls, term: SearchTerm, profile: Profile) -> Self:
        field = _WORDS.get(term.field) or field_name(term.field)
        return cls(field, (term.field, term.term) not in search_terms(term.driver, profile))


_WORDS = {"driver": "portal id", "name": "name"}
"""The fields by which drivers are found that are not those of a profile, in words."""

_LISTED = _FoundBy()


def names_of(decider: Store, account: str, drivers: Collection[str]) -> dict[str, str]:
    """The names of these drivers, for people who may see them. Raises `StoreFailed`."""
    rows = decider.select(DesiredRow, {"account": account, "driver": sorted(set(drivers))}) if drivers else []
    return {row.driver: shown_name(row.profile, row.erased) for row in rows}


def in_state(
    decider: Store, account: str, targets: Sequence[Target], state: str, reason: str, *, after: str, limit: int
) -> DriverPage:
    """The next drivers, behind this one, that stand so on one of these targets; empty: any. Raises `StoreFailed`."""
    if state == "undecided":
        return _undecided(decider, account, targets, after=after, limit=limit)
    if not (state or reason):
        return _all_wanted(decider, account, after=after, limit=limit)
    where: Where = {"account": account, "target": [*map(str, targets)]}
    where = {**where, **({"state": state} if state else {}), **({"reason": reason} if reason else {})}
    # A driver has at most one row for each target, so these are enough for that many drivers.
    links = decider.select(LinkRow, where, order_by="driver", after=after, limit=limit * len(targets))
    drivers = list(dict.fromkeys(row.driver for row in links))
    is_full = len(links) == limit * len(targets) or len(drivers) > limit
    return _to_page(decider, account, dict.fromkeys(drivers[:limit], _LISTED), drivers[:limit][-1] if is_full else "")


def _undecided(decider: Store, account: str, targets: Sequence[Target], *, after: str, limit: int) -> DriverPage:
    """The drivers that the Portal wants and that lack a link on one of these targets."""
    found: list[str] = []
    seen, last = 0, ""
    for page in pages(decider, DesiredRow, {"account": account}, "driver", after=after):
        drivers = _wanted(page)
        where: Where = {"account": account, "target": [*map(str, targets)], "driver": drivers}
        links = decider.count(LinkRow, where, by=["driver"])
        for driver in drivers:
            last = driver
            if links.get((driver,), 0) < len(targets):
                found.append(driver)
            if len(found) == limit:
                return _to_page(decider, account, dict.fromkeys(found, _LISTED), last)
        seen += len(page)
        if seen >= MOST_LOOKED_AT:
            return _to_page(decider, account, dict.fromkeys(found, _LISTED), page[-1].driver)
    return _to_page(decider, account, dict.fromkeys(found, _LISTED), "")


def search(decider: Store, intake: Store, account: AccountId, text: str, *, after: str, limit: int) -> DriverPage:
    """The next drivers, deleted ones too, with a word of the name, an e-mail or any id ever that begins like this.

    They come in the order of what they are found by. Only terms are looked at that begin so, at most `limit` of them.
    Raises `StoreFailed`, and `Malformed` for a cursor that is not one.
    """
    wanted = folded(text)[:LONGEST_TERM]
    behind = _from_cursor(after) if after else (wanted, "", "")
    order = ("term", "driver", "field")
    of_account: Where = {"account": account, "term": FILLED}
    rows = intake.select(SearchTerm, of_account, order_by=order, after=behind, limit=limit)
    like = [row for row in rows if row.term.startswith(wanted)]
    drivers = sorted({row.driver for row in like})
    profiles = _profiles(decider, intake, account, drivers)
    # A driver is listed once, by the first term that it is found by.
    first: dict[str, SearchTerm] = {}
    of_drivers = intake.select(SearchTerm, {"account": account, "driver": drivers}) if drivers else []
    for term in sorted(of_drivers, key=attrgetter(*order)):
        if term.term.startswith(wanted) and _finds(term, profiles.get(term.driver, {})):
            first.setdefault(term.driver, term)
    found = {row.driver: _FoundBy.of(row, profiles.get(row.driver, {})) for row in like if first.get(row.driver) == row}
    is_more = len(like) == limit
    return _to_page(decider, account, found, dumps([getattr(like[-1], column) for column in order]) if is_more else "")


def _from_cursor(after: str) -> tuple[str, str, str]:
    try:
        term, driver, field = loads(after)
    except (TypeError, ValueError):
        term = driver = field = None
    if not (isinstance(term, str) and isinstance(driver, str) and isinstance(field, str)):
        raise Malformed("this cursor is not one of a search: start without one")
    return term, driver, field


def _profiles(decider: Store, intake: Store, account: str, drivers: Sequence[str]) -> dict[str, Profile]:
    """What the Portal states of these drivers, or stated last of those that it has deleted."""
    where: Where = {"account": account, "driver": drivers}
    stated: dict[str, Profile] = {row.driver: row.profile for row in decider.select(DesiredRow, where)}
    known = {row.driver: row.profile for row in intake.select(KnownDriver, {**where, "is_there": True})}
    return {**stated, **known}


def _finds(term: SearchTerm, profile: Profile) -> bool:
    """Whether a driver is found by this term: a name, or an e-mail, has to be the present one."""
    return term.field in SEARCHED_IDS or (term.field, term.term) in search_terms(term.driver, profile)


def _wanted(page: Sequence[DesiredRow]) -> list[str]:
    """Those that the Portal has: the database would look at the deleted ones in vain, however many there are."""
    return [row.driver for row in page if row.is_wanted]


def _all_wanted(decider: Store, account: str, *, after: str, limit: int) -> DriverPage:
    """The next drivers that the Portal has."""
    found: list[str] = []
    seen = 0
    for page in pages(decider, DesiredRow, {"account": account}, "driver", after=after, limit=limit):
        found += _wanted(page)
        seen += len(page)
        if len(found) >= limit or seen >= MOST_LOOKED_AT:
            last = found[limit - 1] if len(found) >= limit else page[-1].driver
            return _to_page(decider, account, dict.fromkeys(found[:limit], _LISTED), last)
    return _to_page(decider, account, dict.fromkeys(found, _LISTED), "")


def _to_page(decider: Store, account: str, found: Mapping[str, _FoundBy], last: str) -> DriverPage:
    """The page of these drivers, each with what it was found by."""
    where: Where = {"account": account, "driver": [*found]}
    rows = {row.driver: row for row in decider.select(DesiredRow, where)} if found else {}
    links: dict[str, list[ListedState]] = {}
    for link in decider.select(LinkRow, where) if found else ():
        shown = ListedState(target=link.target, state=link.state, key=link.key, reason=link.reason)
        links.setdefault(link.driver, []).append(shown)
    listed = []
    for driver, found_by in found.items():
        row = rows.get(driver)
        profile = row.profile if row else {}
        listed.append(
            ListedDriver(
                driver=driver,
                name=shown_name(profile, row.erased if row else ""),
                email=profile.get("email", ""),
                ref_id=profile.get("ref_id", ""),
                driveri_driver_id=profile.get("driveri_driver_id", ""),
                is_wanted=row is not None and row.is_wanted,
                found_by=found_by.field,
                former=found_by.field if found_by.is_former else "",
                targets=tuple(sorted(links.get(driver, ()), key=lambda link: link.target)),
            )
        )
    return DriverPage(drivers=tuple(listed), next=last or None)


@router.get("")
async def list_drivers(
    known: KnownAccount,
    installation: Installed,
    find: Annotated[str, Query(description="How a word of the name, the e-mail, or any id ever begins.")] = "",
    target: NamedTarget | None = None,
    state: str = "",
    reason: str = "",
    after: str = "",
) -> DriverPage:
    """List the drivers of an account, in pages: those who stand so on a target, or those that a search finds."""
    readers, text = installation.readers, clean(find, LONGEST["driver"])
    if state and state not in STATES:
        raise Malformed(f"there is no state {state!r}; there are: {', '.join(STATES)}")
    if text:
        return await readers.call(
            search, readers.decider, readers.intake, known.account, text, after=after, limit=MOST_LISTED
        )
    targets = [target] if target else [*Target]
    return await readers.call(
        in_state, readers.decider, known.account, targets, state, reason, after=after, limit=MOST_LISTED
    )
