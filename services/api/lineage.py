"""`/v1/accounts/{account}/lineage`: which drivers ever had an id, from when until when, and who they are now."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query

from domain.cleaning import LONGEST_ID, clean, folded
from domain.driver_link import DriverLink, LinkEvent
from domain.driver_link import apply as apply_to_link
from domain.identity import AccountId, Key, PortalDriverId, Target, link_stream, portal_driver_stream
from domain.matching import key_identifier
from domain.portal import Change, PortalDriver
from domain.portal import apply as apply_to_driver
from domain.profile import SPECS
from domain.store import Store
from services.api.as_of import moment_of
from services.api.explanation_text import erased_on, field_name, name_of, named
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, Moment, ResponseBody
from services.intake.read_models import LONGEST_TERM, SearchTerm

router = new_router("comparisons", prefix="/accounts/{account}/lineage")

_IDS: Final = ("driveri_driver_id", "ref_id")
_MOST: Final = 100
"""Drivers that are looked at for one id."""

Step = tuple[datetime, bool]
"""From this moment on a driver has the id, or has it no more."""


class Period(ResponseBody):
    """A time for which a driver had the id, and as what; `until` is None where it has it still."""

    field: str
    since: Moment
    until: Moment | None


class Bearer(ResponseBody):
    """A portal driver who had the id at some time, with the ids that it has now, for people who may see its name.

    `keys` are how the targets name the driver now, by target; only of links that are live.
    """

    driver: str
    name: str
    is_there: bool
    driveri_driver_id: str
    ref_id: str
    keys: Mapping[str, str]
    periods: tuple[Period, ...]


class Lineage(ResponseBody):
    """Who had an id, the latest first. With `at` only who had it then."""

    id: str
    at: Moment | None
    drivers: tuple[Bearer, ...]


def lineage(intake: Store, decider: Store, account: AccountId, text: str, at: datetime | None) -> Lineage:
    """Every driver who had this Driveri DriverID or RefID, or does, found by an index. Raises `StoreFailed`."""
    wanted = folded(text)
    where = {"account": account, "term": wanted[:LONGEST_TERM], "field": [*_IDS]}
    found = intake.select(SearchTerm, where, order_by=("driver", "field"), limit=_MOST) if wanted else []
    drivers = [*dict.fromkeys(PortalDriverId(row.driver) for row in found)]
    bearers = [_bearer(intake, decider, account, driver, wanted) for driver in drivers]
    shown = [each for each in bearers if any(_holds(period, at) for period in each.periods)]
    shown.sort(key=lambda each: max(period.since for period in each.periods), reverse=True)
    return Lineage(id=text, at=at, drivers=tuple(shown))


def _holds(period: Period, at: datetime | None) -> bool:
    return at is None or (period.since <= at and (period.until is None or at < period.until))


def _bearer(intake: Store, decider: Store, account: AccountId, driver: PortalDriverId, wanted: str) -> Bearer:
    stream = portal_driver_stream(account, driver)
    streams = {target: link_stream(account, target, driver) for target in Target}
    decided = decider.histories([*streams.values()])
    known = PortalDriver(account=account, driver=driver)
    stated: dict[str, list[Step]] = {field: [] for field in _IDS}
    change: Change | None = None
    for fact in intake.histories([stream])[stream]:
        known = apply_to_driver(known, fact)
        change = fact if isinstance(fact, Change) else change
        for field, steps in stated.items():
            steps.append((fact.at, folded((known.profile or {}).get(field, "")) == wanted))
    links = {target: DriverLink(account=account, target=target, driver=driver) for target in Target}
    keyed: dict[Target, list[Step]] = {target: [] for target in Target}
    for target, each in streams.items():
        for event in decided[each]:
            if isinstance(event, LinkEvent):
                links[target] = apply_to_link(links[target], event)
                keyed[target].append((event.at, _has_key(links[target], wanted)))
    profile = change.profile if change else {}
    periods = [
        *(period for field, steps in stated.items() for period in _periods(field_name(field), steps)),
        *(period for target, steps in keyed.items() for period in _periods(_key_words(target), steps)),
    ]
    return Bearer(
        driver=driver,
        name=erased_on(known.erased_at) if known.erased_at else name_of(profile),
        is_there=known.is_there,
        driveri_driver_id=profile.get("driveri_driver_id", ""),
        ref_id=profile.get("ref_id", ""),
        keys={str(target): link.key for target, link in links.items() if link.is_live and link.key},
        periods=tuple(sorted(periods, key=lambda each: each.since)),
    )


def _key_words(target: Target) -> str:
    return f"{SPECS[target].key_words} on {named(target)}"


def _has_key(link: DriverLink, wanted: str) -> bool:
    """Whether a target driver is linked whose key is this; a key that a target gives itself does not count."""
    if not link.is_live or not link.key or not SPECS[link.target].is_key_desired:
        return False
    return key_identifier(link.target, link.key) == key_identifier(link.target, Key(wanted))


def _periods(field: str, steps: Iterable[Step]) -> Iterator[Period]:
    since: datetime | None = None
    for moment, has_it in steps:
        if has_it and since is None:
            since = moment
        elif not has_it and since is not None:
            yield Period(field=field, since=since, until=moment)
            since = None
    if since is not None:
        yield Period(field=field, since=since, until=None)


@router.get("")
async def trace_id(
    known: KnownAccount,
    installation: Installed,
    id: Annotated[str, Query(description="A Driveri DriverID or RefID, in any letter case.")],  # noqa: A002 - the field's word
    at: Annotated[str | None, Query(description="Only who had it at this date or time.")] = None,
) -> Lineage:
    """Trace an id: which drivers had it, from when until when, and who they are now."""
    moment, text, readers = moment_of(installation, at), clean(id, LONGEST_ID), installation.readers
    if not text:
        raise Malformed("name an id")
    return await readers.call(lineage, readers.intake, readers.decider, known.account, text, moment)
