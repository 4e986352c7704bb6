"""`/v1/accounts/{account}/reconciliations/progress`: how far a requested reconciliation, plan or look-up is."""

from dataclasses import dataclass
from enum import StrEnum

from domain.identity import AccountId, PortalDriverId, Target, scan_stream
from domain.outcomes import DriverLookedUp
from domain.store import Store, Where
from services.api.explanation_text import named
from services.api.installation import PATIENCE, Installation, RunningServices
from services.api.naming import number_named, target_named
from services.api.readiness import Hindrance, advice_on, hindrance_of_reconciliation, readiness_of
from services.api.reconciliations import FoundDriver, ReconciliationReport, looked_up, reconciliation_for
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import LARGEST_INTEGER, ResponseBody
from services.decider.read_models import DesiredRow, ReconciliationRow, RosterScanRow, RunningReconciliation
from services.projector.read_models import LookUp, ScanProgress
from services.runtime.consumer import Consumed, PartitionOf
from services.runtime.context import log_of


class Stage(StrEnum):
    """Where it is: not begun, at its scan, compared with its plan, at its decisions, over, or kept from going on.

    One by a plan is void once sync was turned off, the mode was set, or another request came.
    """

    WAITING = "waiting"
    READING = "reading"
    COMPARING = "comparing"
    DECIDING = "deciding"
    DONE = "done"
    STOPPED = "stopped"
    VOID = "void"


class ReconciliationProgress(ResponseBody):
    """How far a reconciliation is within its stage: `done` of about `of` drivers, 0 of 0 where that is not known.

    `trouble` says what keeps it from going on, and what would help; empty if nothing does. Once it is done, `report`
    says what one of everybody found, and `driver` how one driver was found.
    """

    target: str
    stage: Stage
    done: int = 0
    of: int = 0
    trouble: str = ""
    report: ReconciliationReport | None = None
    driver: FoundDriver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A reconciliation that was requested at this version of the account: of one driver, or of everybody.

    `plan` is what the account's last request has to go by, empty once that is void; None: this one goes by no plan.
    """

    account: AccountId
    target: Target
    request: int
    driver: PortalDriverId | None = None
    plan: str | None = None

    @property
    def place(self) -> dict[str, str]:
        """What to look for in the decider's tables."""
        return {"account": self.account, "target": str(self.target)}

    def at(
        self, stage: Stage, *, done: int = 0, of: int = 0, trouble: Hindrance | None = None
    ) -> ReconciliationProgress:
        """That it is at this stage."""
        return ReconciliationProgress(
            target=str(self.target), stage=stage, done=done, of=of, trouble=str(trouble) if trouble else ""
        )


router = new_router("reconciliations", prefix="/accounts/{account}/reconciliations/progress")


@router.get("")
async def show_reconciliation(
    known: KnownAccount,
    installation: Installed,
    target: str = "",
    request: str = "",
    driver: str = "",
    *,
    by_plan: bool = False,
) -> ReconciliationProgress:
    """Show how far a reconciliation is and, once it is done, what it found."""
    named_target = target_named(target)
    requested = Requested(
        account=known.account,
        target=named_target,
        request=number_named("request", request, LARGEST_INTEGER),
        driver=PortalDriverId(driver) if driver else None,
        plan=known.plans.get(named_target, "") if by_plan else None,
    )
    return await installation.readers.call(_progress, installation, requested)


def _progress(installation: Installation, asked: Requested) -> ReconciliationProgress:
    readers = installation.readers
    decider, projector = readers.decider, readers.projectors[asked.target]
    if asked.driver is None:
        progress = reconciliation_progress(decider, projector, asked)
    else:
        progress = look_up_progress(decider, projector, asked, partition_of=installation.partition_of)
    if progress.stage is Stage.DONE and asked.driver is None:
        report = reconciliation_for(decider, readers.accounts, asked.account, asked.target, asked.request)
        return progress.model_copy(update={"report": report})
    if progress.stage is Stage.DONE and asked.driver is not None:
        driver = looked_up(decider, asked.account, asked.target, asked.driver, asked.request)
        return progress.model_copy(update={"driver": driver})
    return _unless_down(progress, installation.running)


