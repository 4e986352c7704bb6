"""The sandbox of one target with a large roster, in a process of its own.

`python -m tests.benchmarks.rosters TARGET DRIVERS` says its address, and serves until its input ends.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from adapters.driveri.wire import to_wire as to_driveri
from adapters.motive.target import new_ids
from adapters.motive.wire import MotiveAccess
from adapters.motive.wire import to_wire as to_motive
from domain.identity import AccountId, Target
from services.sandbox import driveri, motive
from services.sandbox.serving import listening
from tests.benchmarks.fleet import Fleet, profile
from tests.benchmarks.stand_in import credentials

ACCOUNT = AccountId("large")


def _driver(number: int) -> dict[str, object]:
    known = profile(number)
    group = {"groupName": known["driveri_group"], "groupUniqueName": known["driveri_group"]}
    return {"driverId": known["driveri_driver_id"], **to_driveri(known), "group": group}


def _user(number: int) -> dict[str, object]:
    known = {**profile(number), "portal_driver_id": Fleet(account=ACCOUNT, drivers=1).driver(number)}
    ids = new_ids(known, MotiveAccess(base_url="http://127.0.0.1"))
    return {"id": number, **to_motive(known), "external_ids": ids}


@contextmanager
def showing(target: Target, drivers: int) -> Iterator[str]:
    """While this lasts, this many drivers are shown by a process of its own; the address."""
    command = [sys.executable, "-m", "tests.benchmarks.rosters", str(target), str(drivers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def _application(target: Target, drivers: int) -> ASGIApp:
    numbers = range(1, drivers + 1)
    if target is Target.MOTIVE:
        company = {**credentials(target, ACCOUNT), "users": [_user(number) for number in numbers]}
        return motive.application({"companies": [company]})
    known = credentials(target, ACCOUNT)
    client = {"client_id": known["client_id"], "client_secret": known["client_secret"]}
    tenant = {"tenant": ACCOUNT, "clients": [client], "drivers": [_driver(number) for number in numbers]}
    return driveri.application({"tenants": [tenant]})


async def _serve(target: Target, drivers: int) -> None:
    async with listening(_application(target, drivers)) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(Target(sys.argv[1]), int(sys.argv[2])))
