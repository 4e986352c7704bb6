"""`/accounts/{account}/explanation`: the state of one driver on every target, what a person can do, and its history."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from uuid import UUID

from fastapi import APIRouter

from domain.account import DeletesJudged, Mode, ReconciliationRequested, RetryRequested
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Decision,
    Deferred,
    DeleteHeld,
    DeleteRejected,
    DriverLink,
    HoldJudged,
    LinkEvent,
    Parked,
)
from domain.failures import Reason, is_final
from domain.identity import AccountId, PortalDriverId, Target, account_stream, link_stream, portal_driver_stream
from domain.portal import Change, DriverDeleted, PortalDriver, apply, replay
from domain.store import Event, Store
from services.accounts.handlers import accounts_of
from services.api.backlog import Waits, waits_of_change, waits_of_link
from services.api.explanation_text import (
    Past,
    command,
    describe_account,
    describe_link,
    describe_portal,
    describe_unmet_judgement,
    evidence,
    field_names,
    keyed,
    moment,
    name_of,
    named,
    reasons,
)
from services.api.installation import Installed, KnownAccount
from services.api.naming import Candidate, find_drivers, find_stated, unknown_driver
from services.api.readiness import Hindrance, Readiness, advice_on, readiness_of
from services.api.schema import Moment
from services.decider.read_models import DesiredRow, to_link_row
from services.runtime.readers import Readers


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverState:
    """The state of a driver on a target: `state` is that of its link, or `undecided` when there is none.

    `advice` says what a person could do; empty if there is nothing.
    """

    target: str
    state: str
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a state is described from: the driver, its link with its past, and how far the account has come."""

    driver: PortalDriver
    past: Past
    readiness: Readiness
    waits: Waits | None = None

    @property
    def link(self) -> DriverLink:
        """The link as it is now."""
        return self.past.link

    @property
    def name(self) -> str:
        """The target by its name."""
        return named(self.link.target)

    @property
    def key(self) -> str:
        """The linked target driver by its key."""
        return keyed(self.link.target, self.link.key or "")

    @property
    def at_odds(self) -> Sequence[str]:
        """The fields that drifted in the last reconciliation, and in the one before that too."""
        drift, last = self.link.drift, self.readiness.reconciliation
        return drift.at_odds if drift and last and last.version == drift.reconciliation else ()

    @property
    def whereabouts(self) -> str:
        """Whether a target driver is linked, and which one."""
        return f"Linked to {self.key}" if self.link.is_live else "Not linked yet"

    @property
    def account(self) -> str:
        """The account's id."""
        return self.link.account


Told = tuple[str, str]
"""A sentence, and what a person could do about it."""


def state_on(view: View) -> DriverState:
    """How the driver stands on the target; what keeps the whole account from moving is told first."""
    state = _state(view)
    sentence, advice = _told(view, state)
    hindrance = view.readiness.hindrance()
    if hindrance and not _is_done(view, state):
        sentence, advice = _hindered(hindrance, sentence, state)
    if view.waits and view.readiness.is_known:
        sentence, advice = _waiting(view.waits, sentence, advice, state)
    return DriverState(target=str(view.link.target), state=state, sentence=sentence, advice=advice)


def _state(view: View) -> str:
    if not view.link.version:
        return "undecided"
    state = to_link_row(view.link).state
    return "in_sync" if state == "kept" and view.driver.is_there else state


def _told(view: View, state: str) -> Told:
    sentence, advice = _told_of_link(view, state)
    return (f"{sentence} {_at_odds(view)}", advice or _advice_at_odds(view)) if view.at_odds else (sentence, advice)


def _at_odds(view: View) -> str:
    fields = field_names(view.at_odds)
    return f"Two writers are at odds: {fields} had been changed on {view.name} before both of the last reconciliations."


def _advice_at_odds(view: View) -> str:
    return (
        f"Find out who else writes {field_names(view.at_odds)} on {view.name}, and have them change it in the Portal "
        "instead: every reconciliation overrides it."
    )


def _told_of_link(view: View, state: str) -> Told:
    link = view.link
    if link.parked:
        return _parked(view, link.parked)
    if link.held:
        return _held(view, link.held)
    return _pending(view, link.pending) if link.pending else _AT_REST[state](view)


def _is_done(view: View, state: str) -> bool:
    return not view.driver.is_there and state in ("ended", "undecided")


def _hindered(hindrance: Hindrance, sentence: str, state: str) -> Told:
    before = "" if state == "undecided" else f" As it stood before: {sentence}"
    return f"{hindrance.sentence}{before}", hindrance.advice


