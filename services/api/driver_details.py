"""`/accounts/{account}/drivers/{driver}`: one driver whole, as the Portal and each target show it, with its history."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.cleaning import LONGEST, clean
from domain.driver_link import CreateDecided, Decision, DeleteDecided, DriftFound, LinkEvent
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import key_identifier
from domain.portal import Change, DriverDeleted, PortalDriver, apply
from domain.profile import FIELDS, SPECS, Profile, is_erased, to_change
from domain.store import Event, Store
from services.api.as_of import AsOf, moment_of, rewound
from services.api.driver_search import router
from services.api.driver_states import DriverState
from services.api.events import own_fields
from services.api.explanation_text import Past, erased_on, field_name, name_of
from services.api.explanations import DriverHistory, Entry, load
from services.api.installation import Installation
from services.api.naming import erased_since, moment_named, unknown_driver, unknown_then
from services.api.routing import Installed, KnownAccount
from services.api.schema import Moment, ResponseBody
from services.decider.read_models import DesiredRow, LinkRow, ObservedRow, desired_of
from services.projector.read_models import DeliveryRow

_KEY_WORDS = {target: spec.key_words for target, spec in SPECS.items()}


class FieldChange(ResponseBody):
    """A field before and after a fact; `before` is None where that is not known."""

    field: str
    before: str | None
    after: str


class FieldState(ResponseBody):
    """A field that we own on a target: what is desired, and what was seen last.

    `observed` is None where the target never shows it, or nothing was seen; `differs` counts only what is compared.
    """

    field: str
    desired: str
    observed: str | None
    differs: bool


class PendingAttempt(ResponseBody):
    """A delivery that is due: at once, or at a moment after `tries` that failed. `is_started`: a call is under way."""

    due: Moment | None
    tries: int
    is_started: bool


class DriverOnTarget(DriverState):
    """A driver on one target, whole: desired against observed, and the next attempt if one is pending.

    `desired_key` is empty where the target gives keys itself, or the Portal does not want the driver.
    """

    key: str
    desired_key: str
    key_words: str
    is_live: bool
    is_there: bool
    seen_at: Moment | None
    fields: tuple[FieldState, ...]
    attempt: PendingAttempt | None


class DetailedEntry(Entry):
    """An entry of a history with what it changed, and the event's own fields: personal data in `profile` included."""

    type: str
    changes: tuple[FieldChange, ...] = ()
    data: Mapping[str, Any] = {}


class DriverDetails(ResponseBody):
    """Everything about one driver, for people who may see its name. The history has its newest entry first.

    Of one that is erased by now there is no profile, as of earlier moments either; `erased_at` is when that was.
    """

    account: str
    driver: str
    name: str
    is_there: bool
    erased_at: Moment | None
    stated_at: Moment
    source: str
    profile: tuple[tuple[str, str], ...]
    targets: tuple[DriverOnTarget, ...]
    history: tuple[DetailedEntry, ...]


_ORDER = ("portal", "account", *map(str, Target))
"""The order of things that happened at the same moment."""


def describe(
    history: DriverHistory, *, decider: Store, projectors: Mapping[Target, Store], down: Sequence[str]
) -> DriverDetails:
    """The driver of this history, whole; the Portal has stated it. Raises `StoreFailed`.

    Without the projectors' stores there are no attempts.
    """
    change = history.last_change
    assert change is not None  # noqa: S101 - the caller has looked
    is_gone = history.erased_at is not None or is_erased(change.profile)
    rows = decider.select(DesiredRow, {"account": history.account, "driver": history.driver})
    links = decider.select(LinkRow, {"account": history.account, "driver": history.driver})
    of_target = {link.target: link for link in links}
    desired = rows[0] if rows else None
    details = _details_of(history)
    entries = sorted(history.entries(), key=lambda entry: (entry.at, _ORDER.index(entry.where), entry.version))
    return DriverDetails(
        account=history.account,
        driver=history.driver,
        name=erased_on(history.erased_at) if history.erased_at else name_of(change.profile),
        is_there=not isinstance(change, DriverDeleted),
        erased_at=history.erased_at,
        stated_at=change.at,
        source=change.source,
        profile=tuple((field_name(field), change.profile.get(field, "")) for field in ([] if is_gone else FIELDS)),
        targets=tuple(
            _on_target(state, desired, of_target.get(state.target), decider, projectors.get(Target(state.target)))
            for state in history.states(projectors, down)
        ),
        history=tuple(
            DetailedEntry(**dict(entry), **details[entry.where, entry.version]) for entry in reversed(entries)
        ),
    )


def _on_target(
    state: DriverState, desired: DesiredRow | None, link: LinkRow | None, decider: Store, projector: Store | None
) -> DriverOnTarget:
    target, spec = Target(state.target), SPECS[Target(state.target)]
    key = link.key if link else ""
    observed: ObservedRow | None = None
    attempt: PendingAttempt | None = None
    if link and key:
        place = {"account": link.account, "target": link.target, "identifier": key_identifier(target, Key(key))}
        observed = next(iter(decider.select(ObservedRow, place)), None)
    if link and projector:
        deliveries = projector.select(DeliveryRow, {"account": link.account, "driver": link.driver})
        attempt = next((_to_attempt(row) for row in deliveries if row.due or row.started), None)
    stated = desired_of(desired, target) if desired and desired.is_wanted else None
    wanted: Profile = stated.profile if stated else {}
    shown: Profile = observed.profile if observed else {}
    differing = to_change(target, wanted, shown) if wanted and observed else ()
    return DriverOnTarget(
        **dict(state),
        key=key,
        desired_key=(stated.key or "") if stated else "",
        key_words=spec.key_words,
        is_live=link is not None and link.is_live,
        is_there=observed is not None and observed.active,
        seen_at=datetime.fromisoformat(observed.seen_at) if observed and observed.seen_at else None,
        fields=tuple(
            FieldState(
                field=field_name(field),
                desired=wanted.get(field, ""),
                observed=shown.get(field, "") if observed and field not in spec.unreadable else None,
                differs=field in differing,
            )
            for field in (spec.owned if desired is None or not (desired.erased or is_erased(desired.profile)) else ())
        ),
        attempt=attempt,
    )


