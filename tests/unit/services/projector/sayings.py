"""What a decider has said, and what a projector has reported."""

from typing import Any

from domain.driver_link import Confirmed, Decision, DeleteHeld, LinkEvent, Parked, origin
from domain.identity import AccountId, Target
from domain.outcomes import CallAnswered
from domain.store import Event, Unit
from services.projector.read_models import DeliveryRow
from tests.support.stepped_services import ACME, SteppedServices, logged

JANE = {"first_name": "Jane", "last_name": "Doe"}


def say(
    fleet: SteppedServices,
    fact: type[Decision],
    driver: str = "p1",
    *,
    account: AccountId = ACME,
    target: Target = Target.DRIVERI,
    is_followed: bool = True,
    **said: Any,  # noqa: ANN401 - the decision's own fields
) -> None:
    """The decider has decided so, by default under the present policy generation, and the projector has consumed it."""
    usual: dict[str, Any] = {"sequence": 1, "key": None, "desired_key": "D1", "profile": JANE, "fields": []}
    policy_generation = fleet.accounts.show(account).policy_generation[target]
    known: dict[str, Any] = {"answers": 0, "policy_generation": policy_generation, "waits_for": "", "rationale": {}}
    commit(fleet, fact(**origin(fleet.link(driver, target, account), fleet.now), **{**usual, **known, **said}))
    if is_followed:
        fleet.follow(target)


def set_aside(fleet: SteppedServices, fact: type[Parked | DeleteHeld], driver: str = "p1") -> None:
    """The link has come to be parked, or held."""
    parked = {"reason": "conflict", "detail": "", "waits_for": "", "holder": ""}
    own: dict[str, Any] = {"key": "D1"} if fact is DeleteHeld else parked
    commit(fleet, fact(**origin(fleet.link(driver), fleet.now), sequence=2, rationale={}, **own))
    fleet.follow(Target.DRIVERI)


def end(fleet: SteppedServices, driver: str = "p1") -> None:
    """The link has ended without a call."""
    facts = origin(fleet.link(driver), fleet.now)
    commit(fleet, Confirmed(**facts, decision=0, key=None, profile={}, unlike=[]))
    fleet.follow(Target.DRIVERI)


def commit(fleet: SteppedServices, *events: LinkEvent) -> None:
    fleet.decider_store.commit(Unit(events=list(events)))


def answered(fleet: SteppedServices, target: Target = Target.DRIVERI) -> list[tuple[str, int, str]]:
    """Driver, decision and outcome of every answer that was reported."""
    events = reported(fleet, target)
    return [(each.driver, each.decision, each.outcome) for each in events if isinstance(each, CallAnswered)]


def reported(fleet: SteppedServices, target: Target = Target.DRIVERI) -> list[Event]:
    return logged(fleet.projector_stores[target])


def effects(fleet: SteppedServices, target: Target = Target.DRIVERI, account: AccountId = ACME) -> list[str]:
    return fleet.twins[account, target].effects


def waiting(fleet: SteppedServices, target: Target = Target.DRIVERI) -> dict[str, int]:
    """How many rows of work are in hand, and how many deliveries are open."""
    store = fleet.projector_stores[target]
    rows = store.select(DeliveryRow)
    return {
        name: sum(map(bool, column))
        for name, column in (
            ("started", (row.started for row in rows)),
            ("due", (row.due for row in rows)),
            ("open", (row.body for row in rows)),
        )
    }
