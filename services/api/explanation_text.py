"""Facts about a driver, a link and an account in a plain sentence or two each, and why something was decided.

`Past` is what had happened on a link before a fact: without it many a fact cannot be described.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import singledispatch
from typing import TypeVar

from domain.account import (
    DeletesApproved,
    DeletesJudged,
    Mode,
    ModeSet,
    ReconciliationRequested,
    RetryRequested,
    Role,
    SyncAllowed,
    SyncTurnedOff,
    SyncTurnedOn,
    UndoRequested,
)
from domain.driver_link import (
    EXISTS,
    REFUSED,
    UNDONE,
    Confirmed,
    CreateDecided,
    Decision,
    Deferred,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DeleteRejected,
    DriftFound,
    DriverLink,
    LinkDecided,
    LinkErased,
    LinkEvent,
    Parked,
    Rationale,
    Refused,
    ReinstateDecided,
    Released,
    RenameDecided,
    Undone,
    UndoRefused,
    UpdateDecided,
    apply,
)
from domain.failures import is_final
from domain.identity import Target
from domain.portal import (
    DriverCreated,
    DriverDeleted,
    DriverErased,
    DriverMissed,
    DriverSeenAgain,
    DriverUpdated,
    PortalDriver,
    PortalDriverEvent,
)
from domain.profile import FIELD_WORDS, SPECS, Profile, TargetSpec, is_erased
from domain.situations import Situation
from domain.store import Event
from domain.undoing import Ending

_SPECS: Mapping[str, TargetSpec] = {str(target): spec for target, spec in SPECS.items()}
_ROLES: Mapping[str, str] = {Role.MASTER_USER: "Master User", Role.ACCOUNT_MANAGER: "account manager"}


def named(target: str) -> str:
    """A target by its name."""
    spec = _SPECS.get(target)
    return spec.name if spec else target


def keyed(target: str, key: str) -> str:
    """A target driver by its key."""
    spec = _SPECS.get(target)
    return f"{spec.key_words if spec else 'key'} {key}"


def deleted(target: str) -> str:
    """What a driver is called that the target keeps, but not as an active one."""
    spec = _SPECS.get(target)
    return spec.deleted_words if spec else "deleted"


def field_name(field: str) -> str:
    """A field of a profile by its name; never what stands in it."""
    return FIELD_WORDS.get(field, field.replace("_", " "))


def field_names(fields: Iterable[str]) -> str:
    """Fields of a profile by their names, as one phrase."""
    return listed(map(field_name, fields))


def listed(phrases: Iterable[str]) -> str:
    """Phrases as one: `a, b and c`."""
    *others, last = [*phrases] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def moment(at: datetime) -> str:
    """A moment, to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def person(by: str, role: str) -> str:
    """Who acted, and as what, where their name does not say it."""
    return by if by == role else f"{by} ({_ROLES.get(role, role)})"


def erased_on(at: datetime | str) -> str:
    """What stands in the place of the name of a driver that was erased at this moment."""
    return f"erased on {datetime.fromisoformat(at) if isinstance(at, str) else at:%Y-%m-%d}"


def shown_name(profile: Profile, erased: str) -> str:
    """The driver's name, or since when it is erased (ISO 8601), where it is."""
    return erased_on(erased) if erased else name_of(profile)


def name_of(profile: Profile) -> str:
    """The driver's name, for the account's own people; empty if the Portal gives none."""
    if is_erased(profile):
        return "erased"
    return " ".join(profile[field] for field in ("first_name", "last_name") if field in profile)


def command(name: str, *arguments: str) -> str:
    """A command of ours, as it is typed."""
    return f"`{' '.join(('driverlink', name, *arguments))}`"


def describe_account(event: Event) -> str:
    """A fact about an account; empty if it says nothing about its drivers."""
    match event:
        case SyncAllowed():
            return f"{person(event.by, event.role)} allowed Sync Drivers on the account's tier."
        case SyncTurnedOn():
            return f"{person(event.by, event.role)} turned Sync Drivers on."
        case SyncTurnedOff():
            return f"{person(event.by, event.role)} turned Sync Drivers off."
        case ModeSet():
            return f"{person(event.by, event.role)} set the mode for {named(event.target)} to {event.mode}."
        case UndoRequested():
            return f"{person(event.by, event.role)} had {_scope(event)} undone on {named(event.target)}."
        case ReconciliationRequested():
            who = f"driver {event.driver}" if event.driver else "everybody"
            return f"{person(event.by, event.role)} asked for a reconciliation of {who} on {named(event.target)}."
        case RetryRequested():
            who = f"driver {event.driver}, where set aside" if event.driver else "who is set aside"
            why = f" ({event.reason.replace('_', ' ')})" if event.reason else ""
            where = named(event.target) if event.target else "any target"
            return f"{person(event.by, event.role)} asked to look again at {who}{why} on {where}."
    return ""


