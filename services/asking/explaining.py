"""One driver's story: how they stand on every target, what a person could do, and how it came about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from domain.identity import AccountId, PortalDriverId, Target
from domain.portal import Change, DriverDeleted
from domain.storing import Store
from services.asking.answers import Answer
from services.asking.dossier import Dossier, load
from services.asking.standing import Standing, View, standing
from services.asking.story import Entry, account_entries, link_entries, portal_entries
from services.asking.telling.words import moment, name_of, named
from services.asking.waiting import waits_of_change, waits_of_link

_ORDER = ("portal", "account", *map(str, Target))
"""What is told first of things that happened at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Answer):
    """A driver's story, the timeline oldest first.

    Only `header` holds a name, and nothing holds an e-mail address, a phone or a licence. `is_known` is false when
    the Portal never stated such a driver: then there is nothing but the header.
    """

    account: str
    driver: str
    is_known: bool
    header: str
    portal: str
    standings: tuple[Standing, ...]
    timeline: tuple[Entry, ...]

    def lines(self) -> Iterator[str]:
        """The story as plain text: first how things stand, then how it came about."""
        yield self.header
        if self.is_known:
            yield f"Portal: {self.portal}"
            yield from self._standing_lines()
            yield ""
            yield from self._timeline_lines()

    def _standing_lines(self) -> Iterator[str]:
        for each in self.standings:
            yield f"{named(each.target)}: {each.sentence}"
            if each.advice:
                yield f"  What to do: {each.advice}"

    def _timeline_lines(self) -> Iterator[str]:
        for entry in self.timeline:
            yield f"{moment(entry.at)}  {entry.where} {entry.version}: {entry.fact}"
            yield from (f"    {reason}" for reason in entry.why)


def explain(
    account: AccountId,
    driver: PortalDriverId,
    *,
    accounts: Store,
    intake: Store,
    decider: Store,
    projectors: Mapping[Target, Store] | None = None,
) -> Explanation:
    """The story of a portal driver, by the histories in these stores. Raises `StoreFailed`.

    Without the projectors' stores nothing is said of decisions and answers that wait between them and the decider.
    """
    dossier = load(account, driver, accounts=accounts, intake=intake, decider=decider)
    change = dossier.last_change
    return Explanation(
        account=account,
        driver=driver,
        is_known=change is not None,
        header=_header(change) if change else f"The Portal never stated a driver {driver} in account {account}.",
        portal=_portal(change) if change else "",
        standings=tuple(_standings(dossier, projectors or {})) if change else (),
        timeline=tuple(sorted(_entries(dossier), key=_place)) if change else (),
    )


def _header(change: Change) -> str:
    profile = change.profile
    ids = {"RefID": profile.get("ref_id"), "Driveri DriverID": profile.get("driveri_driver_id")}
    stated = (f"{name} {text}" if text else f"no {name}" for name, text in ids.items())
    return f"{name_of(profile) or 'Without a name'}: portal driver {change.driver}, {', '.join(stated)}"


def _portal(change: Change) -> str:
    if isinstance(change, DriverDeleted):
        return f"deleted the driver at {moment(change.at)}."
    return f"has the driver, as stated last at {moment(change.at)}."


def _standings(dossier: Dossier, projectors: Mapping[Target, Store]) -> Iterator[Standing]:
    change_waits = waits_of_change(dossier.last_change, dossier.taken_over)
    for target, readiness in dossier.readiness.items():
        past = dossier.past(target)
        waits = change_waits
        if waits is None and target in projectors:
            waits = waits_of_link(past.link, projectors[target])
        yield standing(View(driver=dossier.known, past=past, readiness=readiness, waits=waits))


def _entries(dossier: Dossier) -> Iterator[Entry]:
    yield from portal_entries(dossier.unstated, dossier.of_portal)
    yield from account_entries(dossier.of_account, dossier.driver, dossier.heeded)
    for target, facts in dossier.of_links.items():
        yield from link_entries(dossier.start(target), facts)


def _place(entry: Entry) -> tuple[object, ...]:
    return entry.at, _ORDER.index(entry.where), entry.version
