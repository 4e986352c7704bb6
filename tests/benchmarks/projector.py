"""A projector against an unlimited sandbox.

From desired states in its store to stored answers, beside the bare requests.

Several accounts, each driver of which is to be created, and then updated, a part after the other. In turns with the
projector httpx alone does the same to a sandbox of its own, with as many requests under way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

import httpx

from domain.identity import Target
from services.sandbox.demo import sandboxes
from tests.benchmarks.bare import Bare, BareDriveri, BareMotive
from tests.benchmarks.budgets import PROJECTOR
from tests.benchmarks.findings import Finding
from tests.benchmarks.profiling import profiled
from tests.benchmarks.projecting import ACCOUNTS, DRIVERS, Projecting, fleets, parts
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import credentials
from tests.benchmarks.telling import Telling

LAPS = 3

DESIRED_DRIVERS = ACCOUNTS * DRIVERS

_BARE = {Target.DRIVERI: BareDriveri, Target.MOTIVE: BareMotive}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """What one lap came to, in seconds, and in requests of the projector."""

    target: Target
    kind: str
    projected: float
    bare: float
    requests: int


async def run(servers: Servers, target: Target) -> Sequence[Lap]:
    """One lap, with a database and sandboxes of its own."""
    async with AsyncExitStack() as stack:
        urls = [await _sandbox(stack, target) for _ in range(2)]
        projecting = Projecting(servers, target, urls[0])
        stack.push_async_callback(projecting.close)
        bare = _BARE[target](urls[1], [fleet.account for fleet in fleets(target)])
        stack.push_async_callback(bare.close)
        await projecting.scan()
        await bare.open()
        return [await _lap(target, kind, projecting, bare) for kind in ("creates", "updates")]


async def profile(servers: Servers, target: Target) -> Mapping[str, str]:
    """Where the time of a projector goes."""
    async with AsyncExitStack() as stack:
        projecting = Projecting(servers, target, await _sandbox(stack, target))
        stack.push_async_callback(projecting.close)
        await projecting.scan()
        with profiled() as profiler:
            for desired in parts(target):
                await projecting.creates(desired)
                await projecting.updates(desired)
        return {f"projector, {target}": profiler.text()}


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """The median of each figure over all laps."""
    done, laps = telling("projector", LAPS), list[Lap]()
    for number in range(LAPS):
        for target in Target:
            laps += asyncio.run(run(servers, target))
        done(number + 1)
    kinds = dict.fromkeys((lap.target, lap.kind) for lap in laps)
    return [_finding([lap for lap in laps if (lap.target, lap.kind) == kind]) for kind in kinds]


def profiles(servers: Servers, _: Telling) -> Mapping[str, str]:
    """Where the time goes."""
    return {what: text for target in Target for what, text in asyncio.run(profile(servers, target)).items()}


async def _lap(target: Target, kind: str, projecting: Projecting, bare: Bare) -> Lap:
    projected = alone = 0.0
    before = projecting.requests
    for desired in parts(target):
        projected += await getattr(projecting, kind)(desired)
        alone += await getattr(bare, kind)(desired)
    return Lap(target=target, kind=kind, projected=projected, bare=alone, requests=projecting.requests - before)


async def _sandbox(stack: AsyncExitStack, target: Target) -> str:
    """The address of a sandbox with the accounts and no drivers."""
    running = await stack.enter_async_context(sandboxes())
    url = {Target.DRIVERI: running.driveri, Target.MOTIVE: running.motive}[target]
    known = [credentials(target, fleet.account) for fleet in fleets(target)]
    seeds: Mapping[Target, object] = {
        Target.DRIVERI: {
            "tenants": [{"tenant": each.pop("tenant", ""), "clients": [each]} for each in map(dict, known)]
        },
        Target.MOTIVE: {"companies": known},
    }
    async with httpx.AsyncClient() as client:
        (await client.put(f"{url}/sandbox/state", json=seeds[target])).raise_for_status()
    return url


def _finding(laps: Sequence[Lap]) -> Finding:
    return Finding(
        what=f"projector, {laps[0].target}, {laps[0].kind}: to bare httpx",
        ours=median(DESIRED_DRIVERS / lap.projected for lap in laps),
        unit="answers a second",
        budget=PROJECTOR,
        beside=median(DESIRED_DRIVERS / lap.bare for lap in laps),
        behind={"requests for each driver": median(lap.requests for lap in laps) / DESIRED_DRIVERS},
    )
