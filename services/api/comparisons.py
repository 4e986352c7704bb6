"""`/v1/accounts/{account}/diff`, `.../mismatches`: drivers at two moments, and since when one does not match.

Both compare what follows from the logs up to a moment; see `as_of`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query

from domain.cleaning import LONGEST, clean
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import key_identifier
from domain.profile import FIELDS, SPECS, Profile, to_change
from domain.store import Event, Store, Where
from services.api.as_of import Logs, logs_of, moment_of, opened_scratch, projections, rewound, take, timeline
from services.api.explanation_text import field_name, shown_name
from services.api.explanations import load
from services.api.installation import Installation
from services.api.naming import is_stated, unknown_driver
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, Moment, ResponseBody
from services.decider.read_models import DesiredRow, LinkRow, ObservedRow, desired_of
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, outcomes_of

router = new_router("comparisons", prefix="/accounts/{account}")

MOST: Final = 500
"""Drivers in one response."""

PORTAL = "portal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one driver stands: what the Portal states, its links by target, and what was seen of the linked drivers."""

    desired: DesiredRow | None = None
    links: Mapping[Target, LinkRow] = field(default_factory=dict)
    observed: Mapping[Target, ObservedRow] = field(default_factory=dict)

    @property
    def is_wanted(self) -> bool:
        """Whether the Portal has the driver."""
        return self.desired is not None and self.desired.is_wanted

    @property
    def profile(self) -> Profile:
        """What the Portal states of the driver, or stated last."""
        return self.desired.profile if self.desired else {}

    def mismatches(self, target: Target) -> tuple[str, ...]:
        """What is not on the target as the Portal wants it, in words; nothing where the two match."""
        link, shown = self.links.get(target), self.observed.get(target)
        is_there = shown is not None and shown.active
        if not self.is_wanted or self.desired is None:
            return ("still there",) if is_there and link and link.is_live else ()
        if link is None or not link.is_live or not is_there or shown is None:
            return ("not there",)
        wanted = desired_of(self.desired, target)
        differing = [field_name(each) for each in to_change(target, wanted.profile, shown.profile)]
        is_renamed = wanted.key is not None and wanted.key != link.key
        return (*([SPECS[target].key_words] if is_renamed else []), *differing)

    def facts(self) -> Iterator[tuple[str, str, str]]:
        """Everything that is compared, as place, field and text; what is empty is left out."""
        if self.desired:
            yield PORTAL, "state", "there" if self.is_wanted else "erased" if self.desired.erased else "deleted"
            yield from ((PORTAL, field_name(each), self.profile.get(each, "")) for each in FIELDS)
        for target, link in self.links.items():
            yield str(target), "state", link.state
            yield str(target), "reason", link.reason
            yield str(target), SPECS[target].key_words, link.key
        for target, shown in self.observed.items():
            for each in SPECS[target].owned:
                yield str(target), field_name(each), shown.profile.get(each, "")


def standings(store: Store, account: str, drivers: Collection[str]) -> dict[str, Standing]:
    """How each of these drivers stands, by a query for each kind of row. Raises `StoreFailed`."""
    where: Where = {"account": account, "driver": sorted(drivers)}
    desired = {row.driver: row for row in store.select(DesiredRow, where)} if drivers else {}
    links: dict[str, dict[Target, LinkRow]] = {driver: {} for driver in drivers}
    for link in store.select(LinkRow, where) if drivers else ():
        links[link.driver][Target(link.target)] = link
    keys = {
        (account, str(target), key_identifier(target, Key(row.key)))
        for each in links.values()
        for target, row in each.items()
        if row.key
    }
    seen = store.among(ObservedRow, ObservedRow.KEY, keys) if keys else []
    shown = {(row.target, row.identifier): row for row in seen}
    return {
        driver: Standing(
            desired=desired.get(driver),
            links=own,
            observed={
                target: row
                for target, known in own.items()
                if known.key and (row := shown.get((str(target), key_identifier(target, Key(known.key)))))
            },
        )
        for driver, own in links.items()
    }


class FieldDifference(ResponseBody):
    """One thing that is otherwise: `where` is `portal` or a target; empty is what was not there."""

    where: str
    field: str
    before: str
    after: str


class DriverDifference(ResponseBody):
    """A driver that stood otherwise at one moment than at the other, for people who may see its name."""

    driver: str
    name: str
    differences: tuple[FieldDifference, ...]


class DifferencePage(ResponseBody):
    """Some of the drivers that differ, in the order of ids. `next` is the `after` of the next page, None at the end."""

    drivers: tuple[DriverDifference, ...]
    next: str | None


def difference(driver: str, before: Standing, after: Standing) -> DriverDifference | None:
    """What is otherwise after than before; None where nothing is."""
    was, now = ({(where, name): text for where, name, text in each.facts()} for each in (before, after))
    places = dict.fromkeys([*now, *was])
    found = [
        FieldDifference(where=where, field=name, before=was.get((where, name), ""), after=now.get((where, name), ""))
        for where, name in places
        if was.get((where, name), "") != now.get((where, name), "")
    ]
    stated = after.desired or before.desired
    name = shown_name(after.profile or before.profile, stated.erased if stated else "")
    return DriverDifference(driver=driver, name=name, differences=tuple(found)) if found else None


