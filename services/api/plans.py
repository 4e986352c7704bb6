"""What reconciliations would do, and people who want exactly that done.

What intake knows of the Portal's drivers and the decider does not yet, as while nobody runs the services.

What came of a reconciliation that somebody requested.

A scan that only a dry run hears of: read by the projector's own scanner, noted down in the scratch store.

Rehearses for people what reconciliations would do; nothing is written to any log or store but a scratch one.

What the Portal has said of none of an account's drivers, though drivers are recognised by it at targets.

The Portal's API knows no licences, for instance: whom Motive knows by the licence alone would be made a second time.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from domain.account import Account, AccountEvent, Mode, NotPermitted, replay
from domain.account import Request as AccountRequest
from domain.account import Request as Person
from domain.event import Event
from domain.failures import TargetFailed
from domain.identity import AccountId, Key, PortalDriverId, Target, portal_driver_stream, reconciliation_stream
from domain.matching import ObservedDriver, UnreadableRecords
from domain.portal import Change
from domain.reconciliation import Part, Plan, ReconciliationCompleted, ReconciliationEvent, ReconciliationRefused, Step
from domain.store import Store, StoreConflict, StoreFailed
from domain.targets import SPECS
from services.accounts.handlers import UnknownAccount, account_of
from services.api.installation import Installation
from services.api.messages import Answer, ApplyPlan, Malformed, received
from services.api.naming import find_stated, only_one, target_named
from services.api.reconciliations import ReconciliationProgress, Requested, Stage, reconciliation_progress
from services.decider.dry_run import DryRun, Scratch
from services.decider.read_models import CatchUp, ReconciliationRow
from services.intake.read_models import KnownDriver
from services.projector.known import unseen
from services.projector.read_models import RosterRow
from services.projector.scans import RosterScan, Scanner
from services.projector.service import ProjectorApp
from services.runtime.context import Clock, utc_now
from services.runtime.service import Service
from services.wiring.services import open_dry_run

_PAGE = 500


class Portal:
    """Tells a dry run of changes that are on their way."""

    def __init__(self, intake: Service) -> None:
        self._intake = intake

    async def tell(self, account: AccountId, dry_run: DryRun, decider: Service) -> None:
        """Let the dry run take over what the decider will, page by page. Raises `StoreFailed`."""
        after = ""
        while page := await self._intake.call(_known, self._intake.store, account, after):
            after = page[-1].driver
            unheard = await decider.call(dry_run.unheard, page)
            if unheard:
                changes = await self._intake.call(_changes, self._intake.store, account, unheard)
                await decider.call(dry_run.take_changes, changes)


def _known(intake: Store, account: AccountId, after: str) -> list[KnownDriver]:
    return intake.select(KnownDriver, {"account": str(account)}, order_by="driver", after=after, limit=_PAGE)


def _changes(intake: Store, account: AccountId, drivers: Sequence[str]) -> list[tuple[int, Event]]:
    """The last change of each of these drivers, with its position in the log, in the order of the log."""
    ids = [portal_driver_stream(account, PortalDriverId(driver)) for driver in drivers]
    found: list[tuple[int, Event]] = []
    for records in intake.records(ids).values():
        changes = [(record.log_position, record.event) for record in records if isinstance(record.event, Change)]
        found += changes[-1:]
    return sorted(found, key=lambda change: change[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A reconciliation that was requested; `plan` is what the last request has to go by, empty once that is void."""

    account: AccountId
    target: Target
    request: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Answer):
    """How far the reconciliation is: `state` is waiting, stopped, done, refused or void.

    `doing` is what goes on or, of a reconciliation that is stopped, what keeps it from going on; `done` of about
    `total` drivers were read, or looked at. `found` counts what a reconciliation that is done has found; `plan` is
    what a refused one had to go by, and `would_be` what it would have been, empty where nobody knows.
    """

    state: str
    doing: str = ""
    done: int = 0
    total: int = 0
    found: dict[str, int] = field(default_factory=dict)
    plan: str = ""
    would_be: str = ""


