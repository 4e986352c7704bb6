"""The memory of each process with a large fleet in one account, over Kafka and PostgreSQL.

All of the fleet is stated at once, and the account opts in with the mode observe: everything is decided, nothing sent.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.account import Mode
from domain.identity import AccountId, Target
from tests.benchmarks.deployed import deployed
from tests.benchmarks.findings import Bound, Finding
from tests.benchmarks.fleet import Fleet
from tests.benchmarks.servers import Servers
from tests.benchmarks.telling import Telling

DRIVERS = 100_000

MOST = 400.0
"""Megabytes."""


def measure(servers: Servers, telling: Telling) -> Sequence[Finding]:
    """The process that has had the most."""
    fleet, links = Fleet(account=AccountId("large"), drivers=DRIVERS), DRIVERS * len(Target)
    with (
        TemporaryDirectory(prefix="driverlink-") as folder,
        deployed(servers, [fleet.account], Path(folder)) as running,
    ):
        running.opt_in(fleet, Mode.OBSERVE)
        running.until("pending", links, telling("memory: deciding", links))
        peaks = running.peaks()
    figures = {f"MB at most, {name}": peak for name, peak in peaks.items()}
    what, most = f"memory: of any process, {DRIVERS:,} drivers", max(peaks.values())
    return [Finding(what=what, measured=most, budget=MOST, bound=Bound.UNDER, unit="MB", behind=figures)]