def compare(before: Store, after: Store, account: str, behind: str) -> Iterator[tuple[str, list[DriverDifference]]]:
    """The drivers that differ, page by page from behind this one, each with the last that was looked at.

    Raises `StoreFailed`.
    """
    sides = before, after
    while True:
        pages = [
            store.select(DesiredRow, {"account": account}, order_by="driver", after=behind, limit=MOST)
            for store in sides
        ]
        full = [page[-1].driver for page in pages if len(page) == MOST]
        # Behind the end of a full page the other one may have drivers that this one has, too.
        last = min(full, default="")
        drivers = sorted({row.driver for page in pages for row in page if not last or row.driver <= last})
        was, now = (standings(store, account, drivers) for store in sides)
        yield last, [found for each in drivers if (found := difference(each, was[each], now[each]))]
        if not last:
            return
        behind = last


@router.get("/diff")
async def compare_drivers(
    known: KnownAccount,
    installation: Installed,
    since: Annotated[str, Query(alias="from", description="The first moment, as of which they are compared.")],
    until: Annotated[str | None, Query(alias="to", description="The other moment; now where it is left out.")] = None,
    driver: Annotated[str, Query(description="Only this driver, by the Portal's id.")] = "",
    after: Annotated[str, Query(description="The driver behind which to go on.")] = "",
) -> DifferencePage:
    """Compare a driver, or all of an account, as of two moments: what the Portal states, and how they stand."""
    first, second = moment_of(installation, since), moment_of(installation, until) or installation.clock()
    if first is None or first > second:
        raise Malformed(f"{since} is later than {until}: the first moment is `from`")
    only = await _stated_driver(installation, known.account, driver) if driver else None
    readers, account = installation.readers, known.account
    async with rewound(installation, account, first, only) as was, rewound(installation, account, second, only) as now:
        if only:
            found = await readers.call(_compare_one, was, now, account, only)
            return DifferencePage(drivers=tuple(found), next=None)
        differing: list[DriverDifference] = []
        compared = compare(was, now, account, after)
        while len(differing) < MOST and (page := await readers.call(next, compared, None)) is not None:
            after = page[0]
            differing += page[1]
    return DifferencePage(drivers=tuple(differing), next=after or None)


def _compare_one(before: Store, after: Store, account: str, driver: str) -> list[DriverDifference]:
    was, now = (standings(store, account, [driver])[driver] for store in (before, after))
    return [found] if (found := difference(driver, was, now)) else []


async def _stated_driver(installation: Installation, account: str, text: str) -> PortalDriverId:
    """The driver with this id. Raises `UnknownDriver`, `StoreFailed`."""
    readers, driver = installation.readers, PortalDriverId(clean(text, LONGEST["driver"]))
    if not await readers.call(is_stated, readers.intake, driver, account):
        raise await readers.call(unknown_driver, readers.intake, account, driver)
    return driver


class Mismatch(ResponseBody):
    """Whether a driver matches on a target: what differs now, and the event by which that began.

    `since` is when it last began to differ; None where it never matched, or matches. `log`, `version` and `type` are of
    the event that began it, and `fact` says it in words, where an explanation does. `matched_until` is the moment of
    the event before.
    """

    target: str
    matches: bool
    differing: tuple[str, ...]
    since: Moment | None = None
    matched_until: Moment | None = None
    log: str = ""
    type: str = ""
    version: int = 0
    fact: str = ""


_LOG_WORDS: Final[Mapping[str, str]] = {
    ACCOUNTS: "accounts",
    CHANGES: "changes",
    DECISIONS: "decisions",
    **{outcomes_of(target): f"outcomes-{target}" for target in Target},
}


def mismatches(scratch: Store, logs: Logs, account: AccountId, driver: PortalDriverId) -> Iterator[list[Mismatch]]:
    """How the driver matches after each event of its histories, in the order of time; the last is how it does now.

    Raises `StoreFailed`.
    """
    projects = projections(scratch)
    found = {target: Mismatch(target=str(target), matches=False, differing=("not there",)) for target in Target}
    before: datetime | None = None
    for log, placed in timeline(logs, account, driver):
        take(scratch, projects[log], [placed])
        standing = standings(scratch, account, [driver])[driver]
        for target, known in found.items() if standing.desired else ():
            found[target] = _after(known, standing.mismatches(target), log, placed[1], before)
        before = placed[1].at
        yield [*found.values()]


def _after(known: Mismatch, differing: tuple[str, ...], log: str, event: Event, before: datetime | None) -> Mismatch:
    if not differing:
        return Mismatch(target=known.target, matches=True, differing=())
    if not known.matches:
        return known.model_copy(update={"differing": differing})
    return Mismatch(
        target=known.target,
        matches=False,
        differing=differing,
        since=event.at,
        matched_until=before,
        log=_LOG_WORDS[log],
        type=type(event).__name__,
        version=event.originator_version,
    )


@router.get("/mismatches")
async def find_mismatches(
    known: KnownAccount,
    installation: Installed,
    driver: Annotated[str, Query(description="The Portal's id of the driver.")],
) -> list[Mismatch]:
    """Find since when a driver does not match on each target, and which event that began with."""
    readers, account = installation.readers, known.account
    only = await _stated_driver(installation, account, driver)
    found: list[Mismatch] = []
    async with opened_scratch(installation) as scratch:
        steps = mismatches(scratch, logs_of(readers), account, only)
        while (step := await readers.call(next, steps, None)) is not None:
            found = step
        facts = await readers.call(_facts, scratch, account, only)
    return [each.model_copy(update={"fact": facts.get((_place(each), each.version), "")}) for each in found]


def _place(found: Mismatch) -> str:
    """Where an explanation has the event."""
    return {"accounts": "account", "changes": PORTAL, "decisions": found.target}.get(found.log, "")


def _facts(scratch: Store, account: AccountId, driver: PortalDriverId) -> dict[tuple[str, int], str]:
    history = load(account, driver, accounts=scratch, intake=scratch, decider=scratch)
    return {(entry.where, entry.version): entry.fact for entry in history.entries()}