def _scope(event: UndoRequested) -> str:
    """What was to be undone."""
    of_driver = f" of driver {event.only}" if event.only else ""
    if event.undo_decision:
        return f"decision {event.undo_decision}{of_driver}"
    if event.undo_reconciliation:
        return f"reconciliation {event.undo_reconciliation}{of_driver}"
    return f"everything{of_driver} since {moment(datetime.fromisoformat(event.undo_since))}"


def describe_unmet_judgement(event: DeletesJudged) -> str:
    """A person's word on a held delete that nothing came of."""
    verb = "approved" if isinstance(event, DeletesApproved) else "rejected"
    return (
        f"{person(event.by, event.role)} {verb} a held delete on {named(event.target)}, and nothing came of it: "
        "it was not that hold any more, the mode is not full, or the approval came too late."
    )


E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A link at a moment, the last fact of each kind before it, and the temporary ids that it has had."""

    link: DriverLink
    facts: Mapping[type[Event], Event] = field(default_factory=dict)
    temporary: frozenset[str] = frozenset()

    def last(self, kind: type[E]) -> E | None:
        """The last fact of this kind."""
        fact = self.facts.get(kind)
        return fact if isinstance(fact, kind) else None

    def after(self, event: Event) -> "Past":
        """The past of whatever comes behind this fact."""
        temporary = self.temporary
        if isinstance(event, RenameDecided) and is_stepping_aside(event):
            temporary |= {event.desired_key or ""}
        facts = {**self.facts, type(event): event}
        return replace(self, link=apply(self.link, event), facts=facts, temporary=temporary)


def is_stepping_aside(event: RenameDecided) -> bool:
    """Whether a rename is to a temporary id, so that drivers who wait for each other's ids can move on."""
    return event.rationale.get("situation") == Situation.CONFLICT


@singledispatch
def describe_link(event: LinkEvent, past: Past) -> str:
    """A fact of a link, for a person who knows what is in `past`."""
    raise TypeError(f"there are no words for {type(event).__name__} at version {past.link.version}")


@describe_link.register
def _created(event: CreateDecided, _: Past) -> str:
    key = f", {_keyed(event, event.desired_key)}" if event.desired_key else ""
    return f"{named(event.target)} is to get a new driver{key}."


@describe_link.register
def _linked(event: LinkDecided, _: Past) -> str:
    key = _keyed(event, event.desired_key)
    if _leaves(event):
        return f"Linked to {key} from now on.{_left_behind(event)}{_brought(event)}"
    return f"{named(event.target)} has the driver already: linked to {key}, nothing is created.{_brought(event)}"


@describe_link.register
def _reinstated(event: ReinstateDecided, _: Past) -> str:
    key = _keyed(event, event.desired_key)
    kept = f"{named(event.target)} has {key} as {deleted(event.target)}: that driver is to be reinstated"
    if _leaves(event):
        return f"{kept} and linked.{_left_behind(event)}{_brought(event)}"
    return f"{kept}.{_brought(event)}"


@describe_link.register
def _renamed(event: RenameDecided, past: Past) -> str:
    key, desired = event.key or "", event.desired_key or ""
    former = f"the temporary id {key}" if key in past.temporary else key
    if is_stepping_aside(event):
        return (
            f"The DriverID is to change from {former} to the temporary id {desired}: "
            "drivers wait for each other's ids in a circle, and this one steps aside."
        )
    only = ": only the letter case differs" if key.casefold() == desired.casefold() else ""
    along = f" Along with it: {field_names(event.fields)}." if event.fields else ""
    return f"The DriverID is to change from {former} to {desired}{only}.{along}"


@describe_link.register
def _updated(event: UpdateDecided, _: Past) -> str:
    name = named(event.target)
    if not event.fields:
        return f"Nothing is to change on {name} any more: what was on its way is withdrawn."
    if event.rationale.get("situation") == Situation.CONFLICT:
        return (
            f"On {name} the driver gets a temporary value in {field_names(event.fields)}: "
            "drivers wait for each other's values in a circle, and this one steps aside."
        )
    if event.rationale.get("situation") == Situation.DRIFTED:
        return f"The Portal wins: what {name} shows is overridden in {field_names(event.fields)}."
    return f"{name} is to be updated from the Portal: {field_names(event.fields)}."


