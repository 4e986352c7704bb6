"""A projector against an unlimited sandbox: from wishes in its store to stored answers, beside the bare requests.

Several accounts, each driver of which is to be created, and then updated. What the projector sends is noted; afterwards
httpx alone sends the same requests to the same sandbox, emptied, with as many under way.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import httpx

from domain.identity import Target
from services.demo.sandboxes import sandboxes
from services.projector.app import MOST_CALLS
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.profiling import profiled
from tests.benchmarks.projecting import ACCOUNTS, DRIVERS, Projecting, accounts, settled_memory
from tests.benchmarks.servers import Servers
from tests.benchmarks.standing_in import credentials
from tests.benchmarks.telling import Telling

LAPS = 3
TO_BARE = 0.7

WISHES = ACCOUNTS * DRIVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """What one lap came to, in seconds, and in requests."""

    target: Target
    kind: str
    projected: float
    bare: float
    requests: int


async def run(servers: Servers, target: Target) -> Sequence[Lap]:
    """One lap, with a database and a sandbox of its own."""
    async with sandboxes() as running:
        url = {Target.DRIVERI: running.driveri, Target.MOTIVE: running.motive}[target]
        await _seed(target, url)
        projecting = Projecting(servers, target, url)
        await projecting.walk()
        sent, seconds = {}, {}
        for kind, projected in {"creates": projecting.creates, "updates": projecting.updates}.items():
            seconds[kind] = await projected()
            sent[kind] = [*projecting.noted]
        await _empty(url)
        laps = [
            Lap(target=target, kind=kind, projected=seconds[kind], bare=await bare(requests), requests=len(requests))
            for kind, requests in sent.items()
        ]
        await projecting.close()
        return laps


async def bare(requests: Sequence[httpx.Request]) -> float:
    """The seconds in which httpx sends these requests, and does nothing else.

    A client for each account, as the projector has them: httpx is the slower the more connections a client keeps.
    """
    waiting = iter(requests)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient()) for _ in range(ACCOUNTS)]
        with settled_memory():
            began = perf_counter()
            async with asyncio.TaskGroup() as group:
                for place in range(MOST_CALLS):
                    group.create_task(_send(clients[place % ACCOUNTS], waiting))
            return perf_counter() - began


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
    found = {}
    for target in Target:
        with profiled() as profiler:
            asyncio.run(run(servers, target))
        found[f"projector, {target}"] = profiler.text()
    return found


async def _send(client: httpx.AsyncClient, waiting: Iterator[httpx.Request]) -> None:
    for each in waiting:
        await client.request(each.method, each.url, headers=each.headers, content=each.content)


async def _seed(target: Target, url: str) -> None:
    """Let the sandbox have nobody but the accounts."""
    known = [credentials(target, account) for account in accounts(target)]
    if target is Target.MOTIVE:
        seed: dict[str, object] = {"companies": known}
    else:
        tenants = [{"tenant": each.pop("tenant"), "clients": [each]} for each in known]
        seed = {"tenants": tenants}
    async with httpx.AsyncClient() as client:
        (await client.put(f"{url}/sandbox/state", json=seed)).raise_for_status()


async def _empty(url: str) -> None:
    async with httpx.AsyncClient() as client:
        (await client.delete(f"{url}/sandbox/state")).raise_for_status()


def _finding(laps: Sequence[Lap]) -> Finding:
    figures = {
        "answers stored a second": median(WISHES / lap.projected for lap in laps),
        "answers a second, by httpx alone": median(WISHES / lap.bare for lap in laps),
        "requests for each driver": laps[0].requests / WISHES,
    }
    return Finding(
        what=f"projector, {laps[0].target}, {laps[0].kind}: to bare httpx",
        measured=median(lap.bare / lap.projected for lap in laps),
        budget=TO_BARE,
        bound=Bound.AT_LEAST,
        unit="times",
        behind=figures,
    )