def _waiting(waits: Waits, sentence: str, advice: str, state: str) -> Told:
    """What waits between the services is told first: what stands in the link may be over by now."""
    before = "" if state == "undecided" and not advice else f" As it stood before: {sentence}"
    return f"{waits.sentence}{before}", advice or waits.advice


def _undecided(view: View) -> Told:
    if not view.driver.is_there:
        return f"Nothing was ever decided for {view.name}, and the Portal has deleted the driver.", ""
    return "Nothing is decided yet: the driver is waiting for its turn.", ""


def _in_step(view: View) -> Told:
    if not view.driver.is_there:
        return f"Still linked to {view.key}, though the Portal deleted the driver.", ""
    left_out = " without its Driveri DriverID, which another driver has there" if view.link.waits_for else ""
    return f"In step: linked to {view.key}{left_out}.", ""


def _kept(view: View) -> Told:
    rejected = view.past.last(DeleteRejected)
    by = rejected.by if rejected else "somebody"
    return f"The Portal deleted the driver, but {by} rejected the delete: {view.key} stays on {view.name}.", ""


def _ended(view: View) -> Told:
    if view.driver.is_there:
        return f"Not there: nobody on {view.name} is linked.", ""
    return f"The Portal deleted the driver, and nobody on {view.name} is linked any more.", ""


_AT_REST: Mapping[str, Callable[[View], Told]] = {
    "undecided": _undecided,
    "in_sync": _in_step,
    "kept": _kept,
    "ended": _ended,
}


def _pending(view: View, decided: Decision) -> Told:
    sentence, target = describe_link(decided, view.past), view.link.target
    if view.readiness.account.mode(target) is Mode.OBSERVE:
        full = command("accounts mode", view.account, target, "full", "--as PERSON")
        advice = f"To have it sent, set the mode to full: {full}."
        return f"{view.whereabouts}. Decided, but nothing is sent in the mode observe: {sentence}", advice
    if stoppage := view.readiness.stoppage():
        return f"{view.whereabouts}. {sentence} {stoppage.sentence}", stoppage.advice
    deferred = view.past.last(Deferred)
    if deferred and deferred.decision == decided.originator_version:
        advice = advice_on(deferred.reason, view.account, target)
        return f"{view.whereabouts}. {sentence} {describe_link(deferred, view.past)}", advice
    return f"{view.whereabouts}. On its way: {sentence}", ""


def _held(view: View, held: DeleteHeld) -> Told:
    guard = held.rationale.get("guard", {})
    figures = f"{guard.get('deleted')} of at most {guard.get('limit')} deletes within 24 hours had gone out"
    sentence = f"The Portal deleted the driver, and the guard holds the delete of {view.key} since {moment(held.at)}"
    return f"{sentence}: {figures}.", f"Approve or reject it: {command('approvals list', view.account)}."


def _parked(view: View, parked: Parked) -> Told:
    verb = "refused" if is_final(view.link.refusal) else "did not do"
    refused = f"{view.name} {verb} it: " if parked.reason == REFUSED else ""
    sentence = f"{view.whereabouts}, and set aside since {moment(parked.at)}: {refused}{parked.detail}."
    return sentence, _ADVICE[parked.reason](view, parked) if parked.reason in _ADVICE else ""


def _advice_unkeyed(*_: object) -> str:
    return "Give it a Driveri DriverID or a RefID in the Portal."


def _advice_conflict(view: View, parked: Parked) -> str:
    conflict = evidence(parked.rationale, "conflict")
    by = conflict.get("by", "id")
    if "former" in conflict:
        return (
            f"See whether they are one person. If they are, state the same licence for both, or give the {view.name} "
            f"driver this one's external id; if not, change the {by} of one of them. "
            "It is looked at again at the next change or scan."
        )
    if "swap" in conflict:
        return (
            f"Nothing, if portal driver {parked.holder} is not set aside itself: it goes on as soon as {view.name} "
            "has taken what the others of the circle get. "
            f"Else settle that one first ({command('explain', view.account, str(parked.holder))}): "
            "the temporary value goes with it."
        )
    if parked.holder:
        return (
            f"Decide whose {by} it is, and correct it in the Portal: this driver's or portal driver {parked.holder}'s. "
            "It is looked at again by itself. Where the two only change places, nothing has to be done."
        )
    return f"Leave only one driver with this {by} on {view.name}; it is looked at again at the next change or scan."


def _advice_mode(view: View, _: Parked) -> str:
    full = command("accounts mode", view.account, view.link.target, "full", "--as PERSON")
    return f"To let deletes out, set the mode to full: {full}."


