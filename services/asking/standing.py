"""How a driver stands on a target now, and what a person could do about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from domain.account import Mode
from domain.driver_link import (
    REFUSED,
    UNSETTLED,
    Decision,
    Deferred,
    DeleteHeld,
    DeleteRejected,
    DriverLink,
    Parked,
)
from domain.failures import Reason, is_final
from domain.portal import PortalDriver
from services.asking.readiness import Hindrance, Readiness, advice_on
from services.asking.telling.because import evidence
from services.asking.telling.link import told
from services.asking.telling.past import Past
from services.asking.telling.words import command, field_names, keyed, moment, named
from services.asking.waiting import Waits
from services.decider.read_models import to_link_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a driver stands on a target: `state` is that of its link, or `undecided` when there is none.

    `advice` says what a person could do; empty if there is nothing.
    """

    target: str
    state: str
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a standing is told from: the driver, its link with its past, and how far the account has come."""

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
        """The fields that drifted in the last sweep, and in the one before that too."""
        drift, last = self.link.drift, self.readiness.sweep
        return drift.at_odds if drift and last and last.version == drift.sweep else ()

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


def standing(view: View) -> Standing:
    """How the driver stands on the target; what keeps the whole account from moving is told first."""
    state = _state(view)
    sentence, advice = _told(view, state)
    hindrance = view.readiness.hindrance()
    if hindrance and not _is_done(view, state):
        sentence, advice = _hindered(hindrance, sentence, state)
    if view.waits and view.readiness.is_known:
        sentence, advice = _waiting(view.waits, sentence, advice, state)
    return Standing(target=str(view.link.target), state=state, sentence=sentence, advice=advice)


def _state(view: View) -> str:
    if not view.link.version:
        return "undecided"
    state = to_link_row(view.link).state
    return "in_step" if state == "kept" and view.driver.is_there else state


def _told(view: View, state: str) -> Told:
    sentence, advice = _told_of_link(view, state)
    return (f"{sentence} {_at_odds(view)}", advice or _advice_at_odds(view)) if view.at_odds else (sentence, advice)


def _at_odds(view: View) -> str:
    fields = field_names(view.at_odds)
    return f"Two writers are at odds: {fields} had been changed on {view.name} before each of the last two sweeps."


def _advice_at_odds(view: View) -> str:
    return (
        f"Find out who else writes {field_names(view.at_odds)} on {view.name}, and have them change it in the Portal "
        "instead: every sweep overrides it."
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
    "in_step": _in_step,
    "kept": _kept,
    "ended": _ended,
}


def _pending(view: View, decided: Decision) -> Told:
    sentence, target = told(decided, view.past), view.link.target
    if view.readiness.account.mode(target) is Mode.OBSERVE:
        full = command("accounts mode", view.account, target, "full", "--as PERSON")
        advice = f"To have it sent, set the mode to full: {full}."
        return f"{view.whereabouts}. Decided, but nothing is sent in the mode observe: {sentence}", advice
    if stoppage := view.readiness.stoppage():
        return f"{view.whereabouts}. {sentence} {stoppage.sentence}", stoppage.advice
    deferred = view.past.last(Deferred)
    if deferred and deferred.decision == decided.originator_version:
        advice = advice_on(deferred.reason, view.account, target)
        return f"{view.whereabouts}. {sentence} {told(deferred, view.past)}", advice
    return f"{view.whereabouts}. On its way: {sentence}", ""


def _held(view: View, held: DeleteHeld) -> Told:
    guard = held.because.get("guard", {})
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


def _advice_contested(view: View, parked: Parked) -> str:
    contest = evidence(parked.because, "contest")
    by = contest.get("by", "id")
    if "former" in contest:
        return (
            f"See whether they are one person. If they are, state the same licence for both, or give the {view.name} "
            f"driver this one's external id; if not, change the {by} of one of them. "
            "It is looked at again at the next change or walk."
        )
    if "swap" in contest:
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
    return f"Leave only one driver with this {by} on {view.name}; it is looked at again at the next change or walk."


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
    "contested": _advice_contested,
    "mode": _advice_mode,
    REFUSED: _advice_refused,
    UNSETTLED: _advice_unsettled,
}
