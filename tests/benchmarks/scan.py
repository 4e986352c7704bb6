"""The scan of a roster in which everybody is in sync, beside a bare read of the same list.

The projector scans the roster of a sandbox, which it knows already, in a process of its own; httpx alone reads the same
list from the same sandbox, and parses it.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from statistics import median
from time import perf_counter

import httpx

from adapters.driveri.client import OVERLAP
from adapters.driveri.client import PAGE_SIZE as DRIVERI_PAGE
from adapters.motive.client import PAGE_SIZE as MOTIVE_PAGE
from domain.identity import Target
from tests.benchmarks.budgets import SCAN, SCAN_REQUESTS
from tests.benchmarks.findings import Finding
from tests.benchmarks.reconciling import LAPS, Reconciled
from tests.benchmarks.rosters import ACCOUNT, showing
from tests.benchmarks.servers import Servers
from tests.benchmarks.stand_in import credentials
from tests.benchmarks.telling import Telling

DRIVERS = 20_000


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """The rate, and the requests, for each target."""
    done, findings = telling("scan", len(Target)), list[Finding]()
    for number, target in enumerate(Target, 1):
        with showing(target, DRIVERS) as url:
            bare = asyncio.run(_bare(target, url, DRIVERS))
            scanned = _scanned(servers, target, url)
        findings += _to_findings(target, bare, scanned)
        done(number)
    return findings


def pages(target: Target, drivers: int) -> int:
    """How many pages a scan reads: see ADR 0036.

    Each of Driveri's begins with the last drivers of the one before; a full page of Motive's is not the last.
    """
    if target is Target.MOTIVE:
        return drivers // MOTIVE_PAGE + 1
    return 1 + max(0, -(-(drivers - DRIVERI_PAGE) // (DRIVERI_PAGE - OVERLAP)))


def _scanned(servers: Servers, target: Target, url: str) -> Reconciled:
    told = [str(target), url, str(DRIVERS), servers.database()]
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


def _to_findings(target: Target, bare: float, scanned: Reconciled) -> Iterator[Finding]:
    yield Finding(
        what=f"scan of {DRIVERS:,}, {target}: to a bare read",
        ours=DRIVERS / scanned.seconds,
        unit="drivers a second",
        budget=SCAN,
        beside=DRIVERS / bare,
        behind={"MB at most": scanned.peak, "events stored": scanned.events},
    )
    yield Finding(
        what=f"scan of {DRIVERS:,}, {target}: requests to pages",
        ours=scanned.requests,
        unit="requests",
        budget=SCAN_REQUESTS,
        beside=pages(target, DRIVERS),
    )
