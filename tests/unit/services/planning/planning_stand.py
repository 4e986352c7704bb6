"""Plans of the stepped services, and everything that is stored in them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.account import Account, UndoScope
from domain.driver_link import LinkEvent
from domain.identity import Target
from domain.reconciliation import PlanPart, PlanStep, step_after
from domain.store import Store, Stored
from services.accounts.handlers import AccountRow
from services.api.planner import DryRunProgress, Planner, planned_targets, with_sync_on
from services.decider.dry_run import Scratch
from services.intake.read_models import KnownDriver
from services.runtime.service import Notifier, Service
from services.wiring import registry
from tests.support.stepped_services import ACME, SteppedServices, both_targets, logged


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What a dry run showed of one target."""

    part: PlanPart
    steps: list[PlanStep]
    progress: list[DryRunProgress]

    @property
    def shown(self) -> dict[str, str]:
        """Of each driver what would be done."""
        return {step.driver: str(step.action) for step in self.steps}


@contextmanager
def services() -> Iterator[SteppedServices]:
    """Services on stores in a folder of their own, with an empty twin of each target for the account acme."""
    with TemporaryDirectory() as folder:
        stepped = SteppedServices(Path(folder), both_targets())
        yield stepped
        stepped.close()


def account_of(stepped: SteppedServices) -> Account:
    """The account acme, as its own service knows it."""
    return stepped.accounts.show(ACME)


def planned(stepped: SteppedServices, target: Target = Target.DRIVERI) -> Rehearsed:
    """What a reconciliation, or an opt-in, would do on this target now."""
    account = account_of(stepped)
    assert target in planned_targets(account, target)
    return asyncio.run(_rehearsed(stepped, with_sync_on(account, stepped.now), target))


def planned_undo(stepped: SteppedServices, scope: UndoScope, target: Target = Target.DRIVERI) -> Rehearsed:
    """What undoing this would do on this target now."""
    return asyncio.run(_rehearsed(stepped, account_of(stepped), target, scope))


def planner_of(stepped: SteppedServices, scratch: Scratch = registry.open_dry_run) -> Planner:
    """The planner of these services."""
    return Planner(
        decider=stepped.decider,
        intake=Service("intake", store=stepped.intake_store, clock=stepped.clock, notifier=Notifier()),
        projectors=stepped.projectors,
        scratch=scratch,
        clock=stepped.clock,
    )


async def _rehearsed(
    stepped: SteppedServices, account: Account, target: Target, undo: UndoScope | None = None
) -> Rehearsed:
    told = [each async for each in planner_of(stepped).run_dry(account, target, undo=undo)]
    steps = [step for each in told if not isinstance(each, PlanPart | DryRunProgress) for step in each]
    (part,) = (each for each in told if isinstance(each, PlanPart))
    return Rehearsed(part=part, steps=steps, progress=[each for each in told if isinstance(each, DryRunProgress)])


def decided_behind(store: Store, position: int, target: Target) -> list[PlanStep]:
    """What was really decided behind this position of the decider's log, as steps, by driver."""
    steps: dict[str, PlanStep | None] = {}
    for record in store.log.read(position, 1_000_000):
        if isinstance(record.event, LinkEvent) and record.event.target == target:
            steps[record.event.driver] = step_after(steps.get(record.event.driver), record.event)
    return sorted(filter(None, steps.values()), key=lambda step: step.driver)


def everything(stepped: SteppedServices) -> dict[str, list[object]]:
    """All that every store holds: logs and tables."""
    rows = {
        "accounts": (stepped.accounts_store, (AccountRow,)),
        "intake": (stepped.intake_store, (KnownDriver,)),
        "decider": (stepped.decider_store, registry.DECIDER_ROWS),
        **{str(target): (store, registry.PROJECTOR_ROWS) for target, store in stepped.projector_stores.items()},
    }
    return {name: [*logged(store), *_stored(store, kinds)] for name, (store, kinds) in rows.items()}


def _stored(store: Store, kinds: tuple[type, ...]) -> list[Stored]:
    return [values for kind in kinds for values in store.scan(kind)]
