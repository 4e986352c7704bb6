"""`/accounts/{account}/drivers`: the drivers of an account, found by name, e-mail or any id that they ever had."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import Query

from domain.cleaning import LONGEST, clean, folded
from domain.identity import AccountId, PortalDriverId, Target, portal_driver_stream
from domain.portal import Change
from domain.profile import Profile
from domain.store import Store, Where, pages
from services.api.explanation_text import field_name, name_of
from services.api.naming import NamedTarget
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, ResponseBody
from services.decider.read_models import DesiredRow, LinkRow

router = new_router("drivers", prefix="/accounts/{account}/drivers")

STATES = ("in_sync", "pending", "parked", "held", "kept", "ended", "undecided")
"""How a driver can stand on a target."""

MOST_LISTED = 100
"""Drivers in one response."""

MOST_LOOKED_AT = 20_000
"""Drivers that one search looks at by what is known of them now; of the former ids of a tenth of them."""

_NOW, _FORMER = "now", "former"
_IDS = ("ref_id", "driveri_driver_id")


class ListedState(ResponseBody):
    """How a driver stands on one target; `reason` says why it is parked, if it is."""

    target: str
    state: str
    key: str
    reason: str


class ListedDriver(ResponseBody):
    """A portal driver, for people who may see its name; `former` says by which former id it was found, if by one."""

    driver: str
    name: str
    email: str
    ref_id: str
    driveri_driver_id: str
    is_wanted: bool
    former: str
    targets: tuple[ListedState, ...]


class DriverPage(ResponseBody):
    """Some of the drivers. `next` is the `after` of the next page, None at the end; a page before it may be empty."""

    drivers: tuple[ListedDriver, ...]
    next: str | None


def names_of(decider: Store, account: str, drivers: Collection[str]) -> dict[str, str]:
    """The names of these drivers, for people who may see them. Raises `StoreFailed`."""
    rows = decider.select(DesiredRow, {"account": account, "driver": sorted(set(drivers))}) if drivers else []
    return {row.driver: name_of(row.profile) for row in rows}


def in_state(
    decider: Store, account: str, targets: Sequence[Target], state: str, reason: str, *, after: str, limit: int
) -> DriverPage:
    """The next drivers, behind this one, that stand so on one of these targets; empty: any. Raises `StoreFailed`."""
    if state == "undecided":
        return _undecided(decider, account, targets, after=after, limit=limit)
    if not (state or reason):
        found, last = _looked_through(decider, account, _wanted, after, limit, MOST_LOOKED_AT, page_of=limit)
        return _to_page(decider, account, found, last)
    where: Where = {"account": account, "target": [*map(str, targets)]}
    where = {**where, **({"state": state} if state else {}), **({"reason": reason} if reason else {})}
    # A driver has at most one row for each target, so these are enough for that many drivers.
    links = decider.select(LinkRow, where, order_by="driver", after=after, limit=limit * len(targets))
    drivers = list(dict.fromkeys(row.driver for row in links))
    is_full = len(links) == limit * len(targets) or len(drivers) > limit
    return _to_page(decider, account, dict.fromkeys(drivers[:limit], ""), drivers[:limit][-1] if is_full else "")


def _undecided(decider: Store, account: str, targets: Sequence[Target], *, after: str, limit: int) -> DriverPage:
    """The drivers that the Portal wants and that lack a link on one of these targets."""
    found: list[str] = []
    seen, last = 0, ""
    for page in pages(decider, DesiredRow, {"account": account}, "driver", after=after):
        drivers = [*_wanted(page)]
        where: Where = {"account": account, "target": [*map(str, targets)], "driver": drivers}
        links = decider.count(LinkRow, where, by=["driver"])
        for driver in drivers:
            last = driver
            if links.get((driver,), 0) < len(targets):
                found.append(driver)
            if len(found) == limit:
                return _to_page(decider, account, dict.fromkeys(found, ""), last)
        seen += len(page)
        if seen >= MOST_LOOKED_AT:
            return _to_page(decider, account, dict.fromkeys(found, ""), page[-1].driver)
    return _to_page(decider, account, dict.fromkeys(found, ""), "")


def search(decider: Store, intake: Store, account: AccountId, text: str, *, after: str, limit: int) -> DriverPage:
    """The next drivers, deleted ones too, whose name, e-mail or id has this in it, in any letter case.

    If there are none, those who had this as an id at some time. Raises `StoreFailed`, and `Malformed` for a cursor
    that is not one.
    """
    phase, _, behind = after.partition(":") if after else (_NOW, "", "")
    if phase not in (_NOW, _FORMER):
        raise Malformed("this cursor is not one of a search: start without one")
    wanted = folded(text)

    def known_now(page: Sequence[DesiredRow]) -> Mapping[str, str]:
        return {row.driver: "" for row in page if any(wanted in each for each in _texts(row))}

    def known_formerly(page: Sequence[DesiredRow]) -> Mapping[str, str]:
        return _former_ids(intake, account, [row.driver for row in page], wanted)

    if phase == _NOW:
        found, last = _looked_through(decider, account, known_now, behind, limit, MOST_LOOKED_AT)
        if found or last or after:
            return _to_page(decider, account, found, last and f"{_NOW}:{last}")
        behind = ""
    found, last = _looked_through(decider, account, known_formerly, behind, limit, MOST_LOOKED_AT // 10)
    return _to_page(decider, account, found, last and f"{_FORMER}:{last}")


def _wanted(page: Sequence[DesiredRow]) -> Mapping[str, str]:
    """Those that the Portal has: the database would look at the deleted ones in vain, however many there are."""
    return {row.driver: "" for row in page if row.is_wanted}


def _looked_through(
    decider: Store,
    account: str,
    matching: Callable[[Sequence[DesiredRow]], Mapping[str, str]],
    behind: str,
    limit: int,
    most: int,
    *,
    page_of: int | None = None,
) -> tuple[dict[str, str], str]:
    """The matching ones among the next drivers, and the last one looked at; empty at the end."""
    found: dict[str, str] = {}
    looked_at = 0
    for page in pages(decider, DesiredRow, {"account": account}, "driver", after=behind, limit=page_of):
        for driver, former in matching(page).items():
            found[driver] = former
            if len(found) == limit:
                return found, driver
        looked_at += len(page)
        if looked_at >= most:
            return found, page[-1].driver
    return found, ""


def _texts(row: DesiredRow) -> Iterator[str]:
    yield folded(name_of(row.profile))
    yield folded(row.driver)
    yield from (folded(row.profile[field]) for field in ("email", *_IDS) if field in row.profile)


def _former_ids(intake: Store, account: AccountId, drivers: Sequence[str], wanted: str) -> dict[str, str]:
    """Which of these drivers had exactly this as an id, and as which, by what the Portal stated of them."""
    streams = {portal_driver_stream(account, PortalDriverId(driver)): driver for driver in drivers}
    found: dict[str, str] = {}
    for stream, facts in intake.histories([*streams]).items():
        profiles: Iterator[Profile] = (fact.profile for fact in facts if isinstance(fact, Change))
        fields = (field for profile in profiles for field in _IDS if folded(profile.get(field, "")) == wanted)
        if field := next(fields, ""):
            found[streams[stream]] = field_name(field)
    return {driver: found[driver] for driver in drivers if driver in found}


def _to_page(decider: Store, account: str, found: Mapping[str, str], last: str) -> DriverPage:
    """The page of these drivers, each with the former id that it was found by."""
    where: Where = {"account": account, "driver": [*found]}
    rows = {row.driver: row for row in decider.select(DesiredRow, where)} if found else {}
    links: dict[str, list[ListedState]] = {}
    for link in decider.select(LinkRow, where) if found else ():
        shown = ListedState(target=link.target, state=link.state, key=link.key, reason=link.reason)
        links.setdefault(link.driver, []).append(shown)
    listed = []
    for driver, former in found.items():
        row = rows.get(driver)
        profile = row.profile if row else {}
        listed.append(
            ListedDriver(
                driver=driver,
                name=name_of(profile),
                email=profile.get("email", ""),
                ref_id=profile.get("ref_id", ""),
                driveri_driver_id=profile.get("driveri_driver_id", ""),
                is_wanted=row is not None and row.is_wanted,
                former=former,
                targets=tuple(sorted(links.get(driver, ()), key=lambda link: link.target)),
            )
        )
    return DriverPage(drivers=tuple(listed), next=last or None)


@router.get("")
async def list_drivers(
    known: KnownAccount,
    installation: Installed,
    find: Annotated[str, Query(description="A part of a name, an e-mail address or an id; or a former id.")] = "",
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
