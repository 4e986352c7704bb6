"""A reconciliation of one large account in which everybody is in sync, beside a bare read of the same list.

The projector scans the roster of a sandbox, in a process of its own; httpx alone reads the same list from the same
sandbox, and parses it. The decider goes through as many links in another process.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from statistics import median
from time import perf_counter

import httpx

from adapters.driveri.client import OVERLAP
from adapters.driveri.client import PAGE_SIZE as DRIVERI_PAGE
from adapters.motive.client import PAGE_SIZE as MOTIVE_PAGE
from domain.identity import Target
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.reconciling import LAPS, Reconciled
from tests.benchmarks.rosters import ACCOUNT, showing
from tests.benchmarks.servers import Servers
from tests.benchmarks.standing_in import credentials
from tests.benchmarks.telling import Telling

DRIVERS, USUAL = 100_000, 20_000
"""All of a large account, and as many as are reconciled where minutes count."""

TO_BARE = 0.5

MOST = 400.0
"""Megabytes."""


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """With the whole fleet, which takes minutes."""
    return _measured(servers, telling, DRIVERS)


def measure_some(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """With a fifth of it."""
    return _measured(servers, telling, USUAL)


def pages(target: Target, drivers: int) -> int:
    """How many pages a scan reads: see ADR 0036.

    Each of Driveri's begins with the last drivers of the one before; a full page of Motive's is not the last.
    """
    if target is Target.MOTIVE:
        return drivers // MOTIVE_PAGE + 1
    return 1 + max(0, -(-(drivers - DRIVERI_PAGE) // (DRIVERI_PAGE - OVERLAP)))


def _measured(servers: Servers, telling: Telling, drivers: int) -> Sequence[Finding]:
    done, findings = telling("reconciliation", 2 * len(Target)), list[Finding]()
    for number, target in enumerate(Target):
        with showing(target, drivers) as url:
            bare = asyncio.run(_bare(target, url, drivers))
            scanned = _reconciled(servers, "projector", target, url, drivers)
        done(2 * number + 1)
        decided = _reconciled(servers, "decider", target, "", drivers)
        done(2 * number + 2)
        findings += _to_findings(target, drivers, bare, scanned, decided)
    return findings


def _reconciled(servers: Servers, part: str, target: Target, url: str, drivers: int) -> Reconciled:
    told = [part, str(target), url, str(drivers), servers.database()]
    command = [sys.executable, "-m", "tests.benchmarks.reconciling", *told]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr)
    return Reconciled(**json.loads(run.stdout.splitlines()[-1]))


async def _bare_driveri(client: httpx.AsyncClient, drivers: int) -> float:
    """Read every page as large as it can be, by httpx alone; the seconds."""
    if "Authorization" not in client.headers:
        known = credentials(Target.DRIVERI, ACCOUNT)
        reply = await client.post("/v1/auth/token", auth=(known["client_id"], known["client_secret"]))
        client.headers["Authorization"] = f"Bearer {reply.json()['data']['accessToken']}"
    path = f"/v1/tenants/{ACCOUNT}/drivers"
    queries = [
        {"offset": str(start), "limit": str(DRIVERI_PAGE), "showAll": "true"}
        for start in range(0, drivers, DRIVERI_PAGE)
    ]
    return await _read(client, path, queries)


async def _bare_motive(client: httpx.AsyncClient, drivers: int) -> float:
    """Read every page as large as it can be, by httpx alone; the seconds."""
    client.headers["X-Api-Key"] = credentials(Target.MOTIVE, ACCOUNT)["api_key"]
    numbers = range(1, pages(Target.MOTIVE, drivers) + 1)
    queries = [{"role": "driver", "per_page": str(MOTIVE_PAGE), "page_no": str(number)} for number in numbers]
    return await _read(client, "/v1/users", queries)


async def _read(client: httpx.AsyncClient, path: str, queries: Sequence[dict[str, str]]) -> float:
    began = perf_counter()
    for query in queries:
        json.loads((await client.get(path, params=query)).raise_for_status().content)
    return perf_counter() - began


async def _bare(target: Target, url: str, drivers: int) -> float:
    """The median of some readings; the seconds."""
    async with httpx.AsyncClient(base_url=url) as client:
        return median([await _BARE[target](client, drivers) for _ in range(LAPS)])


_BARE: Mapping[Target, Callable[[httpx.AsyncClient, int], Coroutine[None, None, float]]] = {
    Target.DRIVERI: _bare_driveri,
    Target.MOTIVE: _bare_motive,
}


def _to_findings(
    target: Target, drivers: int, bare: float, scanned: Reconciled, decided: Reconciled
) -> Sequence[Finding]:
    return [
        _to_bare(target, drivers, bare, scanned),
        _calls(target, drivers, scanned),
        _memory(target, drivers, scanned, decided),
    ]


def _to_bare(target: Target, drivers: int, bare: float, scanned: Reconciled) -> Finding:
    figures = {"drivers a second": drivers / scanned.seconds, "drivers a second, by httpx alone": drivers / bare}
    return Finding(
        what=f"reconciliation, {target}, {drivers:,} drivers: to a bare read",
        measured=bare / scanned.seconds,
        budget=TO_BARE,
        bound=Bound.AT_LEAST,
        unit="times",
        behind=figures,
    )


def _calls(target: Target, drivers: int, scanned: Reconciled) -> Finding:
    return Finding(
        what=f"reconciliation, {target}, {drivers:,} drivers: requests",
        measured=scanned.requests,
        budget=pages(target, drivers) + 1,
        bound=Bound.UNDER,
        unit="requests",
        behind={"pages": pages(target, drivers), "events stored": scanned.events},
    )


def _memory(target: Target, drivers: int, scanned: Reconciled, decided: Reconciled) -> Finding:
    return Finding(
        what=f"reconciliation, {target}, {drivers:,} drivers: memory",
        measured=max(scanned.peak, decided.peak),
        budget=MOST,
        bound=Bound.UNDER,
        unit="MB",
        behind={
            "MB at most, projector": scanned.peak,
            "MB at most, decider": decided.peak,
            "links a second, decider": drivers / decided.seconds,
            "events stored by the decider": decided.events,
        },
    )