def outcome_of(decider: Store, projector: Store, wanted: Wanted) -> Outcome:
    """How far the reconciliation of this request is, or what came of it. Raises `StoreFailed`."""
    place = {"account": str(wanted.account), "target": str(wanted.target)}
    last = decider.select(ReconciliationRow, place)
    if last and last[0].answered >= wanted.request:
        return _ended(_fact(decider, wanted))
    in_hand = decider.select(CatchUp, {**place, "request": wanted.request})
    if not in_hand and not wanted.plan:
        return Outcome(state="void")
    requested = Requested(account=wanted.account, target=wanted.target, request=wanted.request)
    return _under_way(
        reconciliation_progress(decider, projector, requested), is_compared=any(work.plan for work in in_hand)
    )


def _under_way(progress: ReconciliationProgress, *, is_compared: bool) -> Outcome:
    if progress.stage is Stage.STOPPED:
        return Outcome(state="stopped", doing=progress.trouble)
    doing = "deciding" if progress.stage is Stage.DECIDING else "reading the roster"
    return Outcome(
        state="waiting",
        doing="comparing with the plan" if is_compared else doing,
        done=progress.done,
        total=progress.of,
    )


def _fact(decider: Store, wanted: Wanted) -> ReconciliationEvent | None:
    """The end of this reconciliation; None where one for a later request has come before it."""
    stream = reconciliation_stream(wanted.account, wanted.target)
    facts = decider.histories([stream]).get(stream, ())
    return next(
        (fact for fact in facts if isinstance(fact, ReconciliationEvent) and fact.request == wanted.request), None
    )


def _ended(fact: ReconciliationEvent | None) -> Outcome:
    match fact:
        case ReconciliationCompleted():
            return Outcome(state="done", found=fact.found)
        case ReconciliationRefused():
            return Outcome(state="refused", plan=fact.plan, would_be=fact.would_be)
    return Outcome(state="void")


class DryRunScan:
    """What the scanner notes down; `drivers` is how many it has read."""

    def __init__(self, dry_run: DryRun) -> None:
        self.drivers = 0
        self._dry_run = dry_run

    def expected(self, _: RosterScan) -> int:
        """Nobody has been decided about here."""
        return 0

    def last_event(self) -> int:
        """Nobody else notes anything down here."""
        return 0

    def take_page(self, _: RosterScan, page: Sequence[ObservedDriver]) -> int:
        """These are shown; none counts as known, so that everybody who is lacking is looked for."""
        self._dry_run.take_seen(page)
        self.drivers += len(page)
        return 0

    def is_nobody_lacking(self, _scan: RosterScan, _as_known: int, _last_event: int) -> bool:
        """Cannot be told at once."""
        return False

    def tell_progress(self, scan: RosterScan, drivers: int) -> None:
        """Whoever waits looks at `drivers`."""

    def known(self, scan: RosterScan, after: str | None) -> Sequence[RosterRow]:
        """A page of the drivers whom the decider knows, behind this key."""
        return [
            replace(unseen(scan.account, row.key), is_there=True, active=row.active)
            for row in self._dry_run.known(after)
        ]

    def take_gone(self, _: RosterScan, keys: Sequence[Key]) -> None:
        """These are there no more."""
        self._dry_run.take_gone(keys)

    def complete(self, scan: RosterScan, seen: Collection[Key], unreadable: UnreadableRecords) -> None:
        """The dry run decides when all is in place."""


_TICK = 0.2
"""Seconds between two words of how far a scan is."""


class NothingToPlan(Exception):
    """Nothing is synchronised there; the message says why, and what would help."""


