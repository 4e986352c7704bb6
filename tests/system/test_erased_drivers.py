"""After erasing every tenth driver nothing of them is found in any file, and everything else is as it was."""

import asyncio
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.commanding import Ended, command
from tests.support.erased_fleet import DRIVERS, LEAVING, ErasedFleet, as_places, left_of, new_part
from tests.support.fleets import seed
from tests.support.processes import Up, outliving_client, sandboxes

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "running.md"

_SECONDS = 300.0
_SEED = 20261201


def files(data: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte of every file: free pages and what was not written back yet included."""
    for file in sorted(data.rglob("*")):
        if file.is_file():
            with suppress(FileNotFoundError):
                yield file.name, file.read_bytes()


def on(data: Path, *arguments: str) -> Ended:
    return command({"DRIVERLINK_DATA": str(data)}, *arguments)


def check_proof(folder: Path, proof: Mapping[str, Any]) -> None:
    """By the script in the guide."""
    (text,) = re.findall(r"```python\n(import base64.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    script, given = folder / "check_proof.py", folder / "proof.json"
    script.write_text(text)
    given.write_text(json.dumps(proof))
    subprocess.run([sys.executable, str(script), str(given), proof["key"]], check=True, capture_output=True)


async def _erased(data: Path) -> None:
    """All of it, with a kill while drivers are erased, and another at the end, behind which nothing is tidied up."""
    chance, part = random.Random(_SEED), new_part()  # noqa: S311 - moments, not secrets
    async with asyncio.timeout(_SECONDS), sandboxes() as targets:
        await seed([part], targets)
        up = Up(data, targets)
        await up.start()
        async with outliving_client(up.socket) as client:
            fleet = ErasedFleet(client, part)
            for deed in (fleet.begin, fleet.change, fleet.delete, fleet.stage.approve_all):
                await deed()
                await fleet.stage.until_quiet()
            assert {link["state"] for link in await fleet.stage.links()} == {"in_sync", "ended"}
            await up.stop()
            # A day later roots are signed, which are to hold after the erasure.
            up.ahead = timedelta(days=1, hours=1)
            await up.start()
            await fleet.stage.until_quiet()
            assert len({text for _, text in left_of(LEAVING, files(data))}) > len(LEAVING)
            await asyncio.gather(_erase(fleet), _kill(up, chance))
            await fleet.stage.until_quiet()
            assert left_of(LEAVING, files(data)) == []
            # The targets show the deleted drivers with their names still.
            await up.stop()
            up.ahead = timedelta(days=2, hours=2)
            await up.start()
            await fleet.stage.until_quiet()
            shown = await fleet.shown()
            assert left_of(LEAVING, as_places(shown)) == []
            assert "erased on" in str(shown)
            await fleet.verify()
            for proof in await fleet.proofs():
                check_proof(data.parent, proof)
            await up.kill()
            assert left_of(LEAVING, files(data)) == []


async def _erase(fleet: ErasedFleet) -> None:
    for driver in LEAVING:
        await fleet.erase(driver)


async def _kill(up: Up, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0.0, 0.15))
    await up.kill()
    await up.start()


def test_nothing_of_erased_drivers_is_in_any_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    asyncio.run(_erased(data))
    assert on(data, "rebuild", "--check").out == "every read model matches the log\n"
    assert on(data, "rebuild").status == 0
    assert on(data, "rebuild", "--check").status == 0
    assert left_of(LEAVING, files(data)) == []
    staying = [str(number) for number in range(1, DRIVERS + 1) if str(number) not in LEAVING]
    assert left_of(staying, files(data))
