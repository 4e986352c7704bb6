"""Each fact of a link in one plain sentence or two, without personal data."""

from datetime import datetime
from functools import singledispatch

from domain.driver_link import (
    EXISTS,
    REFUSED,
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
    LinkDecided,
    LinkEvent,
    Parked,
    Refused,
    ReinstateDecided,
    Released,
    RenameDecided,
    UpdateDecided,
)
from domain.failures import is_final
from domain.identity import Target
from domain.situations import Situation
from services.asking.telling.because import evidence
from services.asking.telling.past import Past, is_stepping_aside
from services.asking.telling.words import deleted, field_names, keyed, moment, named


@singledispatch
def told(event: LinkEvent, past: Past) -> str:
    """A fact of a link, told to a person who knows what stands in `past`."""
    raise TypeError(f"there are no words for {type(event).__name__} at version {past.link.version}")


@told.register
def _created(event: CreateDecided, _: Past) -> str:
    key = f", {_keyed(event, event.wished_key)}" if event.wished_key else ""
    return f"{named(event.target)} shall get a new driver{key}."


@told.register
def _linked(event: LinkDecided, _: Past) -> str:
    key = _keyed(event, event.wished_key)
    if _leaves(event):
        return f"Linked to {key} from now on.{_left_behind(event)}{_brought(event)}"
    return f"{named(event.target)} has the driver already: linked to {key}, nothing is created.{_brought(event)}"


@told.register
def _reinstated(event: ReinstateDecided, _: Past) -> str:
    key = _keyed(event, event.wished_key)
    kept = f"{named(event.target)} has {key} as {deleted(event.target)}: that driver shall be reinstated"
    if _leaves(event):
        return f"{kept} and linked.{_left_behind(event)}{_brought(event)}"
    return f"{kept}.{_brought(event)}"


@told.register
def _renamed(event: RenameDecided, past: Past) -> str:
    key, wished = event.key or "", event.wished_key or ""
    former = f"the temporary id {key}" if key in past.temporary else key
    if is_stepping_aside(event):
        return (
            f"The DriverID shall change from {former} to the temporary id {wished}: "
            "drivers wait for each other's ids in a circle, and this one steps aside."
        )
    only = ": only the letter case differs" if key.casefold() == wished.casefold() else ""
    along = f" Along with it: {field_names(event.fields)}." if event.fields else ""
    return f"The DriverID shall change from {former} to {wished}{only}.{along}"


@told.register
def _updated(event: UpdateDecided, _: Past) -> str:
    name = named(event.target)
    if not event.fields:
        return f"Nothing is to change on {name} any more: what was on its way is withdrawn."
    if event.because.get("situation") == Situation.CONTESTED:
        return (
            f"On {name} the driver gets a temporary value in {field_names(event.fields)}: "
            "drivers wait for each other's values in a circle, and this one steps aside."
        )
    if event.because.get("situation") == Situation.DRIFTED:
        return f"The Portal wins: what {name} shows is overridden in {field_names(event.fields)}."
    return f"{name} shall take over from the Portal: {field_names(event.fields)}."


@told.register
def _deleted(event: DeleteDecided, _: Past) -> str:
    name = named(event.target)
    if event.key is None:
        return f"Nothing is there to be deleted on {name}: what was on its way is withdrawn."
    verb = "deactivate" if event.target == Target.MOTIVE else "delete"
    return f"{name} shall {verb} {_keyed(event, event.key)}."


@told.register
def _held(event: DeleteHeld, _: Past) -> str:
    return f"The guard against mass deletion holds the delete of {_keyed(event, event.key)} until a person decides."


@told.register
def _approved(event: DeleteApproved, _: Past) -> str:
    return f"{event.by} approved the held delete."


@told.register
def _rejected(event: DeleteRejected, past: Past) -> str:
    stays = f"{_keyed(event, past.link.key)} stays on {named(event.target)}"
    return f"{event.by} rejected the held delete: {stays}."


@told.register
def _recalled(event: DeleteRecalled, _: Past) -> str:
    return f"The held delete on {named(event.target)} was recalled: nobody has to decide on it any more."


@told.register
def _parked(event: Parked, past: Past) -> str:
    if event.reason == REFUSED and not is_final(past.link.refusal):
        return f"Set aside until {named(event.target)} answers again, or somebody asks for another try."
    if event.reason == REFUSED:
        return f"Set aside until the Portal states something else: {named(event.target)} would refuse the same again."
    return f"Set aside: {event.detail}."


@told.register
def _released(event: Released, _: Past) -> str:
    return f"No longer set aside as {event.reason}."


@told.register
def _confirmed(event: Confirmed, past: Past) -> str:
    name = named(event.target)
    if not event.decision:
        return f"{name} does not have the driver as an active one any more: the link ended."
    if event.key is None:
        said = past.link.said(event.decision)
        is_withdrawn = isinstance(said, DeleteDecided) and said.key is None
        what = "nothing is there" if is_withdrawn else f"the driver is {deleted(event.target)} there"
        return f"{name} confirmed: {what}, and nothing is linked any more."
    own_way = f" It shows {field_names(event.unlike)} in its own way, which is no drift." if event.unlike else ""
    return f"{name} confirmed: the driver is there as {_keyed(event, event.key)}.{own_way}"


@told.register
def _refused(event: Refused, _: Past) -> str:
    name = named(event.target)
    if event.is_correction:
        known = "somebody there has this already" if event.reason == EXISTS else "the driver is not there"
        return f"{name} answered that {known}: what was known of it is corrected."
    verb = "refused" if is_final(event.reason) else "did not do it"
    return f"{name} {verb} ({event.reason.replace('_', ' ')}): {event.detail}."


@told.register
def _deferred(event: Deferred, _: Past) -> str:
    why = f"{event.reason.replace('_', ' ')}: {event.detail}"
    return f"{named(event.target)} could not do it yet ({why}). It is tried again by itself."


@told.register
def _drifted(event: DriftFound, _: Past) -> str:
    name, fields = named(event.target), field_names(event.fields)
    expected = f"than decision {event.decision} left it" if event.decision else "than wished"
    since = moment(datetime.fromisoformat(event.first_seen))
    drifted = (
        f"{name} shows {fields} otherwise {expected}, since {since}, and the change was not ours: it is overridden."
    )
    return f"{drifted}{_at_odds(event)}"


def _at_odds(event: DriftFound) -> str:
    if not event.at_odds:
        return ""
    fields, name = field_names(event.at_odds), named(event.target)
    return (
        f" Two writers are at odds: {fields} had drifted in the sweep before too, so somebody else writes it on {name}."
    )


def _keyed(event: LinkEvent, key: str | None) -> str:
    return keyed(event.target, key or "")


def _leaves(event: Decision) -> bool:
    return event.key is not None and event.key != event.wished_key


def _left_behind(event: Decision) -> str:
    former = _keyed(event, event.key)
    if evidence(event.because, "linked").get("active"):
        return f" The former target driver, {former}, became a stray and was left alone."
    return f" The former target driver, {former}, is not active there any more."


def _brought(event: Decision) -> str:
    return f" To be brought to the Portal's: {field_names(event.fields)}." if event.fields else ""