@describe_link.register
def _deleted(event: DeleteDecided, _: Past) -> str:
    name = named(event.target)
    if event.key is None:
        return f"Nothing is there to be deleted on {name}: what was on its way is withdrawn."
    return f"{name} is to {SPECS[Target(event.target)].delete_verb} {_keyed(event, event.key)}."


@describe_link.register
def _held(event: DeleteHeld, _: Past) -> str:
    return f"The guard against mass deletion holds the delete of {_keyed(event, event.key)} until a person decides."


@describe_link.register
def _approved(event: DeleteApproved, _: Past) -> str:
    return f"{event.by} approved the held delete."


@describe_link.register
def _rejected(event: DeleteRejected, past: Past) -> str:
    stays = f"{_keyed(event, past.link.key)} stays on {named(event.target)}"
    return f"{event.by} rejected the held delete: {stays}."


@describe_link.register
def _recalled(event: DeleteRecalled, _: Past) -> str:
    return f"The held delete on {named(event.target)} was recalled: no decision is needed any more."


@describe_link.register
def _parked(event: Parked, past: Past) -> str:
    if event.reason == REFUSED and not is_final(past.link.refusal):
        return f"Set aside until {named(event.target)} answers again, or somebody asks for another try."
    if event.reason == REFUSED:
        return f"Set aside until the Portal states something else: {named(event.target)} would refuse the same again."
    return f"Set aside: {event.detail}."


@describe_link.register
def _undone(event: Undone, _: Past) -> str:
    name, fields = named(event.target), f" Set back: {field_names(event.fields)}." if event.fields else ""
    kept = f" Cannot be restored: {field_names(event.not_restored)}." if event.not_restored else ""
    ending = {
        Ending.DELETE: f" The driver is to be {deleted(event.target)} there.",
        Ending.LEAVE: " The driver there becomes unmanaged.",
    }.get(Ending(event.ending), "")
    back = f" The link goes back to {_keyed(event, event.back_to)}." if event.back_to else ""
    return (
        f"{event.by} undid what was decided on {name} from entry {event.since} on.{fields}{kept}{ending}{back} "
        "It stays so until the Portal changes the driver, or somebody asks for a retry."
    )


@describe_link.register
def _undo_refused(event: UndoRefused, _: Past) -> str:
    return f"What was decided from entry {event.since} on was to be undone, and was not: {event.detail}."


@describe_link.register
def _released(event: Released, _: Past) -> str:
    if event.reason == UNDONE:
        return "What was undone is over: the Portal decides again."
    return f"No longer set aside as {event.reason}."


@describe_link.register
def _confirmed(event: Confirmed, past: Past) -> str:
    name = named(event.target)
    if not event.decision and past.link.undone is not None:
        back = f"the link went back to {_keyed(event, event.key)}" if event.key else "the link ended"
        return f"What was decided is undone: {back}, and {name} was not called."
    if not event.decision:
        return f"{name} does not have the driver as an active one any more: the link ended."
    if event.key is None:
        said = past.link.unanswered_at(event.decision)
        is_withdrawn = isinstance(said, DeleteDecided) and said.key is None
        what = "nothing is there" if is_withdrawn else f"the driver is {deleted(event.target)} there"
        return f"{name} confirmed: {what}, and nothing is linked any more."
    own_way = f" It shows {field_names(event.unlike)} in its own way, which is not drift." if event.unlike else ""
    return f"{name} confirmed: the driver is there as {_keyed(event, event.key)}.{own_way}"


@describe_link.register
def _refused(event: Refused, _: Past) -> str:
    name = named(event.target)
    if event.is_correction:
        known = "somebody there has this already" if event.reason == EXISTS else "the driver is not there"
        return f"{name} answered that {known}: what was known of it is corrected."
    verb = "refused" if is_final(event.reason) else "did not do it"
    return f"{name} {verb} ({event.reason.replace('_', ' ')}): {event.detail}."


@describe_link.register
def _deferred(event: Deferred, _: Past) -> str:
    why = f"{event.reason.replace('_', ' ')}: {event.detail}"
    return f"{named(event.target)} could not do it yet ({why}). It is tried again automatically."


