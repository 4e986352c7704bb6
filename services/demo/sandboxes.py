"""The sandboxes in a process of their own, and their whole state as they tell it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from services.demo.comparing import Shown, to_shown


class SandboxEnded(Exception):
    """The sandboxes did not start; the message is their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandboxes:
    """Where the sandboxes listen; nobody needs the Portal's who states drivers by command."""

    driveri: str
    motive: str
    portal: str = ""

    async def shown(self) -> Shown:
        """Everything that both targets hold now."""
        async with httpx.AsyncClient(timeout=30.0) as client:
            driveri = await client.get(f"{self.driveri}/sandbox/state")
            motive = await client.get(f"{self.motive}/sandbox/state")
        return to_shown(driveri.json(), motive.json())


@asynccontextmanager
async def sandboxes() -> AsyncIterator[RunningSandboxes]:
    """The sandboxes with the sample fleet, on free loopback ports. Raises `SandboxEnded`."""
    ports = [word for name in ("driveri", "motive", "portal") for word in (f"--{name}-port", "0")]
    command = (sys.executable, "-m", "services.cli", "sandbox", *ports)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield RunningSandboxes(
            driveri=await _address(process), motive=await _address(process), portal=await _address(process)
        )
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    if process.stdout is None or process.stderr is None:
        raise SandboxEnded("the sandboxes cannot be heard")
    line = (await process.stdout.readline()).decode()
    if not line:
        raise SandboxEnded((await process.stderr.read()).decode().strip() or "the sandboxes ended at once")
    return line.split()[-1]
