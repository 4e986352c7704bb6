"""Webhooks of the product: a kill between a message's start and its outcome sends it once more, as it was."""

import asyncio
import json
from collections import Counter
from pathlib import Path

from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.api import V1
from services.sandbox.demo import Stage
from services.sandbox.serving import listening
from tests.support.acme import acme_sandboxes, in_sync, open_account, turn_on, until
from tests.support.hanging import HANGS
from tests.support.processes import Up, outliving_client

PATH = f"{V1}/accounts/acme/webhooks"
JANE = {"first_name": "Jane", "last_name": "Doe", "email": "jane@fleet.test", "driveri_driver_id": "D1"}


async def kill_before_the_answer(data: Path) -> None:
    """The process is killed while a receiver has a message, and has not answered yet."""
    came: list[tuple[str, bytes]] = []
    secret = ""
    async with acme_sandboxes() as targets:
        up = Up(data, targets, webhooks_private="true")

        async def take(request: Request) -> Response:
            body = await request.body()
            Webhook(secret).verify(body, dict(request.headers))
            came.append((request.headers["webhook-id"], body))
            if len(came) == 1:
                await up.kill()
                await up.start()
            return Response(status_code=204)

        await up.start()
        async with (
            outliving_client(up.socket) as client,
            listening(Starlette(routes=[Route("/", take, methods=["POST"])])) as url,
        ):
            stage = Stage(client)
            await open_account(stage)
            await turn_on(stage)
            made = (await client.post(PATH, json={"url": f"{url}/", "types": ["driver.linked"]})).json()
            secret = made["secret"]
            await client.post(f"{V1}/accounts/acme/drivers", json={"action": "create", "driver": "1", "profile": JANE})
            await until(stage, lambda account: in_sync(account, 1))
            while [(each["delivered"], each["waiting"]) for each in (await client.get(PATH)).json()] != [(2, 0)]:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.1)
            found = (await client.get(f"{PATH}/{made['endpoint']}/messages")).json()["messages"]
        assert await up.stop() == 0
    (first, _), times = came[0], Counter(message for message, _ in came)
    assert (len(times), times[first]) == (2, 2)
    assert len(set(came)) == 2
    (killed,) = (each for each in found if each["message"] == first)
    assert [each["status"] for each in killed["attempts"]] == [0, 204]
    assert all(b"Jane" not in body and b"fleet.test" not in body for _, body in came)
    assert {json.loads(body)["data"]["target"] for _, body in came} == {"driveri", "motive"}


def test_a_message_whose_answer_a_kill_prevents_is_sent_again_under_its_id(tmp_path: Path) -> None:
    async def played() -> None:
        async with asyncio.timeout(HANGS):
            await kill_before_the_answer(tmp_path / "data")

    asyncio.run(played())