def _advice_refused(view: View, _: Parked) -> str:
    if not is_final(view.link.refusal):
        return f"See whether {view.name} works for others of the account, and have it tried again: {_retry(view)}."
    freed = ", or have it freed there" if view.link.refusal == Reason.TAKEN_ELSEWHERE else ""
    return (
        f"Correct in the Portal what {view.name} objects to{freed}: the change is tried by itself. "
        f"Where nothing is to be corrected any more, have it tried just so: {_retry(view)}."
    )


def _advice_unsettled(view: View, _: Parked) -> str:
    return (
        f"Look at the driver on {view.name}: it is tried again at its next change in the Portal, or by {_retry(view)}."
    )


def _retry(view: View) -> str:
    return command("issues retry", view.account, "--driver", view.link.driver, "--as PERSON")


_ADVICE: Mapping[str, Callable[[View, Parked], str]] = {
    "unkeyed": _advice_unkeyed,
    "conflict": _advice_conflict,
    "mode": _advice_mode,
    REFUSED: _advice_refused,
    UNSETTLED: _advice_unsettled,
}


Hold = tuple[str, int]
"""A held delete of one driver: on which target, and at which version of the link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRequests:
    """The requests that had an effect on one driver: its judged holds, and its retries by their versions."""

    holds: Collection[Hold]
    retries: Collection[int]


def account_entries(facts: Iterable[Event], driver: PortalDriverId, answered: AnsweredRequests) -> Iterator[Entry]:
    """What happened to the account: its terms, and what was asked for that concerns this driver and is not told yet."""
    for fact in facts:
        said = _describe_account_event(fact, driver, answered)
        if said:
            yield _entry(fact, "account", said)


def _describe_account_event(fact: Event, driver: PortalDriverId, answered: AnsweredRequests) -> str:
    match fact:
        case DeletesJudged():
            holds = {(fact.target, int(hold)) for judged, hold in fact.holds if judged == driver}
            return describe_unmet_judgement(fact) if holds.difference(answered.holds) else ""
        case RetryRequested() if fact.driver != driver and fact.originator_version not in answered.retries:
            return ""
        case ReconciliationRequested() if fact.driver != driver:
            return ""
    return describe_account(fact)


def _entry(fact: Event, where: str, said: str, why: tuple[str, ...] = ()) -> Entry:
    return Entry(at=fact.at, where=where, version=fact.originator_version, fact=said, why=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverHistory:
    """What is known of one driver: the facts, oldest first, and how far the account has come with each target.

    `of_account` holds what the decider has taken over: of what is newer nothing can have come yet. `taken_over` is the
    sequence of the last change of the driver that the decider has taken over; 0 if none.
    """

    account: AccountId
    driver: PortalDriverId
    of_account: Sequence[Event]
    of_portal: Sequence[Event]
    of_links: Mapping[Target, Sequence[LinkEvent]]
    readiness: Mapping[Target, Readiness]
    taken_over: int

    @property
    def unstated(self) -> PortalDriver:
        """The driver before the Portal stated anything."""
        return PortalDriver(account=self.account, driver=self.driver)

    @property
    def known(self) -> PortalDriver:
        """The driver as the Portal states it now."""
        return replay(self.unstated, self.of_portal)

    @property
    def last_change(self) -> Change | None:
        """The last change of the driver, with its profile; None when the Portal never stated it."""
        return next((fact for fact in reversed(self.of_portal) if isinstance(fact, Change)), None)

    @property
    def answered(self) -> AnsweredRequests:
        """The requests of people that had an effect on this driver."""
        facts = [fact for each in self.of_links.values() for fact in each]
        holds = {(fact.target, fact.hold) for fact in facts if isinstance(fact, HoldJudged)}
        rationales = [fact.rationale for fact in facts if isinstance(fact, Decision | DeleteHeld | Parked)]
        retries = {int(rationale["ref"]) for rationale in rationales if rationale.get("trigger") == "retry"}
        return AnsweredRequests(holds=holds, retries=retries)

    def start(self, target: Target) -> Past:
        """The driver's link with a target before anything was decided."""
        return Past(link=DriverLink(account=self.account, target=target, driver=self.driver))

    def past(self, target: Target) -> Past:
        """The driver's link with a target as it is now."""
        return reduce(Past.after, self.of_links[target], self.start(target))


