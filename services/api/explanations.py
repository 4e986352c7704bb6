"""`/v1/accounts/{account}/explanation`: one driver on every target, what a person can do, and the history."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce

from domain.account import DeletesJudged, ReconciliationRequested, RetryRequested, UndoRequested
from domain.cleaning import LONGEST, clean
from domain.driver_link import Decision, DeleteHeld, DriverLink, HoldJudged, LinkEvent, Parked
from domain.identity import AccountId, PortalDriverId, Target, account_stream, link_stream, portal_driver_stream
from domain.portal import Change, DriverDeleted, PortalDriver, apply, replay
from domain.profile import is_erased
from domain.store import Event, Store
from services.accounts.handlers import accounts_of
from services.api.as_of import AsOf, moment_of, rewound
from services.api.backlog import waits_of_change, waits_of_link
from services.api.driver_search import search
from services.api.driver_states import DriverState, View, state_on
from services.api.explanation_text import (
    Past,
    describe_account,
    describe_link,
    describe_portal,
    describe_unmet_judgement,
    erased_on,
    moment,
    name_of,
    named,
    reasons,
)
from services.api.installation import Installation, Readers
from services.api.naming import (
    Candidate,
    erased_since,
    find_drivers,
    find_stated,
    is_stated,
    unknown_driver,
    unknown_then,
)
from services.api.readiness import Readiness, readiness_of
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Moment, ResponseBody
from services.decider.read_models import DesiredRow

Hold = tuple[str, int]
"""A held delete of one driver: on which target, and at which version of the link."""


class Entry(ResponseBody):
    """One fact of a history: `where` is a target, `portal` or `account`, and `version` the fact's number there.

    `why` holds a sentence for each ground of a decision; empty for facts that need none.
    """

    at: Moment
    where: str
    version: int
    fact: str
    why: tuple[str, ...] = ()


def portal_entries(known: PortalDriver, facts: Iterable[Event]) -> Iterator[Entry]:
    """What the Portal stated of the driver."""
    for fact in facts:
        yield _entry(fact, "portal", describe_portal(fact, known))
        known = apply(known, fact)


def link_entries(past: Past, facts: Iterable[LinkEvent]) -> Iterator[Entry]:
    """What was decided for the driver on one target, and what became of it."""
    for fact in facts:
        yield _entry(fact, fact.target, describe_link(fact, past), reasons(fact, past))
        past = past.after(fact)


def account_entries(
    facts: Iterable[Event], driver: PortalDriverId, *, holds: Collection[Hold], retries: Collection[int]
) -> Iterator[Entry]:
    """What happened to the account, and the requests that concern this driver and that no other entry shows.

    `holds` are the driver's judged holds, and `retries` the versions of its retries: these had an effect.
    """
    for fact in facts:
        match fact:
            case DeletesJudged():
                judged = {(fact.target, int(hold)) for judged, hold in fact.holds if judged == driver}
                described = describe_unmet_judgement(fact) if judged.difference(holds) else ""
            case RetryRequested() if fact.driver != driver and fact.originator_version not in retries:
                described = ""
            case UndoRequested() if fact.only not in ("", driver):
                described = ""
            case ReconciliationRequested() if fact.driver != driver and not isinstance(fact, UndoRequested):
                described = ""
            case _:
                described = describe_account(fact)
        if described:
            yield _entry(fact, "account", described)


def _entry(fact: Event, where: str, described: str, why: tuple[str, ...] = ()) -> Entry:
    return Entry(at=fact.at, where=where, version=fact.originator_version, fact=described, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverHistory:
    """What is known of one driver: the facts, oldest first, and how far the account has come with each target.

    `of_account` holds what the decider has consumed: nothing can follow yet from what is newer. `consumed` is the
    sequence of the last change of the driver that the decider has consumed; 0 if none.
    """

    account: AccountId
    driver: PortalDriverId
    of_account: Sequence[Event]
    of_portal: Sequence[Event]
    of_links: Mapping[Target, Sequence[LinkEvent]]
    readiness: Mapping[Target, Readiness]
    consumed: int

    @property
    def unstated(self) -> PortalDriver:
        """The driver before the Portal stated anything."""
        return PortalDriver(account=self.account, driver=self.driver)

    @property
    def last_change(self) -> Change | None:
        """The last change of the driver, with its profile; None when the Portal never stated it."""
        return next((fact for fact in reversed(self.of_portal) if isinstance(fact, Change)), None)

    @property
    def erased_at(self) -> datetime | None:
        """When the driver was erased, unless the Portal has stated it since."""
        return replay(self.unstated, self.of_portal).erased_at

    def start(self, target: Target) -> Past:
        """The driver's link with a target before anything was decided."""
        return Past(link=DriverLink(account=self.account, target=target, driver=self.driver))

    def states(self, projectors: Mapping[Target, Store], down: Sequence[str]) -> Iterator[DriverState]:
        """The state on each target; what waits for a projector is looked up in its store. Raises `StoreFailed`.

        `down` has a line for each service that does not run, which is what helps where something waits.
        """
        known = replay(self.unstated, self.of_portal)
        change_waits = waits_of_change(self.last_change, self.consumed)
        for target, readiness in self.readiness.items():
            past, waits = reduce(Past.after, self.of_links[target], self.start(target)), change_waits
            if waits is None and target in projectors:
                waits = waits_of_link(past.link, projectors[target])
            if waits and down:
                waits = replace(waits, advice=f"{'; '.join(down)}.")
            yield state_on(View(driver=known, past=past, readiness=readiness, waits=waits))

    def entries(self) -> Iterator[Entry]:
        """Every fact, history by history."""
        facts = [fact for each in self.of_links.values() for fact in each]
        holds = {(fact.target, fact.hold) for fact in facts if isinstance(fact, HoldJudged)}
        rationales = [fact.rationale for fact in facts if isinstance(fact, Decision | DeleteHeld | Parked)]
        retries = {int(rationale["ref"]) for rationale in rationales if rationale.get("trigger") == "retry"}
        yield from portal_entries(self.unstated, self.of_portal)
        yield from account_entries(self.of_account, self.driver, holds=holds, retries=retries)
        for target, decided in self.of_links.items():
            yield from link_entries(self.start(target), decided)


