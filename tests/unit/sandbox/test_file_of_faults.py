"""`driverlink sandbox --faults FILE`."""

import asyncio
import json
from pathlib import Path

import pytest
from httpx import AsyncClient

from services.sandbox.faults.faults import faults_of_all
from services.sandbox.serving import Seeds, serve
from tests.support.commanding import command
from tests.unit.sandbox.test_serving import Announced

LATE = {"fault": "latency", "seconds": 1.0}
LIMITED = {"fault": "limited"}
FAILING = {"fault": "failing"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def told(path: Path) -> str:
    """What the command says to this file."""
    ended = command({}, "sandbox", "--driveri-port", "0", "--motive-port", "0", "--faults", str(path))
    assert (ended.status != 0, ended.out, ended.err.count("\n")) == (True, "", 1)
    return ended.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is not valid: Input should be a valid dictionary"),
        (json.dumps({"fleet": {}}), "is not valid: fleet: Extra inputs are not permitted"),
        (json.dumps({"motive": {"rules": [{**LIMITED, "share": 2}]}}), "is not valid: motive.rules.0.limited.share: "),
    ],
)
def test_a_bad_file_of_faults_is_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text, "utf-8")
    assert f"the file of faults {path} {problem}" in told(path)


def test_a_missing_file_of_faults_is_named(tmp_path: Path) -> None:
    assert "cannot be read" in told(tmp_path / "none.json")


@pytest.mark.anyio
async def test_each_sandbox_starts_with_its_own_faults() -> None:
    faults = faults_of_all(
        {"driveri": {"rules": [LATE]}, "motive": {"rules": [LIMITED]}, "portal": {"rules": [FAILING]}}
    )
    announced = Announced()
    seeds = Seeds(driveri_faults=faults.driveri, motive_faults=faults.motive, portal_faults=faults.portal)
    serving = asyncio.create_task(serve("127.0.0.1", 0, 0, seeds, announced))
    sandboxes = await announced.sandboxes()
    async with AsyncClient() as client:
        shown = [
            (await client.get(f"{url}/sandbox/faults")).json()["rules"][0]["fault"]
            for url in (sandboxes.driveri, sandboxes.motive, sandboxes.portal)
        ]
    assert shown == ["latency", "limited", "failing"]
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