class RosterUnreadable(Exception):
    """A target's drivers cannot be read, so nobody knows what a reconciliation would do; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Answer):
    """How far a dry run is with what it does now; a total of 0 is not known."""

    target: str
    doing: str
    done: int
    total: int


Told = Progress | Sequence[Step] | Part
"""What a dry run tells as it goes along: how far it is, then the steps in pages, then what they come to."""


def outlook(account: Account, now: datetime) -> Account:
    """The account as it is while it is reconciled: with sync on, by its Master User where it is off now.

    Raises `NotPermitted` where it cannot be turned on.
    """
    return replay(account, AccountRequest(by=account.master_user, at=now).turn_on(account))


def planned_targets(account: Account, target: Target | None) -> list[Target]:
    """The targets that a reconciliation would be of.

    Raises `NothingToPlan` if there are none, or not the one that is named.
    """
    wanted = [target] if target else list(Target)
    found = [each for each in wanted if account.modes.get(each, Mode.OFF) is not Mode.OFF]
    if not found:
        named = " and ".join(wanted)
        raise NothingToPlan(
            f"the mode of {account.account} for {named} is off, so there is nothing to plan; "
            f"see `driverlink accounts mode --help`"
        )
    return found


class Planner:
    """Rehearses one target of one account after the other, a bounded piece at a time in the threads of the services."""

    def __init__(
        self,
        *,
        decider: Service,
        intake: Service,
        projectors: Mapping[Target, ProjectorApp],
        scratch: Scratch,
        clock: Clock,
    ) -> None:
        self._decider = decider
        self._portal = Portal(intake)
        self._projectors = projectors
        self._scratch = scratch
        self._clock = clock

    async def run_dry(self, account: Account, target: Target, driver: str = "") -> AsyncGenerator[Told, None]:
        """What a reconciliation of this account, as it is in the outlook, would do on this target.

        Or for one driver there.

        Raises `RosterUnreadable` and `StoreFailed`.
        """
        now = self._clock()
        async with self._opened() as scratch:
            dry_run = DryRun(scratch, account, target, now)
            async for done in self._pieces(dry_run.copy(self._decider.store)):
                yield Progress(target=target, doing="copying", done=done, total=0)
            await self._portal.tell(account.account, dry_run, self._decider)
            async with aclosing(self._scan(account, target, dry_run, now)) as scan:
                async for done in scan:
                    yield Progress(target=target, doing="reading", done=done, total=0)
            desired_drivers = await self._decider.call(dry_run.desired_drivers)
            async for done in self._pieces(dry_run.decide()):
                yield Progress(target=target, doing="deciding", done=min(done, desired_drivers), total=desired_drivers)
            pages = dry_run.steps(driver)
            while page := await self._decider.call(next, pages, None):
                yield page
            yield dry_run.part()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        """An empty store for one dry run.

        A piece that was begun goes on when nobody waits for it any more, so the store is closed in the same thread
        behind it: SQLite's module breaks the whole process off where another thread closes what is being used.
        """
        with_scratch = ExitStack()
        try:
            yield await self._decider.call(with_scratch.enter_context, self._scratch())
        finally:
            await self._decider.call(with_scratch.close)

    async def _pieces(self, pieces: Iterator[int]) -> AsyncIterator[int]:
        """How much was done altogether after each piece."""
        done = 0
        while (more := await self._decider.call(next, pieces, None)) is not None:
            done += more
            yield done

    async def _scan(
        self, account: Account, target: Target, dry_run: DryRun, now: datetime
    ) -> AsyncGenerator[int, None]:
        """How many drivers were read, every now and then until the roster is whole."""
        scan = RosterScan(
            account=account.account, policy_generation=account.policy_generation[target], request=0, began=now
        )
        notes = DryRunScan(dry_run)
        reading = asyncio.create_task(self._read(scan, target, notes))
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=_TICK)
                yield notes.drivers
            await reading
        except TargetFailed as failed:
            detail = failed.failure.detail
            raise RosterUnreadable(f"the roster of {scan.account} on {target} cannot be read: {detail}") from None
        finally:
            reading.cancel()

    async def _read(self, scan: RosterScan, target: Target, notes: DryRunScan) -> None:
        drivers = await self._projectors[target].reach(scan.account)
        await Scanner(self._decider, notes, self._clock).scan(scan, drivers)


Json = dict[str, Any]

_log = structlog.get_logger()


class PlanChanged(Exception):
    """What would be done is not what the person saw."""


_TOLD = (NotPermitted, PlanChanged, RosterUnreadable, StoreConflict, StoreFailed, UnknownAccount)
"""Failures whose message is the last line of an answer that has begun."""


class PlanRoutes:
    """`/accounts/{account}/plan`, and what came of the reconciliations that had to go by one.

    A dry run may take long, so its answer is JSON lines: `{"progress": ...}` and `{"steps": [...]}` as it goes along,
    then `{"plan": ...}`, or `{"error": one line}`.
    """

    def __init__(self, installation: Installation) -> None:
        self._accounts = installation.accounts
        self._accounts_service = installation.accounts_service
        self._readers = installation.readers
        self._decider = installation.decider_service
        self._intake = installation.intake_service
        self._projectors = installation.projectors
        self._planner = Planner(
            decider=installation.decider_service,
            intake=installation.intake_service,
            projectors=installation.projectors,
            scratch=open_dry_run,
            clock=utc_now,
        )

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/plan", self._plan, methods=["GET"]),
            Route("/accounts/{account}/plan", self._apply, methods=["POST"]),
            Route("/accounts/{account}/plan/outcome", self._outcome, methods=["GET"]),
        ]

    async def _plan(self, request: Request) -> Response:
        account = await self._known(request)
        target = _target(request.query_params.get("target"))
        named = request.query_params.get("driver")
        driver = await self._stated(account.account, named) if named else ""
        future, targets = outlook(account, utc_now()), planned_targets(account, target)
        if person := request.query_params.get("by"):
            _check(account, targets, person)
        return _lines(self._told(account, future, targets, driver))

    async def _apply(self, request: Request) -> Response:
        account, asked = await self._known(request), await received(request, ApplyPlan)
        targets = planned_targets(account, asked.target)
        _check(account, targets, asked.by)
        return _lines(self._applied(account, targets, asked))

    async def _outcome(self, request: Request) -> Response:
        account, target = await self._known(request), _target(request.query_params.get("target"))
        version = request.query_params.get("request", "")
        if target is None or not version.isdecimal():
            raise Malformed("say of which target and which request")
        wanted = Wanted(
            account=account.account, target=target, request=int(version), plan=account.plans.get(target, "")
        )
        projector = self._readers.projectors[target]
        return JSONResponse((await self._readers.call(outcome_of, self._readers.decider, projector, wanted)).to_json())

    async def _told(
        self, account: Account, future: Account, targets: Sequence[Target], driver: str
    ) -> AsyncGenerator[Json, None]:
        parts: list[Part] = []
        async for told in self._rehearsed(future, targets, parts, driver):
            if line := _line(told):
                yield line
        lacking = await unsaid(self._intake, account.account, targets)
        yield {"plan": {**_summary(account, parts, driver), "unsaid": {str(each): lacking[each] for each in lacking}}}

    async def _applied(
        self, account: Account, targets: Sequence[Target], asked: ApplyPlan
    ) -> AsyncGenerator[Json, None]:
        parts: list[Part] = []
        async for told in self._rehearsed(outlook(account, utc_now()), targets, parts):
            if isinstance(told, Progress):
                yield _line(told)
        would_be = Plan(account=account.account, parts=tuple(parts)).digest
        if would_be != asked.plan:
            raise PlanChanged(
                f"the plan of {account.account} is {would_be} by now, not {asked.plan}, so nothing was done; "
                f"look at it again: `driverlink plan {account.account}`"
            )
        requesting = _requesting({part.target: part.digest for part in parts})
        after = await self._accounts_service.call_again(self._accounts.ask, account.account, asked.by, requesting)
        self._accounts_service.notify()
        yield {"requested": {str(part.target): after.reconciliations[part.target] for part in parts}}

    async def _rehearsed(
        self, future: Account, targets: Sequence[Target], parts: list[Part], driver: str = ""
    ) -> AsyncIterator[Told]:
        """Everything that the dry runs tell; the parts are collected."""
        for target in targets:
            async with aclosing(self._planner.run_dry(future, target, driver)) as dry_run:
                async for told in dry_run:
                    if isinstance(told, Part):
                        parts.append(told)
                    yield told

    async def _stated(self, account: str, text: str) -> PortalDriverId:
        """The driver whom a person means, be it one of whom the decider has not heard yet."""
        return only_one(await self._readers.call(find_stated, self._readers.intake, account, text), account, text)

    async def _known(self, request: Request) -> Account:
        return await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])


def _check(account: Account, targets: Sequence[Target], person: str) -> None:
    """Raise `NotPermitted` where this person could not have such a plan done, before it is made."""
    Person(by=person, at=utc_now()).go_by(account, dict.fromkeys(targets, ""))


def _requesting(plans: Mapping[Target, str]) -> Callable[[Person, Account], tuple[AccountEvent, ...]]:
    return lambda person, account: person.go_by(account, plans)


def _target(named: str | None) -> Target | None:
    return None if named is None else target_named(named)


def _line(told: Told) -> Json:
    """What is told of a dry run; empty for what is not, as parts are with the whole."""
    if isinstance(told, Progress):
        return {"progress": told.to_json()}
    if isinstance(told, Part):
        return {}
    return {"steps": [_to_json(step) for step in told]}


def _to_json(step: Step) -> Json:
    """A step for people and scripts: without the values that would be written."""
    return {
        "target": str(step.target),
        "action": str(step.action),
        "driver": step.driver,
        "situation": step.situation,
        "key": step.key,
        "desired_key": step.desired_key,
        "fields": list(step.fields),
        "reason": step.reason,
    }


def _summary(account: Account, parts: Sequence[Part], driver: str) -> Json:
    """The end of a plan. One of a single driver has no hash: it is for looking only."""
    plan = Plan(account=account.account, parts=tuple(parts))
    planned = {part.target for part in parts}
    return {
        "account": account.account,
        "sync": "on" if account.is_on else "off",
        "driver": driver,
        "counts": {str(part.target): {str(action): many for action, many in part.counts.items()} for part in parts},
        "modes": {str(target): str(mode) for target, mode in account.modes.items() if target in planned},
        "left_out": [str(target) for target in Target if account.modes.get(target, Mode.OFF) is Mode.OFF],
        "digest": "" if driver else plan.digest,
    }


def _lines(told: AsyncGenerator[Json, None]) -> Response:
    return StreamingResponse(_encoded(told), media_type="application/x-ndjson")


async def _encoded(told: AsyncGenerator[Json, None]) -> AsyncIterator[str]:
    async with aclosing(told):
        try:
            async for line in told:
                yield json.dumps(line) + "\n"
        except _TOLD as refused:
            yield json.dumps({"error": str(refused)}) + "\n"
        except Exception as failure:  # noqa: BLE001 - an answer that just breaks off would tell nobody anything
            _log.exception("plan failed unexpectedly")
            error = f"the plan could not be made (unexpected {type(failure).__name__}); see the log of the services"
            yield json.dumps({"error": error}) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """The fields that are said of any of these drivers, and the last of them; empty at the end."""

    said: frozenset[str]
    last: str


async def unsaid(intake: Service, account: AccountId, targets: Iterable[Target]) -> Mapping[Target, Sequence[str]]:
    """By target, the fields that drivers are recognised by there and that nobody has; nothing where nobody is known."""
    wanted = {target: SPECS[target].recognised_by for target in targets}
    missing = {field for fields in wanted.values() for field in fields}
    page = await intake.call(_page, intake.store, account, "")
    if not page.last:
        return {}
    while page.last and missing:
        missing -= page.said
        page = await intake.call(_page, intake.store, account, page.last)
    lacking = {target: [field for field in fields if field in missing] for target, fields in wanted.items()}
    return {target: fields for target, fields in lacking.items() if fields}


def _page(store: Store, account: AccountId, after: str) -> _Page:
    where: dict[str, str | bool] = {"account": account, "is_there": True}
    rows = store.select(KnownDriver, where, order_by="driver", after=after, limit=_PAGE)
    said = frozenset(field for row in rows for field, text in row.profile.items() if text)
    return _Page(said=said, last=rows[-1].driver if rows else "")