def _unless_down(progress: ReconciliationProgress, running: RunningServices) -> ReconciliationProgress:
    """The same, or stopped where a service that it waits for does not run."""
    projector = f"projector-{progress.target}"
    needed = {
        Stage.WAITING: ("accounts", "decider", projector),
        Stage.READING: (projector, "decider"),
        Stage.COMPARING: ("decider",),
        Stage.DECIDING: ("decider",),
    }.get(progress.stage)
    if needed and (lines := running.down(*needed, seconds=PATIENCE)):
        trouble = f"{'; '.join(lines)}. What was requested is stored, and goes on when it runs."
        return progress.model_copy(update={"stage": Stage.STOPPED, "trouble": trouble})
    return progress


def reconciliation_progress(decider: Store, projector: Store, asked: Requested) -> ReconciliationProgress:
    """How far the reconciliation of everybody has come. Raises `StoreFailed`."""
    if any(row.answered >= asked.request for row in decider.select(ReconciliationRow, asked.place)):
        return asked.at(Stage.DONE)
    running = next(
        (row for row in decider.select(RunningReconciliation, asked.place) if row.request >= asked.request), None
    )
    if asked.plan == "" and (running is None or running.request != asked.request):
        return asked.at(Stage.VOID)
    if hindrance := _stopped(decider, asked):
        return asked.at(Stage.STOPPED, trouble=hindrance)
    if running:
        drivers = sum(decider.count(DesiredRow, {"account": asked.account}).values())
        stage = Stage.COMPARING if running.plan else Stage.DECIDING
        return asked.at(stage, done=min(sum(running.found.values()), drivers), of=drivers)
    scanning = projector.select(ScanProgress, {"account": asked.account})
    if not scanning:
        return asked.at(Stage.WAITING)
    # A scan is about as long as the last one.
    expected = next((row.drivers for row in decider.select(RosterScanRow, asked.place)), 0)
    return asked.at(Stage.READING, done=scanning[0].drivers, of=expected)


def look_up_progress(
    decider: Store, projector: Store, asked: Requested, *, partition_of: PartitionOf | None
) -> ReconciliationProgress:
    """How far the reconciliation of one driver has come. Raises `StoreFailed`."""
    history = scan_stream(asked.account, asked.target)
    for record in projector.records([history]).get(history, ()):
        event = record.event
        if isinstance(event, DriverLookedUp) and (event.driver, event.request) == (asked.driver, asked.request):
            if event.reason:
                failure = f"{event.reason}: {event.detail}"
                sentence = f"Driver {asked.driver} cannot be looked up in {named(asked.target)} ({failure})."
                advice = advice_on(failure, asked.account, asked.target)
                return asked.at(Stage.STOPPED, trouble=Hindrance(sentence=sentence, advice=advice))
            is_decided = Consumed(decider, log_of(projector.log.name), partition_of).has(record)
            return asked.at(Stage.DONE if is_decided else Stage.DECIDING)
    if hindrance := _stopped(decider, asked):
        return asked.at(Stage.STOPPED, trouble=hindrance)
    where: Where = {"account": asked.account, "request": asked.request}
    return asked.at(Stage.READING if any(projector.count(LookUp, where).values()) else Stage.WAITING)


def _stopped(decider: Store, asked: Requested) -> Hindrance | None:
    """What keeps it from going on, as far as the decider knows of the request."""
    readiness = readiness_of(decider, asked.account)[asked.target]
    if readiness.account.version < asked.request:
        return None
    again = ". It is tried again automatically, and the reconciliation goes on as soon as it can be."
    return hindrance_of_reconciliation(readiness) or readiness.unread(again)