def load(
    account: AccountId, driver: PortalDriverId, *, accounts: Store, intake: Store, decider: Store
) -> DriverHistory:
    """Everything about a portal driver in these stores. Raises `StoreFailed`."""
    is_added = bool(accounts_of(accounts, [account]))
    readiness = {target: replace(each, is_added=is_added) for target, each in readiness_of(decider, account).items()}
    version = max(each.account.version for each in readiness.values())
    of_account, of_portal = account_stream(account), portal_driver_stream(account, driver)
    links = {target: link_stream(account, target, driver) for target in Target}
    decided = decider.histories([*links.values()])
    desired = decider.select(DesiredRow, {"account": account, "driver": driver})
    return DriverHistory(
        account=account,
        driver=driver,
        of_account=[
            fact for fact in accounts.histories([of_account])[of_account] if fact.originator_version <= version
        ],
        of_portal=intake.histories([of_portal])[of_portal],
        of_links={
            target: [fact for fact in decided[link] if isinstance(fact, LinkEvent)] for target, link in links.items()
        },
        readiness=readiness,
        consumed=next((row.sequence for row in desired), 0),
    )


_ORDER = ("portal", "account", *map(str, Target))
"""The order of things that happened at the same moment."""


class Explanation(ResponseBody):
    """The explanation of a driver, the timeline oldest first.

    Only `header` holds a name, and nothing holds an e-mail address, a phone or a licence. `is_known` is false when
    the Portal never stated such a driver: then there is nothing but the header.
    """

    account: str
    driver: str
    is_known: bool
    header: str
    portal: str = ""
    states: tuple[DriverState, ...] = ()
    timeline: tuple[Entry, ...] = ()

    def lines(self, *, is_past: bool = False) -> Iterator[str]:
        """The explanation as plain text: first the state on each target, then the history.

        Of the past it is not said what to do.
        """
        yield self.header
        if not self.is_known:
            return
        yield f"Portal: {self.portal}"
        for each in self.states:
            yield f"{named(each.target)}: {each.sentence}"
            if each.advice and not is_past:
                yield f"  What to do: {each.advice}"
        yield ""
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
    down: Sequence[str] = (),
) -> Explanation:
    """Explain a portal driver, by the histories in these stores. Raises `StoreFailed`.

    Without the projectors' stores nothing is said of decisions and answers that wait between them and the decider.
    `down` has a line for each service that does not run.
    """
    history = load(account, driver, accounts=accounts, intake=intake, decider=decider)
    change = history.last_change
    if change is None:
        header = f"The Portal never stated a driver {driver} in account {account}."
        return Explanation(account=account, driver=driver, is_known=False, header=header)
    at, is_deleted, erased_at = moment(change.at), isinstance(change, DriverDeleted), history.erased_at
    stated = f"deleted the driver at {at}" if is_deleted else f"has the driver, as stated last at {at}"
    timeline = sorted(history.entries(), key=lambda entry: (entry.at, _ORDER.index(entry.where), entry.version))
    return Explanation(
        account=account,
        driver=driver,
        is_known=True,
        header=_header(change, erased_at),
        portal=f"{stated}, and it was erased at {moment(erased_at)}." if erased_at else f"{stated}.",
        states=tuple(history.states(projectors or {}, down)),
        timeline=tuple(timeline),
    )


