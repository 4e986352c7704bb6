"""What accounts are connected with shows nowhere but in the credentials' file: not in logs, stores, or the telling."""

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from services.cli.logs import configure_logging
from services.sandbox import driveri, motive, portal
from services.sandbox.demo import ACCOUNT, RunningSandboxes, Stage, stage
from services.sandbox.serving import listening
from services.sandbox.story import Announcement
from services.wiring.settings import LogSettings
from tests.support.hanging import HANGS

pytestmark = pytest.mark.anyio

CLIENT = ("id-1", "hush-driveri")
GRANT = {"client_id": "app", "client_secret": "hush-app", "refresh_token": "hush-0"}
WRONG = "hush-wrong"
DRIVERI = {
    "tenants": [
        {
            "tenant": "acme",
            "clients": [{"client_id": CLIENT[0], "client_secret": CLIENT[1]}],
            "statuses": [{"status": 1, "description": "Active"}, {"status": 4, "description": "Deleted"}],
        }
    ]
}
MOTIVE = {"companies": [{"company": "acme", "api_key": "hush-key", "grants": [GRANT]}]}
PORTAL = {"accounts": [{"account": "acme", "users": [{"username": "maria-api", "app_token": "hush-app-token"}]}]}
PROFILE = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test", "driveri_driver_id": "D1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything that anybody has logged since the test began, at the finest; to be asked once."""
    before = structlog.get_config()
    heard = [*logging.getLogger().handlers]
    configure_logging(LogSettings(log_level="debug"))
    # The output that it writes to is closed before the test ends; pytest hears libraries as well.
    logging.getLogger().handlers[:] = heard
    for name in ("", "httpx", "httpcore", "asyncio", "uvicorn"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield lambda: caplog.text + "".join(capfd.readouterr())
    structlog.configure(**before)


@pytest.fixture
async def targets() -> AsyncIterator[RunningSandboxes]:
    async with AsyncExitStack() as running:
        yield RunningSandboxes(
            driveri=await running.enter_async_context(listening(driveri.application(DRIVERI))),
            motive=await running.enter_async_context(listening(motive.application(MOTIVE))),
            portal=await running.enter_async_context(listening(portal.application(PORTAL))),
        )


async def connect(playing: Stage, client_secret: str, refresh_token: str, app_token: str) -> None:
    stated = {
        "portal": {"username": "maria-api", "app_token": app_token},
        "driveri": {"tenant": "acme", "client_id": CLIENT[0], "client_secret": client_secret},
        "motive": {**GRANT, "refresh_token": refresh_token},
    }
    for target, values in stated.items():
        await playing.post(f"/accounts/{ACCOUNT}/credentials", {"target": target, "values": values})


async def sync_one(playing: Stage) -> None:
    """One driver, brought to both targets."""
    await playing.post("/accounts", {"account": ACCOUNT, "tier": "pro", "mode": "full", "master_user": "maria"})
    await connect(playing, CLIENT[1], GRANT["refresh_token"], "hush-app-token")
    await playing.take([{"line": 2, "driver": "p1", "profile": PROFILE}])
    await playing.turn_on()
    await playing.until_quiet()
    assert [link["state"] for link in await playing.links()] == ["in_sync", "in_sync"]


async def issued(targets: RunningSandboxes, data: Path) -> set[str]:
    """Every token that is good now."""
    async with httpx.AsyncClient(auth=CLIENT) as client:
        tokens = (await client.get(f"{targets.driveri}/v1/auth/tokens")).json()["data"]
    renewed = json.loads((data / "credentials" / f"{ACCOUNT}.json").read_text("utf-8"))[ACCOUNT]["motive"]["renewed"]
    return {*(each["accessToken"] for each in tokens), renewed["access_token"], renewed["refresh_token"]}


async def until_refused(playing: Stage) -> None:
    """Both targets have refused what the account is connected with by now."""
    for target in ("driveri", "motive"):
        reports = ""
        while "credentials" not in reports:
            reports = json.dumps(await playing.events({"account": ACCOUNT, "log": f"outcomes-{target}"}))


async def until_read(playing: Stage, told: str) -> None:
    """The Portal's list was read, with this trouble."""
    status = ""
    while told not in status:
        status = json.dumps(await playing.get("/status"))


async def told(playing: Stage) -> str:
    """What people are told of the account."""
    paths = ("/accounts", f"/accounts/{ACCOUNT}", f"/accounts/{ACCOUNT}/links", "/status")
    answers: list[Any] = [await playing.get(path) for path in paths]
    return json.dumps(answers)


def stored(data: Path) -> bytes:
    """Everything that is in the data folder, but for the folder of the credentials."""
    files = (path for path in data.iterdir() if path.is_file())
    return b"".join(path.read_bytes() for path in files)


async def test_no_secret_is_logged_stored_or_shown(
    tmp_path: Path, targets: RunningSandboxes, logged: Callable[[], str]
) -> None:
    data = tmp_path / "data"
    async with asyncio.timeout(HANGS), stage(data, targets) as playing:
        await sync_one(playing)
        secrets = {"hush", b64encode(":".join(CLIENT).encode()).decode(), *await issued(targets, data)}
        await until_read(playing, "an empty list never deletes a driver")
        await connect(playing, WRONG, WRONG, WRONG)
        await playing.announce(Announcement(action="update", driver="p1", profile={**PROFILE, "last_name": "Roe"}))
        await until_refused(playing)
        await until_read(playing, "credentials")
        shown = await told(playing)
    places = {"told": shown.encode(), "stored": stored(data), "logged": logged().encode()}
    assert b"oauth/token" in places["logged"]
    assert b"jane@fleet.test" in places["stored"]
    assert [(place, secret) for place, text in places.items() for secret in secrets if secret.encode() in text] == []