@describe_link.register
def _erased(event: LinkErased, _: Past) -> str:
    name = named(event.target)
    return f"The driver was erased: nothing personal that was decided or seen of it on {name} can be read any more."


@describe_link.register
def _drifted(event: DriftFound, _: Past) -> str:
    name, fields = named(event.target), field_names(event.fields)
    expected = f"than decision {event.decision} left it" if event.decision else "than desired"
    since = moment(datetime.fromisoformat(event.first_seen))
    drifted = (
        f"{name} shows {fields} otherwise {expected}, since {since}, and the change was not ours: it is overridden."
    )
    if not event.at_odds:
        return drifted
    both = f"{field_names(event.at_odds)} drifted in the last reconciliation too"
    return f"{drifted} Two writers are at odds: {both}; somebody else writes to {name}."


def evidence(rationale: Rationale, name: str) -> Mapping[str, object]:
    """What the roster or the claims showed under this name; empty if they showed nothing."""
    seen: Mapping[str, object] = rationale.get("evidence", {}).get(name, {})
    return seen


def _keyed(event: LinkEvent, key: str | None) -> str:
    return keyed(event.target, key or "")


def _leaves(event: Decision) -> bool:
    return event.key is not None and event.key != event.desired_key


def _left_behind(event: Decision) -> str:
    former = _keyed(event, event.key)
    if evidence(event.rationale, "linked").get("active"):
        return f" The former target driver, {former}, became unmanaged and was left alone."
    return f" The former target driver, {former}, is not active there any more."


def _brought(event: Decision) -> str:
    return f" To be brought to the Portal's: {field_names(event.fields)}." if event.fields else ""


_IDS = ("ref_id", "driveri_driver_id")
"""The fields whose values are shown: they identify, and are not personal data."""


def describe_portal(event: Event, before: PortalDriver) -> str:
    """A fact about a portal driver, for a person who knows what was known before."""
    match event:
        case DriverCreated():
            return f"The Portal has {'the driver again' if before.version else 'a new driver'}{_way(event)}."
        case DriverUpdated():
            changes = listed(_changes(before.profile or {}, event.profile))
            what = "fields that are erased" if is_erased(event.profile) else changes
            return f"The Portal changed {what}{_way(event)}."
        case DriverDeleted():
            missed = ", which a complete list had lacked before" if before.missed else ""
            return f"The Portal deleted the driver{missed}{_way(event)}."
        case DriverMissed():
            return f"A complete list lacked the driver{_way(event)}; one alone does not prove that it was deleted."
        case DriverSeenAgain():
            return f"The driver is in the Portal's list again{_way(event)}."
        case DriverErased():
            return f"{person(event.by, event.role)} erased the driver: what was stated of it cannot be read any more."
    raise TypeError(f"there are no words for {type(event).__name__}")


def _way(event: PortalDriverEvent) -> str:
    return f" (stated by {event.source})"


def _changes(before: Profile, after: Profile) -> Iterator[str]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name, "") != after.get(name, ""):
            values = f" from {before.get(name) or 'nothing'} to {after.get(name) or 'nothing'}" if name in _IDS else ""
            yield f"{field_name(name)}{values}"


_CAUSES: Mapping[str, str] = {
    "change": "change {ref} of the Portal",
    "scan": "{reconciliation}scan {ref} of {name}'s roster",
    "reconciliation": "somebody asked for a reconciliation of this driver on {name} (account {ref})",
    "answer": "{name}'s answer to decision {ref}",
    "freed": "{freed} came free",
    "approval": "the approval of the set {ref}{approver}",
    "retry": "somebody asked to look at it again (account {ref})",
    "reached": "{name} answers again",
    "undo": "somebody asked to undo what was decided (account {ref})",
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
    Situation.UNDONE: "what was decided is undone, so {name} is to show what it showed before",
}
_MODES: Mapping[str, str] = {
    Mode.OFF: "nothing is decided or sent",
    Mode.OBSERVE: "decided and recorded, but nothing is sent",
    Mode.UPSERT: "everything but deletes is sent",
    Mode.FULL: "everything is sent",
}


def reasons(event: LinkEvent, past: Past) -> tuple[str, ...]:
    """Why, as a sentence for each ground; empty for facts that need none."""
    if not isinstance(event, Decision | DeleteHeld | Parked | DriftFound | Undone | UndoRefused):
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