def _header(change: Change, erased_at: datetime | None) -> str:
    """Who the driver is, or that it is erased."""
    if erased_at or is_erased(change.profile):
        words = erased_on(erased_at) if erased_at else name_of(change.profile)
        return f"{words.capitalize()}: portal driver {change.driver}"
    ids = {"RefID": change.profile.get("ref_id"), "Driveri DriverID": change.profile.get("driveri_driver_id")}
    stated = ", ".join(f"{name} {text}" if text else f"no {name}" for name, text in ids.items())
    return f"{name_of(change.profile) or 'Without a name'}: portal driver {change.driver}, {stated}"


router = new_router("explanations", prefix="/accounts/{account}/explanation")


class ExplainedDriver(ResponseBody):
    """The explanation of one driver, as values and as lines of text."""

    explanation: Explanation
    lines: list[str]


class Candidates(ResponseBody):
    """The drivers who may be meant, where there are several."""

    candidates: list[Candidate]


_MOST_CANDIDATES = 50


def _find_otherwise(readers: Readers, account: AccountId, text: str) -> list[Candidate]:
    """The drivers whose name or e-mail has this in it, or who had it as an id at some time. Raises `StoreFailed`."""
    wanted = clean(text, LONGEST["driver"])
    if not wanted or is_stated(readers.intake, wanted, account):
        return []
    page = search(readers.decider, readers.intake, account, wanted, after="", limit=_MOST_CANDIDATES)
    return [
        Candidate(
            driver=each.driver,
            name=each.name,
            ref_id=each.ref_id,
            driveri_driver_id=each.driveri_driver_id,
            is_wanted=each.is_wanted,
        )
        for each in page.drivers
    ]


@router.get("")
async def explain_driver(
    known: KnownAccount, installation: Installed, driver: str = "", as_of: AsOf = None
) -> ExplainedDriver | Candidates:
    """Explain how a driver stands, or stood, on each target, and how it came about."""
    readers, at = installation.readers, moment_of(installation, as_of)
    found = await readers.call(find_drivers, readers.decider, known.account, driver)
    found = found or await readers.call(find_stated, readers.intake, known.account, driver)
    found = found or await readers.call(_find_otherwise, readers, known.account, driver)
    if len(found) > 1:
        return Candidates(candidates=found)
    portal_driver = PortalDriverId(found[0].driver if found else driver)
    if at:
        return await _explain_past(installation, known.account, portal_driver, at)
    explanation = await readers.call(
        explain,
        known.account,
        portal_driver,
        accounts=readers.accounts,
        intake=readers.intake,
        decider=readers.decider,
        projectors=readers.projectors,
        down=await readers.call(installation.running.down),
    )
    if not explanation.is_known:
        raise await readers.call(unknown_driver, readers.intake, known.account, driver)
    return ExplainedDriver(explanation=explanation, lines=list(explanation.lines()))


async def _explain_past(
    installation: Installation, account: AccountId, driver: PortalDriverId, at: datetime
) -> ExplainedDriver:
    """The explanation as of a moment. Raises `UnknownDriver`, `StoreFailed`."""
    readers = installation.readers
    async with rewound(installation, account, at, driver) as past:
        explanation = await readers.call(explain, account, driver, accounts=past, intake=past, decider=past)
    if not explanation.is_known:
        raise await readers.call(unknown_then, readers.intake, account, driver, at)
    if erased_at := await readers.call(erased_since, readers.intake, account, driver):
        header = f"{erased_on(erased_at).capitalize()}: portal driver {driver}"
        explanation = explanation.model_copy(update={"header": header})
    lines = [f"As of {moment(at)}:", *explanation.lines(is_past=True)]
    return ExplainedDriver(explanation=explanation, lines=lines)
