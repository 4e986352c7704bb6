"""Given facts of a link, when something is decided, then exactly these facts; and a replay gives the same state."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain import outcomes
from domain.account import Mode
from domain.claims import Batch
from domain.deciding import decide
from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteHeld,
    DriftFound,
    DriverLink,
    LinkEvent,
    Parked,
    Rationale,
    apply,
    in_sequence,
    origin,
    replay,
)
from domain.guard import Guard
from domain.identity import AccountId, Key, PortalDriverId, Target, delivery_stream
from domain.matching import DesiredDriver, ObservedDriver, Roster, to_desired
from domain.outcomes import CallAnswered, Outcome
from domain.profile import Profile, unreadable
from domain.situations import SituationRow, Trigger, to_case
from domain.store import Event

ACCOUNT = AccountId("fleet-1")
AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
BOB, CAROL = PortalDriverId("bob"), PortalDriverId("carol")

JANE: Profile = {
    "first_name": "Jane",
    "last_name": "Doe",
    "ref_id": "0042",
    "driveri_driver_id": "D-7",
    "email": "jane@fleet.example",
    "phone": "303-555-0142",
}
"""A portal driver that both targets can have."""

_DEFAULTS: Mapping[type[LinkEvent], Mapping[str, object]] = {
    Decision: {"sequence": 1, "key": None, "fields": [], "answers": 0, "policy_generation": 1, "waits_for": ""},
    Parked: {"sequence": 1, "waits_for": "", "holder": ""},
    DeleteHeld: {"sequence": 1},
    DriftFound: {"decision": 1, "first_seen": AT.isoformat(), "reconciliation": 0, "at_odds": []},
    Confirmed: {"unlike": []},
    LinkEvent: {},
}


def why(
    situation: str,
    *,
    linked: ObservedDriver | None = None,
    found: ObservedDriver | None = None,
    mode: Mode = Mode.FULL,
    **evidence: object,
) -> Rationale:
    """The reason that a decision after the change of sequence 1 is stored with."""
    shown = {"linked": linked, "found": found}
    seen = {name: _sighting(each) for name, each in shown.items() if each}
    return {
        "trigger": "change",
        "ref": "1",
        "situation": situation,
        "mode": str(mode),
        "evidence": {**seen, **evidence},
    }


def _sighting(shown: ObservedDriver) -> dict[str, object]:
    sighting: dict[str, object] = {"key": shown.key, "active": shown.active}
    return {**sighting, "seen": shown.seen_at} if shown.seen_at else sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """A desired state that is decided because of something."""

    desired: DesiredDriver
    trigger: Trigger

    def __call__(self, link: DriverLink, batch: Batch) -> tuple[LinkEvent, ...]:
        """What follows for the link."""
        return decide(self.desired, link, batch, self.trigger)


When = Callable[[DriverLink, Batch], tuple[LinkEvent, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The portal driver and the target that a scenario is about."""

    target: Target
    driver: PortalDriverId

    @property
    def nothing(self) -> DriverLink:
        """The link before its first fact."""
        return DriverLink(account=ACCOUNT, target=self.target, driver=self.driver)

    def desired(self, profile: Profile = JANE, *, sequence: int = 1, is_wanted: bool = True) -> DesiredDriver:
        """What the Portal wants."""
        return to_desired(ACCOUNT, self.target, self.driver, sequence=sequence, profile=profile, is_wanted=is_wanted)

    def trigger(self, *, sequence: int = 1, mode: Mode = Mode.FULL, policy_generation: int = 1) -> Trigger:
        """A change of the Portal that makes us look."""
        return Trigger(at=AT, kind="change", ref=str(sequence), mode=mode, policy_generation=policy_generation)

    def wants(
        self, profile: Profile = JANE, *, sequence: int = 1, mode: Mode = Mode.FULL, policy_generation: int = 1
    ) -> Deciding:
        """When the Portal wants the driver like this."""
        desired = self.desired(profile, sequence=sequence)
        return Deciding(
            desired=desired, trigger=self.trigger(sequence=sequence, mode=mode, policy_generation=policy_generation)
        )

    def deleted(
        self, profile: Profile = JANE, *, sequence: int = 1, mode: Mode = Mode.FULL, policy_generation: int = 1
    ) -> Deciding:
        """When the Portal has deleted the driver."""
        desired = self.desired(profile, sequence=sequence, is_wanted=False)
        return Deciding(
            desired=desired, trigger=self.trigger(sequence=sequence, mode=mode, policy_generation=policy_generation)
        )

    def answered(
        self,
        decision: int,
        outcome: Outcome,
        seen: ObservedDriver | None = None,
        *,
        reason: str = "",
        detail: str = "",
        is_shown: bool = True,
    ) -> When:
        """When the target answers a decision; `is_shown` is false where the answer does not show the driver."""
        report = CallAnswered(
            originator_id=delivery_stream(ACCOUNT, self.target, self.driver),
            originator_version=1,
            at=AT,
            account=ACCOUNT,
            target=self.target,
            driver=self.driver,
            decision=decision,
            outcome=outcome,
            key=seen.key if seen else None,
            active=seen.active if seen else False,
            profile=dict(seen.profile) if seen else {},
            left=None,
            reason=reason,
            detail=detail,
            is_shown=is_shown,
        )
        return lambda link, batch: outcomes.record(link, batch, report, AT)

    def shown(self, key: str, profile: Profile = JANE, *, active: bool = True) -> ObservedDriver:
        """A target driver that shows what this profile would become there, as far as it can be read."""
        owned = self.desired(profile).profile
        hidden = unreadable(self.target, owned)
        readable = {name: text for name, text in owned.items() if name not in hidden}
        return ObservedDriver(key=Key(key), active=active, profile=readable)

    def batch(
        self,
        *shown: ObservedDriver,
        claimed: Mapping[str, PortalDriverId] | None = None,
        waiting: Mapping[PortalDriverId, str] | None = None,
        linked: Mapping[str, PortalDriverId] | None = None,
        wanted: Sequence[PortalDriverId] = (),
        guard: Guard | None = None,
    ) -> Batch:
        """What holds across the links, while the target shows these drivers."""
        roster = Roster(self.target, shown)
        return Batch(
            self.target, roster=roster, claimed=claimed, waiting=waiting, linked=linked, wanted=wanted, guard=guard
        )

    def fact(self, kind: type[LinkEvent], **fields: object) -> LinkEvent:
        """A fact about the link, not yet numbered; what is left out is as in the plainest case."""
        defaults = next(values for base, values in _DEFAULTS.items() if issubclass(kind, base))
        values: dict[str, Any] = {**origin(self.nothing, AT), **defaults, **fields}
        return kind(**values)

    def said(
        self,
        kind: type[Decision],
        rationale: Rationale,
        *,
        desired_key: str | None,
        profile: Profile = JANE,
        **rest: object,
    ) -> LinkEvent:
        """A decision for what this profile becomes on the target."""
        owned = dict(self.desired(profile).profile) if profile else {}
        return self.fact(kind, rationale=rationale, desired_key=desired_key, profile=owned, **rest)

    def linked(self, profile: Profile = JANE, *, key: str = "D-7", unlike: Sequence[str] = ()) -> list[LinkEvent]:
        """The facts of a driver who was created, and confirmed under this key."""
        desired = self.desired(profile)
        fields = sorted(desired.profile)
        created = self.said(CreateDecided, why("ABSENT"), desired_key=desired.key, profile=profile, fields=fields)
        owned = dict(desired.profile)
        return [created, self.fact(Confirmed, decision=1, key=key, profile=owned, unlike=list(unlike))]

    def scenario(
        self, *, given: Sequence[LinkEvent], when: When, then: Sequence[LinkEvent], batch: Batch | None = None
    ) -> SituationRow | None:
        """Demand exactly these facts, and that a replay from the stored form ends where the live link did.

        What was decided must not be decided again. Returns the row of the situations table that a desired state led to.
        """
        batch = batch or self.batch()
        history = in_sequence(self.nothing, given)
        before = replay(self.nothing, history)
        row = to_case(when.desired, before, batch, when.trigger).row if isinstance(when, Deciding) else None
        events = when(before, batch)
        assert events == in_sequence(before, then)
        after = before
        for event in events:
            after = apply(after, event)
        assert replay(self.nothing, map(_stored_and_loaded, (*history, *events))) == after
        batch.record(before, after, events)
        assert row is None or when(after, batch) == ()
        return row


def _stored_and_loaded(event: LinkEvent) -> Event:
    """The fact as it comes back from a store that keeps plain JSON under the fact's stored name."""
    text = json.dumps({**asdict(event), "originator_id": event.originator_id.hex, "at": event.at.isoformat()})
    values = json.loads(text)
    at, originator = datetime.fromisoformat(values.pop("at")), UUID(values.pop("originator_id"))
    return Event.BY_TOPIC[event.TOPIC](**values, at=at, originator_id=originator)


DRIVERI = Subject(target=Target.DRIVERI, driver=PortalDriverId("jane"))
MOTIVE = Subject(target=Target.MOTIVE, driver=PortalDriverId("jane"))
