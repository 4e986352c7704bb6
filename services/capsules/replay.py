"""Replays a capsule: each decision again by the real decider, each call again by the real projector and adapters."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, assert_never

from domain.driver_link import Decision, LinkEvent
from domain.identity import Target
from domain.matching import ObservedDriver
from domain.outcomes import CallAnswered
from domain.store import Store
from services.capsules.calling import CallingAgain, ReplayedCall
from services.capsules.capsule import Capsule
from services.capsules.deciding import DecidingAgain, ReplayedDecision, meaning_of
from services.decider.read_models import ObservedRow, to_observed_driver
from services.runtime.context import outcomes_of
from services.wiring.registry import PROJECTOR_ROWS, open_dry_run, open_scratch

ReplayStep = ReplayedDecision | ReplayedCall
"""One thing that happened then, and what happens now."""


async def replay(capsule: Capsule) -> AsyncIterator[ReplayStep]:
    """Each step in order, in temporary stores, which need no installation. Raises `StoreFailed`."""
    with ExitStack() as closing:
        scratch = closing.enter_context(open_dry_run())
        deciding, calling = DecidingAgain(capsule, scratch), CallingAgain(capsule, _projector_store)
        for step in deciding.steps():
            yield step
            for fact in step.then:
                if isinstance(fact, Decision):
                    target = Target(fact.target)
                    shown = _shown(scratch, capsule, target)
                    link = deciding.link(target)
                    for called in await calling.steps(fact, link, deciding.accounts(), shown):
                        yield called


def _projector_store(target: Target) -> AbstractContextManager[Store]:
    return open_scratch(outcomes_of(target), PROJECTOR_ROWS)


def _shown(scratch: Store, capsule: Capsule, target: Target) -> list[ObservedDriver]:
    """What the target had shown at this point."""
    rows = scratch.select(ObservedRow, {"account": str(capsule.account), "target": str(target)})
    return [to_observed_driver(row) for row in rows]


async def replay_whole(capsule: Capsule) -> list[ReplayStep]:
    """Every step, in order. Raises `StoreFailed`."""
    return [each async for each in replay(capsule)]


def to_row(step: ReplayStep) -> dict[str, Any]:
    """A step as values: when, what it is about, what happened then, what happens now, and in what they differ."""
    common = {"at": step.at.isoformat(), "is_equal": step.is_equal, "untried": step.untried}
    match step:
        case ReplayedDecision():
            return {
                **common,
                "what": f"decided by {_started(step)}",
                "then": _all(step.then),
                "now": _all(step.now),
                "differing": [] if step.is_equal else _decided_otherwise(step),
            }
        case ReplayedCall():
            return {
                **common,
                "what": f"called {step.decision.target}",
                "then": _answer(step.then, [*(step.then.exchanges or ())]),
                "now": _answer(step.now, [each.to_json() for each in step.exchanged]),
                "differing": [*step.differing],
            }
    assert_never(step)


def _started(step: ReplayedDecision) -> str:
    names = [f"{type(each).__name__} {each.originator_version}" for each in step.inputs]
    return ", ".join(names) or step.work


def _all(facts: Sequence[LinkEvent]) -> str:
    return "; ".join(map(_fact, facts)) or "nothing"


def _fact(fact: LinkEvent) -> str:
    """A fact in a few words, without the profile."""
    told = [f"{fact.target} {type(fact).__name__}"]
    if isinstance(fact, Decision):
        told.append(f"{fact.key or 'no key'} -> {fact.desired_key or 'no key'}")
    elif getattr(fact, "key", None):
        told.append(str(getattr(fact, "key", "")))
    told += [str(text) for name in ("reason", "holder") if (text := getattr(fact, name, ""))]
    if fields := getattr(fact, "fields", None):
        told.append(f"fields {', '.join(fields)}")
    if situation := getattr(fact, "rationale", {}).get("situation"):
        told.append(f"({situation})")
    return " ".join(told)


def _decided_otherwise(step: ReplayedDecision) -> list[str]:
    """The fields in which the facts differ; or how many there are."""
    if len(step.then) != len(step.now):
        return [f"{len(step.now)} facts in place of {len(step.then)}"]
    pairs = [(meaning_of(then), meaning_of(now)) for then, now in zip(step.then, step.now, strict=True)]
    names = {name for then, now in pairs for name in then.keys() | now.keys() if then.get(name) != now.get(name)}
    return sorted(names)


def _answer(answer: CallAnswered | None, exchanges: Sequence[Mapping[str, Any]]) -> str:
    if answer is None:
        return "nothing"
    words = " ".join(filter(None, (answer.outcome, answer.reason, answer.key)))
    requests = [f"{each['method']} {each['route']} {each['status'] or 'no answer'}" for each in exchanges]
    return f"{words} ({', '.join(requests)})" if requests else words
