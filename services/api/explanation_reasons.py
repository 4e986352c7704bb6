"""Why something was decided, in words: what triggered it, the situation, what the roster showed, guard and mode."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from domain.account import Mode
from domain.driver_link import Decision, DeleteApproved, DeleteHeld, DriftFound, LinkEvent, Parked, Rationale
from domain.situations import Situation
from services.api.explanation_text import Past, deleted, evidence, keyed, moment, named

_CAUSES: Mapping[str, str] = {
    "change": "change {ref} of the Portal",
    "scan": "{reconciliation}scan {ref} of {name}'s roster",
    "reconciliation": "somebody asked for a reconciliation of this driver on {name} (account {ref})",
    "answer": "{name}'s answer to decision {ref}",
    "freed": "{freed} came free",
    "approval": "the approval of the set {ref}{approver}",
    "retry": "somebody asked to look at it again (account {ref})",
    "reached": "{name} answers again",
    "hint": "{name} hinted that user {ref} had changed there",
}
_SITUATIONS: Mapping[str, str] = {
    Situation.UNKEYED: "the Portal gives nothing by which {name} could name the driver",
    Situation.CONFLICT: "somebody else has what the desired state needs, or several drivers on {name} answer to it",
    Situation.ABSENT: "the Portal wants the driver, nothing is linked, and no driver on {name} matches it",
    Situation.FOUND: "the Portal wants the driver, nothing is linked, and {name} has one that no link claims",
    Situation.DORMANT: "the Portal wants the driver, nothing is linked, and {name} has the driver as {deleted}",
    Situation.MISSING: "the Portal wants the driver, and the linked one is not active on {name} any more",
    Situation.OUTDATED: "the Portal wants something else than was last sent to {name}",
    Situation.DRIFTED: "{name} shows something else than it confirmed, and we did not do it",
    Situation.IN_SYNC: "{name} shows what the Portal wants",
    Situation.RENAMED: "the desired DriverID is another one, and no other driver on {name} has it",
    Situation.REDIRECTED: "the desired DriverID is another one, and {name} has a driver with it that no link claims",
    Situation.ORPHANED: "the Portal deleted the driver, and {name} has it still, or is about to",
    Situation.GONE: "the Portal deleted the driver, and {name} does not have it any more",
    Situation.UNSEEN: "a list of the Portal lacks the driver, which alone proves nothing",
    Situation.UNMANAGED: "{name} has a driver that no link claims",
    Situation.UNLINKED: "the Portal deleted the driver, and nothing is linked",
}
_MODES: Mapping[str, str] = {
    Mode.OFF: "nothing is decided or sent",
    Mode.OBSERVE: "decided and recorded, but nothing is sent",
    Mode.UPSERT: "everything but deletes is sent",
    Mode.FULL: "everything is sent",
}


def reasons(event: LinkEvent, past: Past) -> tuple[str, ...]:
    """Why, as a sentence for each ground; empty for facts that need none."""
    if not isinstance(event, Decision | DeleteHeld | Parked | DriftFound):
        return ()
    return tuple(filter(None, _reasons(event, event.rationale, past)))


def _reasons(event: LinkEvent, rationale: Rationale, past: Past) -> Iterator[str]:
    name = named(event.target)
    yield _trigger(name, rationale, past)
    if situation := rationale.get("situation"):
        words = _SITUATIONS.get(situation, "").format(name=name, deleted=deleted(event.target))
        yield f"Situation {situation}: {words}."
    if shown := " and ".join(_sightings(event.target, rationale)):
        yield f"The roster showed {shown}."
    if conflict := evidence(rationale, "conflict"):
        yield _conflict(name, conflict)
    if isinstance(event, Decision) and event.waits_for:
        yield f"The Driveri DriverID is left out on {name} for now: another driver has it there."
    if guard := rationale.get("guard"):
        yield (
            f"Guard: {guard['deleted']} of at most {guard['limit']} deletes within 24 hours had gone out, "
            f"and {guard['held']} were held."
        )
    if mode := rationale.get("mode"):
        yield f"Mode {mode}: {_MODES.get(mode, '')}."


def _trigger(name: str, rationale: Rationale, past: Past) -> str:
    trigger = rationale.get("trigger", "")
    if not trigger:
        return ""
    freed, parked, approved = "what it had waited for", past.last(Parked), past.last(DeleteApproved)
    conflict = evidence(parked.rationale, "conflict") if parked else {}
    if "holder" in conflict:
        freed = f"the {conflict['by']} that portal driver {conflict['holder']} had claimed"
    reconciliation = rationale.get("reconciliation")
    words = _CAUSES.get(trigger, f"{trigger} {{ref}}").format(
        name=name,
        ref=rationale.get("ref", "").removeprefix("decision "),
        freed=freed,
        approver=f" by {approved.by}" if approved else "",
        reconciliation=f"reconciliation {reconciliation}, after " if reconciliation else "",
    )
    return f"Trigger: {words.rstrip()}."


def _sightings(target: str, rationale: Rationale) -> Iterator[str]:
    linked, found = evidence(rationale, "linked"), evidence(rationale, "found")
    for words, shown in (("the linked driver", linked), ("the desired driver", found if found != linked else {})):
        if shown:
            seen = f" (seen at {moment(datetime.fromisoformat(str(shown['seen'])))})" if "seen" in shown else ""
            state = "active" if shown["active"] else deleted(target)
            yield f"{words}, {keyed(target, str(shown['key']))}, as {state}{seen}"


def _conflict(name: str, conflict: Mapping[str, object]) -> str:
    by = conflict["by"]
    if "swap" in conflict:
        return f"It changes places with portal driver {conflict['holder']}, who has its {by} still."
    if "holder" in conflict:
        return f"Portal driver {conflict['holder']} has claimed its {by}."
    if "former" in conflict:
        former, against = conflict["former"], conflict["against"]
        return f"The {name} driver with its {by} was portal driver {former}, and {against}."
    return f"{conflict['candidates']} drivers on {name} have its {by}."
