"""Why something was decided, in words: what made us look, the situation, what the roster showed, mode and guard."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.account import Mode
from domain.driver_link import Because, Decision, DeleteApproved, DeleteHeld, DriftFound, LinkEvent, Parked
from domain.situations import Situation
from services.asking.telling.past import Past
from services.asking.telling.words import deleted, keyed, moment, named

_CAUSES: Mapping[str, str] = {
    "change": "change {ref} of the Portal",
    "walk": "{sweep}walk {ref} of {name}'s roster",
    "sweep": "somebody asked for a sweep of this driver on {name} (account {ref})",
    "answer": "{name}'s answer to decision {ref}",
    "freed": "{freed} came free",
    "approval": "the approval of the set {ref}{approver}",
    "retry": "somebody asked to look at it again (account {ref})",
    "reached": "{name} answers again",
}
_SITUATIONS: Mapping[str, str] = {
    Situation.UNKEYED: "the Portal gives nothing by which {name} could name the driver",
    Situation.CONTESTED: "somebody else has what the wish needs, or several drivers on {name} answer to it",
    Situation.ABSENT: "the Portal wants the driver, nothing is linked, and nobody on {name} answers to the wish",
    Situation.FOUND: "the Portal wants the driver, nothing is linked, and {name} has one whom nobody claims",
    Situation.DORMANT: "the Portal wants the driver, nothing is linked, and {name} has the driver as {deleted}",
    Situation.MISSING: "the Portal wants the driver, and the linked one is not active on {name} any more",
    Situation.OUTDATED: "the Portal wants something else than was told to {name} last",
    Situation.DRIFTED: "{name} shows something else than it confirmed, and we did not do it",
    Situation.IN_STEP: "{name} shows what the Portal wants",
    Situation.RENAMED: "the wished DriverID is another one, and nobody else on {name} has it",
    Situation.REDIRECTED: "the wished DriverID is another one, and {name} has a driver with it whom nobody claims",
    Situation.ORPHANED: "the Portal deleted the driver, and {name} has it still, or is about to",
    Situation.GONE: "the Portal deleted the driver, and {name} does not have it any more",
    Situation.UNSEEN: "a list of the Portal lacks the driver, which alone is no proof of anything",
    Situation.STRAY: "{name} has a driver whom no link claims",
    Situation.UNLINKED: "the Portal deleted the driver, and nothing is linked",
}
_MODES: Mapping[str, str] = {
    Mode.OFF: "nothing is decided or sent",
    Mode.OBSERVE: "decided and recorded, but nothing is sent",
    Mode.UPSERT: "everything but deletes is sent",
    Mode.FULL: "everything is sent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a fact was decided on: the reasons stored with it, and what had happened on its link before."""

    event: LinkEvent
    because: Because
    past: Past

    @property
    def target(self) -> str:
        """The target by its name."""
        return named(self.event.target)


def evidence(because: Because, name: str) -> Mapping[str, object]:
    """What the roster or the claims showed under this name; empty if they showed nothing."""
    seen: Mapping[str, object] = because.get("evidence", {}).get(name, {})
    return seen


def reasons(event: LinkEvent, past: Past) -> tuple[str, ...]:
    """Why, as a sentence for each ground; empty for facts that need none."""
    if not isinstance(event, Decision | DeleteHeld | Parked | DriftFound):
        return ()
    ground = Ground(event=event, because=event.because, past=past)
    told = (reason(ground) for reason in (_cause, _situation, _roster, _contest, _left_out, _guard, _mode))
    return tuple(sentence for sentence in told if sentence)


def _cause(ground: Ground) -> str:
    cause, ref = ground.because.get("cause", ""), ground.because.get("ref", "").removeprefix("decision ")
    if not cause:
        return ""
    words = _CAUSES.get(cause, f"{cause} {{ref}}").format(
        name=ground.target, ref=ref, freed=_freed(ground.past), approver=_approver(ground.past), sweep=_sweep(ground)
    )
    return f"Cause: {words.rstrip()}."


def _sweep(ground: Ground) -> str:
    sweep = ground.because.get("sweep")
    return f"sweep {sweep}, after " if sweep else ""


def _freed(past: Past) -> str:
    parked = past.last(Parked)
    contest = evidence(parked.because, "contest") if parked else {}
    if "holder" not in contest:
        return "what it had waited for"
    return f"the {contest['by']} that portal driver {contest['holder']} had claimed"


def _approver(past: Past) -> str:
    approved = past.last(DeleteApproved)
    return f" by {approved.by}" if approved else ""


def _situation(ground: Ground) -> str:
    situation = ground.because.get("situation")
    if situation is None:
        return ""
    words = _SITUATIONS.get(situation, "").format(name=ground.target, deleted=deleted(ground.event.target))
    return f"Situation {situation}: {words}."


def _roster(ground: Ground) -> str:
    seen = " and ".join(_sightings(ground))
    return f"The roster showed {seen}." if seen else ""


def _sightings(ground: Ground) -> Iterator[str]:
    linked, found = evidence(ground.because, "linked"), evidence(ground.because, "found")
    if linked:
        yield f"the linked driver, {_sighting(ground, linked)}"
    if found and found != linked:
        yield f"the wished driver, {_sighting(ground, found)}"


def _sighting(ground: Ground, shown: Mapping[str, object]) -> str:
    target = ground.event.target
    seen = f" (seen at {moment(datetime.fromisoformat(str(shown['seen'])))})" if "seen" in shown else ""
    return f"{keyed(target, str(shown['key']))}, as {'active' if shown['active'] else deleted(target)}{seen}"


def _contest(ground: Ground) -> str:
    contest = evidence(ground.because, "contest")
    if "swap" in contest:
        return f"It changes places with portal driver {contest['holder']}, who has its {contest['by']} still."
    if "holder" in contest:
        return f"Portal driver {contest['holder']} has claimed its {contest['by']}."
    if "former" in contest:
        return (
            f"The {ground.target} driver with its {contest['by']} was portal driver {contest['former']}, "
            f"and {contest['against']}."
        )
    return f"{contest['candidates']} drivers on {ground.target} have its {contest['by']}." if contest else ""


def _left_out(ground: Ground) -> str:
    if isinstance(ground.event, Decision) and ground.event.waits_for:
        return f"The Driveri DriverID is left out on {ground.target} for now: another driver has it there."
    return ""


def _guard(ground: Ground) -> str:
    guard = ground.because.get("guard")
    if not guard:
        return ""
    return (
        f"Guard: {guard['deleted']} of at most {guard['limit']} deletes within 24 hours had gone out, "
        f"and {guard['held']} were held."
    )


def _mode(ground: Ground) -> str:
    mode = ground.because.get("mode")
    return f"Mode {mode}: {_MODES.get(mode, '')}." if mode else ""
