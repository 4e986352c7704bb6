"""`/v1/accounts/{account}/backtest`: what would have been decided otherwise, had the rules been other ones."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Query
from fastapi.responses import StreamingResponse

from domain.account import Account, Mode
from domain.guard import DELETE_LIMIT, DeleteLimit
from domain.identity import Target
from domain.profile import FIELDS, SPECS, TargetSpec
from domain.reconciliation import PlanStep
from domain.rules import Rules
from domain.store import Store
from services.accounts.handlers import did_you_mean
from services.api.installation import Installation
from services.api.naming import stated_names, target_named
from services.api.problems import problem_at_end
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, Moment, Problem, ResponseBody
from services.api.streaming import encoded
from services.decider.backtest import Backtest, History, Modes, Otherwise

router = new_router("backtests", prefix="/accounts/{account}/backtest")

_EVERY = 50
"""Batches between two lines that say how far it is."""

_MOST_DELETES = 100_000


class DecidedStep(ResponseBody):
    """What is decided for a driver, and why; as a step of a plan. The values that would be written are left out."""

    action: str
    situation: str
    key: str
    desired_key: str
    fields: list[str]
    reason: str


class OtherDecision(ResponseBody):
    """The first decision of a driver on a target that would have been another one, and what started it.

    `name` is the driver's, as the Portal states it now. `decided` is what was decided, and `would_be` what would have
    been; left out for nothing.
    """

    at: Moment
    target: str
    driver: str
    name: str
    trigger: str
    decided: DecidedStep | None = None
    would_be: DecidedStep | None = None


class BacktestSummary(ResponseBody):
    """What a backtest came to: `counts` are the drivers who would have been decided otherwise, by target.

    `batches` is how many batches of the decider were decided again. `unordered` counts the events from before the order
    of batches was stored: those were taken in the order of time, so differences may come of that. `erased` counts
    links that are not compared, because their drivers were erased.
    """

    account: str
    batches: int
    unordered: int
    erased: int
    counts: dict[str, int]


class BacktestProgress(ResponseBody):
    """How many batches are done, of how many."""

    done: int
    total: int


class BacktestLine(ResponseBody):
    """One line of a response that takes long; it has one of these fields. A `problem` in one line is the last."""

    progress: BacktestProgress | None = None
    otherwise: list[OtherDecision] | None = None
    summary: BacktestSummary | None = None
    problem: Problem | None = None


class BacktestLines(StreamingResponse):
    """Lines of JSON, each of them a `BacktestLine`."""

    media_type = "application/x-ndjson"


@router.get("", response_class=BacktestLines, responses={200: {"model": BacktestLine}})
async def run_backtest(
    known: KnownAccount,
    installation: Installed,
    *,
    modes: Annotated[Sequence[str], Query(alias="mode")] = (),
    own: Annotated[Sequence[str], Query()] = (),
    disown: Annotated[Sequence[str], Query()] = (),
    match: Annotated[Sequence[str], Query()] = (),
    guard_fewest: Annotated[int, Query(ge=0, le=_MOST_DELETES)] = DELETE_LIMIT.fewest,
    guard_percent: Annotated[int, Query(ge=0, le=100)] = DELETE_LIMIT.percent,
) -> BacktestLines:
    """Decide an account's history again by other rules, and show what would have been decided otherwise.

    Writes nothing. `mode` is TARGET=MODE, `own` and `disown` are TARGET=FIELD, and `match` is TARGET=KIND,KIND: the
    kinds of identifiers by which drivers are matched, the strongest first.
    """
    asked = ChangedRules()
    for text in modes:
        asked.set_mode(text)
    for text in own:
        asked.own(text)
    for text in disown:
        asked.disown(text)
    for text in match:
        asked.match(text)
    rules = Rules(specs={**SPECS, **asked.specs}, delete_limit=DeleteLimit(fewest=guard_fewest, percent=guard_percent))
    return BacktestLines(encoded(_lines(installation, known, rules, asked.modes), _last))


@dataclass(slots=True)
class ChangedRules:
    """The rules that are to be others, as a client names them. Each method raises `Malformed`."""

    specs: dict[Target, TargetSpec] = field(default_factory=dict)
    modes: dict[Target, Mode] = field(default_factory=dict)

    def set_mode(self, text: str) -> None:
        """Let a target have had this mode all the time."""
        target, named = _parts(text, "TARGET=MODE")
        self.modes[target] = Mode(_one_of(named, list(Mode), "mode"))

    def own(self, text: str) -> None:
        """Let a target own a field more."""
        target, name = _parts(text, "TARGET=FIELD")
        spec = self._spec(target)
        if _one_of(name, FIELDS, "field") not in spec.owned:
            self.specs[target] = replace(spec, owned=(*spec.owned, name))

    def disown(self, text: str) -> None:
        """Let a target own a field less."""
        target, name = _parts(text, "TARGET=FIELD")
        spec = self._spec(target)
        _one_of(name, [each for each in spec.owned if each in FIELDS], "owned field")
        self.specs[target] = replace(spec, owned=tuple(each for each in spec.owned if each != name))

    def match(self, text: str) -> None:
        """Let a target match drivers by these kinds of identifiers only, in this order."""
        target, named = _parts(text, "TARGET=KIND,KIND")
        spec = self._spec(target)
        kinds = {each.kind: each for each in SPECS[target].matched_by}
        if not kinds:
            raise Malformed(f"{target} matches drivers only by their {spec.key_words}")
        names = [_one_of(each.strip(), list(kinds), "kind of identifier") for each in named.split(",")]
        self.specs[target] = replace(spec, matched_by=tuple(kinds[each] for each in dict.fromkeys(names)))

    def _spec(self, target: Target) -> TargetSpec:
        return self.specs.get(target, SPECS[target])


def _parts(text: str, form: str) -> tuple[Target, str]:
    target, is_there, rest = text.partition("=")
    if not is_there or not rest:
        raise Malformed(f"{text!r} has to be {form}")
    return target_named(target.strip()), rest.strip()


def _one_of(text: str, known: Collection[str], what: str) -> str:
    if text not in known:
        raise Malformed(f"there is no {what} {text!r}{did_you_mean(text, known)}; there are: {', '.join(known)}")
    return text


async def _lines(
    installation: Installation, account: Account, rules: Rules, modes: Modes
) -> AsyncGenerator[BacktestLine, None]:
    readers = installation.readers
    history = History(
        decider=readers.decider,
        logs={each.log: readers.stores[each.name].log for each in installation.registry},
        partition_of=installation.partition_of,
    )
    async with _opened(installation) as scratch:
        backtest = await readers.call(Backtest, scratch, history, account.account, rules=rules, modes=modes)
        total, done, counts = await readers.call(backtest.batches), 0, dict.fromkeys(map(str, Target), 0)
        steps = backtest.run()
        while (found := await readers.call(_next, steps)) is not None:
            done += 1
            if found:
                for each in found:
                    counts[each.target] += 1
                yield BacktestLine(otherwise=await _shown(installation, account, found))
            elif done % _EVERY == 0:
                yield BacktestLine(progress=BacktestProgress(done=min(done, total), total=total))
        summary = BacktestSummary(
            account=account.account,
            batches=total,
            unordered=backtest.unordered,
            erased=backtest.erased,
            counts=counts,
        )
        yield BacktestLine(summary=summary)


def _next(steps: Iterator[list[Otherwise]]) -> list[Otherwise] | None:
    return next(steps, None)


@asynccontextmanager
async def _opened(installation: Installation) -> AsyncIterator[Store]:
    """An empty store, which is closed in the thread that uses it, behind the piece of work that is in hand."""
    scratch, call = ExitStack(), installation.readers.call
    try:
        yield await call(scratch.enter_context, installation.open_dry_run())
    finally:
        await call(scratch.close)


async def _shown(installation: Installation, account: Account, found: Sequence[Otherwise]) -> list[OtherDecision]:
    readers = installation.readers
    names: Mapping[str, str] = await readers.call(
        stated_names, readers.intake, account.account, [each.driver for each in found]
    )
    return [
        OtherDecision(
            at=each.at,
            target=each.target,
            driver=each.driver,
            name=names.get(each.driver, ""),
            trigger=each.trigger,
            decided=_step(each.decided),
            would_be=_step(each.would_be),
        )
        for each in found
    ]


def _step(step: PlanStep | None) -> DecidedStep | None:
    if step is None:
        return None
    return DecidedStep(
        action=step.action,
        situation=step.situation,
        key=step.key,
        desired_key=step.desired_key,
        fields=list(step.fields),
        reason=step.reason,
    )


def _last(failure: Exception) -> BacktestLine:
    return BacktestLine(problem=problem_at_end(failure, "the backtest"))
