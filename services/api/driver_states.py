"""The state of one driver on one target in a sentence or two, and what a person could do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.account import Mode
from domain.driver_link import REFUSED, UNDONE, UNSETTLED, Decision, Deferred, DeleteRejected, DriverLink, Parked
from domain.failures import Reason, is_final
from domain.portal import PortalDriver
from services.api.explanation_text import Past, command, describe_link, evidence, field_names, keyed, moment, named
from services.api.readiness import Hindrance, Readiness, advice_on
from services.api.schema import ResponseBody
from services.decider.read_models import to_link_row


class DriverState(ResponseBody):
    """The state of a driver on a target: `state` is that of its link, or `undecided` when there is none.

    `advice` says what a person could do; empty if there is nothing.
    """

    target: str
    state: str
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a state is described from: the driver, its link with its past, and how far the account has come.

    `waits` says what waits for the driver between the services.
    """

    driver: PortalDriver
    past: Past
    readiness: Readiness
    waits: Hindrance | None = None

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


_Described = tuple[str, str]
"""A sentence, and what a person could do about it."""


def state_on(view: View) -> DriverState:
    """How the driver stands on the target; what keeps the whole account from moving comes first."""
    state = to_link_row(view.link).state if view.link.version else "undecided"
    if state == "kept" and view.driver.is_there:
        state = "in_sync"
    sentence, advice = _of_link(view, state)
    if view.at_odds:
        fields = field_names(view.at_odds)
        sentence = (
            f"{sentence} Two writers are at odds: {fields} had been changed on {view.name} before both of the last "
            "reconciliations."
        )
        advice = advice or (
            f"Find out who else writes {fields} on {view.name}, and have them change it in the Portal instead: "
            "every reconciliation overrides it."
        )
    is_over = not view.driver.is_there and state in ("ended", "undecided")
    if (hindrance := view.readiness.hindrance()) and not is_over:
        before = "" if state == "undecided" else f" As it stood before: {sentence}"
        sentence, advice = f"{hindrance.sentence}{before}", hindrance.advice
    if view.waits and view.readiness.is_known:
        # What the link says may be over by now.
        before = "" if state == "undecided" and not advice else f" As it stood before: {sentence}"
        sentence, advice = f"{view.waits.sentence}{before}", advice or view.waits.advice
    return DriverState(target=str(view.link.target), state=state, sentence=sentence, advice=advice)


def _of_link(view: View, state: str) -> _Described:
    link = view.link
    if link.parked:
        verb = "refused" if is_final(link.refusal) else "did not do"
        refused = f"{view.name} {verb} it: " if link.parked.reason == REFUSED else ""
        since, detail = moment(link.parked.at), link.parked.detail
        if link.parked.reason == UNDONE and link.undone:
            detail = f"undone by {link.undone.by} on {moment(link.undone.at)}"
        sentence = f"{view.whereabouts}, and set aside since {since}: {refused}{detail}."
        return sentence, advice_on_parked(link)
    if link.held:
        guard = link.held.rationale.get("guard", {})
        sentence = (
            f"The Portal deleted the driver, and the guard holds the delete of {view.key} since "
            f"{moment(link.held.at)}: {guard.get('deleted')} of at most {guard.get('limit')} deletes within 24 hours "
            "had gone out."
        )
        return sentence, f"Approve or reject it: {command('approvals list', view.account)}."
    return _of_pending(view, link.pending) if link.pending else (_at_rest(view, state), "")


def _at_rest(view: View, state: str) -> str:
    is_there = view.driver.is_there
    match state:
        case "undecided" if is_there:
            return "Nothing is decided yet: the driver is waiting for its turn."
        case "undecided":
            return f"Nothing was ever decided for {view.name}, and the Portal has deleted the driver."
        case "in_sync" if is_there:
            left_out = " without its Driveri DriverID, which another driver has there" if view.link.waits_for else ""
            return f"In sync: linked to {view.key}{left_out}."
        case "in_sync":
            return f"Still linked to {view.key}, though the Portal deleted the driver."
        case "kept":
            rejected = view.past.last(DeleteRejected)
            by = rejected.by if rejected else "somebody"
            return f"The Portal deleted the driver, but {by} rejected the delete: {view.key} stays on {view.name}."
    if view.driver.erased_at:
        return f"The driver was erased at {moment(view.driver.erased_at)}, and no driver on {view.name} is linked."
    if is_there:
        return f"Not there: no driver on {view.name} is linked."
    return f"The Portal deleted the driver, and no driver on {view.name} is linked any more."


def _of_pending(view: View, decided: Decision) -> _Described:
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


def advice_on_parked(link: DriverLink) -> str:
    """What a person could do about a link that is set aside; empty if there is nothing, or it is not."""
    parked, name = link.parked, named(link.target)
    if parked is None:
        return ""
    retry = command("issues retry", link.account, "--driver", link.driver, "--as PERSON")
    ours = {
        "unkeyed": "Give it a Driveri DriverID or a RefID in the Portal.",
        UNDONE: f"Change the driver in the Portal, or bring it to the Portal's state again: {retry}.",
        UNSETTLED: f"Look at the driver on {name}: it is tried again at its next change in the Portal, or by {retry}.",
    }
    if parked.reason in ours:
        return ours[parked.reason]
    if parked.reason == "conflict":
        return _advice_on_conflict(link, parked)
    if parked.reason == "mode":
        full = command("accounts mode", link.account, link.target, "full", "--as PERSON")
        return f"To let deletes out, set the mode to full: {full}."
    if parked.reason == UNSETTLED:
        return f"Look at the driver on {name}: it is tried again at its next change in the Portal, or by {retry}."
    if parked.reason != REFUSED:
        return ""
    if not is_final(link.refusal):
        return f"See whether {name} works for others of the account, and have it tried again: {retry}."
    freed = ", or have it freed there" if link.refusal == Reason.TAKEN_ELSEWHERE else ""
    return (
        f"Correct in the Portal what {name} objects to{freed}: the change is tried automatically. "
        f"Where nothing is to be corrected any more, have it tried just so: {retry}."
    )


def _advice_on_conflict(link: DriverLink, parked: Parked) -> str:
    name, conflict = named(link.target), evidence(parked.rationale, "conflict")
    by = conflict.get("by", "id")
    if "former" in conflict:
        return (
            f"See whether they are one person. If they are, state the same licence for both, or give the {name} "
            f"driver this one's external id; if not, change the {by} of one of them. "
            "It is looked at again at the next change or scan."
        )
    if "swap" in conflict:
        return (
            f"Nothing, if portal driver {parked.holder} is not set aside itself: it goes on as soon as {name} "
            "has taken what the others of the circle get. "
            f"Else settle that one first ({command('explain', link.account, str(parked.holder))}): "
            "the temporary value goes with it."
        )
    if parked.holder:
        return (
            f"Decide whose {by} it is, and correct it in the Portal: this driver's or portal driver {parked.holder}'s. "
            "It is looked at again automatically. Where the two only change places, nothing has to be done."
        )
    return f"Leave only one driver with this {by} on {name}; it is looked at again at the next change or scan."