def load(
    account: AccountId, driver: PortalDriverId, *, accounts: Store, intake: Store, decider: Store
) -> DriverHistory:
    """Everything about a portal driver in these stores. Raises `StoreFailed`."""
    is_added = bool(accounts_of(accounts, [account]))
    readiness = {target: replace(each, is_added=is_added) for target, each in readiness_of(decider, account).items()}
    return DriverHistory(
        account=account,
        driver=driver,
        of_account=_taken_over(accounts, account, readiness),
        of_portal=_history(intake, portal_driver_stream(account, driver)),
        of_links={target: _decided(decider, link_stream(account, target, driver)) for target in Target},
        readiness=readiness,
        taken_over=next(
            (row.sequence for row in decider.select(DesiredRow, {"account": account, "driver": driver})), 0
        ),
    )


def _taken_over(accounts: Store, account: AccountId, readiness: Mapping[Target, Readiness]) -> list[Event]:
    version = max(each.account.version for each in readiness.values())
    return [fact for fact in _history(accounts, account_stream(account)) if fact.originator_version <= version]


def _decided(decider: Store, link: UUID) -> list[LinkEvent]:
    return [fact for fact in _history(decider, link) if isinstance(fact, LinkEvent)]


def _history(store: Store, history: UUID) -> Sequence[Event]:
    return store.histories([history])[history]


_ORDER = ("portal", "account", *map(str, Target))
"""What is told first of things that happened at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of a driver, the timeline oldest first.

    Only `header` holds a name, and nothing holds an e-mail address, a phone or a licence. `is_known` is false when
    the Portal never stated such a driver: then there is nothing but the header.
    """

    account: str
    driver: str
    is_known: bool
    header: str
    portal: str
    states: tuple[DriverState, ...]
    timeline: tuple[Entry, ...]

    def lines(self) -> Iterator[str]:
        """The explanation as plain text: first the state on each target, then the history."""
        yield self.header
        if self.is_known:
            yield f"Portal: {self.portal}"
            yield from self._state_lines()
            yield ""
            yield from self._timeline_lines()

    def _state_lines(self) -> Iterator[str]:
        for each in self.states:
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
    """Explain a portal driver, by the histories in these stores. Raises `StoreFailed`.

    Without the projectors' stores nothing is said of decisions and answers that wait between them and the decider.
    """
    driver_history = load(account, driver, accounts=accounts, intake=intake, decider=decider)
    change = driver_history.last_change
    return Explanation(
        account=account,
        driver=driver,
        is_known=change is not None,
        header=_header(change) if change else f"The Portal never stated a driver {driver} in account {account}.",
        portal=_portal(change) if change else "",
        states=tuple(_states(driver_history, projectors or {})) if change else (),
        timeline=tuple(sorted(_entries(driver_history), key=_place)) if change else (),
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


def _states(driver_history: DriverHistory, projectors: Mapping[Target, Store]) -> Iterator[DriverState]:
    change_waits = waits_of_change(driver_history.last_change, driver_history.taken_over)
    for target, readiness in driver_history.readiness.items():
        past = driver_history.past(target)
        waits = change_waits
        if waits is None and target in projectors:
            waits = waits_of_link(past.link, projectors[target])
        yield state_on(View(driver=driver_history.known, past=past, readiness=readiness, waits=waits))


def _entries(driver_history: DriverHistory) -> Iterator[Entry]:
    yield from portal_entries(driver_history.unstated, driver_history.of_portal)
    yield from account_entries(driver_history.of_account, driver_history.driver, driver_history.answered)
    for target, facts in driver_history.of_links.items():
        yield from link_entries(driver_history.start(target), facts)


def _place(entry: Entry) -> tuple[object, ...]:
    return entry.at, _ORDER.index(entry.where), entry.version


router = APIRouter(prefix="/accounts/{account}/explanation", tags=["explanations"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The explanation of one driver, as values and as lines of text."""

    explanation: Explanation
    lines: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The drivers who may be meant, where there are several."""

    candidates: list[Candidate]


@router.get("")
async def explain_driver(known: KnownAccount, installation: Installed, driver: str = "") -> Explained | Candidates:
    """Explain how a driver stands on each target, and how it came about."""
    readers = installation.readers
    found = await readers.call(find_drivers, readers.decider, known.account, driver)
    found = found or await readers.call(find_stated, readers.intake, known.account, driver)
    if len(found) > 1:
        return Candidates(candidates=found)
    named_driver = PortalDriverId(found[0].driver if found else driver)
    explanation = await readers.call(_explain, readers, known.account, named_driver)
    if not explanation.is_known:
        raise await readers.call(unknown_driver, readers.intake, known.account, driver)
    return Explained(explanation=explanation, lines=list(explanation.lines()))


def _explain(readers: Readers, account: AccountId, driver: PortalDriverId) -> Explanation:
    return explain(
        account,
        driver,
        accounts=readers.accounts,
        intake=readers.intake,
        decider=readers.decider,
        projectors=readers.projectors,
    )