def _to_attempt(row: DeliveryRow) -> PendingAttempt:
    # What is due at once is in the order of the log, and has no moment.
    due = None if not row.due or row.due.isdecimal() else datetime.fromisoformat(row.due)
    return PendingAttempt(due=due, tries=row.tries, is_started=row.started > 0)


_Details = dict[tuple[str, int], dict[str, Any]]
"""What a detailed entry has beyond an entry, by where and version."""


def _details_of(history: DriverHistory) -> _Details:
    found: _Details = {}
    known = history.unstated
    for fact in history.of_portal:
        found["portal", fact.originator_version] = _detail(fact, _changes_of_portal(known, fact))
        known = apply(known, fact)
    for event in history.of_account:
        found["account", event.originator_version] = _detail(event, ())
    for target, facts in history.of_links.items():
        past = history.start(target)
        for step in facts:
            found[str(target), step.originator_version] = _detail(step, _changes_of_link(past, step))
            past = past.after(step)
    return found


def _detail(event: Event, changes: Iterator[FieldChange] | tuple[FieldChange, ...]) -> dict[str, Any]:
    return {"type": type(event).__name__, "changes": tuple(changes), "data": own_fields(event)}


def _changes_of_portal(known: PortalDriver, fact: Event) -> Iterator[FieldChange]:
    if isinstance(fact, Change) and not isinstance(fact, DriverDeleted):
        before = known.profile or {}
        for field in FIELDS:
            if before.get(field, "") != fact.profile.get(field, ""):
                yield _change(field, before.get(field, ""), fact.profile.get(field, ""))


def _changes_of_link(past: Past, fact: LinkEvent) -> Iterator[FieldChange]:
    """What a decision is to change, from what the target confirmed last; of drift, what it shows instead."""
    is_new = isinstance(fact, CreateDecided)
    confirmed: Profile | None = {} if is_new else past.link.confirmed

    def before(field: str) -> str | None:
        return None if confirmed is None else confirmed.get(field, "")

    if is_erased(getattr(fact, "profile", None)):
        return
    if isinstance(fact, DriftFound):
        for field in fact.fields:
            yield _change(field, before(field), fact.profile.get(field, ""))
    elif isinstance(fact, Decision) and not isinstance(fact, DeleteDecided):
        if fact.desired_key and fact.key != fact.desired_key:
            yield FieldChange(field=_KEY_WORDS[Target(fact.target)], before=fact.key or "", after=fact.desired_key)
        for field in fact.profile if is_new else fact.fields:
            yield _change(field, before(field), fact.profile.get(field, ""))


def _change(field: str, before: str | None, after: str) -> FieldChange:
    return FieldChange(field=field_name(field), before=before, after=after)


def details(
    account: AccountId,
    driver: PortalDriverId,
    *,
    accounts: Store,
    intake: Store,
    decider: Store,
    projectors: Mapping[Target, Store],
    down: Sequence[str] = (),
) -> DriverDetails | None:
    """The driver whole; None where the Portal never stated it. Raises `StoreFailed`."""
    history = load(account, driver, accounts=accounts, intake=intake, decider=decider)
    if history.last_change is None:
        return None
    return describe(history, decider=decider, projectors=projectors, down=down)


@router.get("/{driver:path}")
async def show_driver(
    driver: str, known: KnownAccount, installation: Installed, until: str | None = None, as_of: AsOf = None
) -> DriverDetails:
    """Show one driver whole, by the Portal's id: as it is now, with its history until a moment, or as of a moment."""
    moment, at = moment_named(until), moment_of(installation, as_of)
    named = PortalDriverId(clean(driver, LONGEST["driver"]))
    if at:
        found = await details_then(installation, known.account, named, at)
    else:
        found = await _details_now(installation, known.account, named)
    entries = tuple(each for each in found.history if each.at <= (moment or each.at))
    return found.model_copy(update={"history": entries})


async def _details_now(installation: Installation, account: AccountId, driver: PortalDriverId) -> DriverDetails:
    readers = installation.readers
    found = await readers.call(
        details,
        account,
        driver,
        accounts=readers.accounts,
        intake=readers.intake,
        decider=readers.decider,
        projectors=readers.projectors,
        down=await readers.call(installation.running.down),
    )
    if found is None:
        raise await readers.call(unknown_driver, readers.intake, account, driver)
    return found


async def details_then(
    installation: Installation, account: AccountId, driver: PortalDriverId, at: datetime
) -> DriverDetails:
    """The driver whole as of a moment. Raises `UnknownDriver`, `StoreFailed`."""
    readers = installation.readers
    async with rewound(installation, account, at, driver) as past:
        found = await readers.call(details, account, driver, accounts=past, intake=past, decider=past, projectors={})
    if found is None:
        raise await readers.call(unknown_then, readers.intake, account, driver, at)
    erased_at = await readers.call(erased_since, readers.intake, account, driver)
    return found.model_copy(update={"erased_at": erased_at, "name": erased_on(erased_at)}) if erased_at else found
