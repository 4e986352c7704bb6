"""What the sandboxes push arrives in order, is sent again until it is accepted, and is signed each time."""

import asyncio

import pytest
from standardwebhooks.webhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.sandbox.serving import listening
from services.sandbox.state import wall_clock
from services.sandbox.webhooks import Pusher, WebhookSeed, motive_signature, standard_signature
from tests.support.hanging import HANGS

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Answers each push by the next of these statuses, and the rest by 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = [*statuses]
        self.came: list[tuple[bytes, dict[str, str]]] = []
        self.app = Starlette(routes=[Route("/", self.take, methods=["POST"])])
        self.changed = asyncio.Event()

    async def take(self, request: Request) -> Response:
        self.came.append((await request.body(), dict(request.headers)))
        self.changed.set()
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)

    async def until(self, pushes: int) -> list[bytes]:
        async with asyncio.timeout(HANGS):
            while len(self.came) < pushes:
                self.changed.clear()
                await self.changed.wait()
        return [body for body, _ in self.came]


async def test_a_push_that_is_not_accepted_is_sent_again_before_the_next() -> None:
    receiver = Receiver(503)
    async with listening(receiver.app) as url:
        pusher = Pusher(WebhookSeed(url=url, secret=SECRET))
        for number in range(3):
            pusher.push({"number": number}, standard_signature(SECRET, wall_clock))
        assert await receiver.until(4) == [b'{"number":%d}' % number for number in (0, 0, 1, 2)]
    (first, again, *others) = [headers["webhook-id"] for _, headers in receiver.came]
    assert first == again
    assert len({again, *others}) == 3
    for body, headers in receiver.came:
        Webhook(SECRET).verify(body, headers)


async def test_motive_pushes_no_more_once_it_was_answered_403() -> None:
    receiver = Receiver(200, 403)
    async with listening(receiver.app) as url:
        pusher = Pusher(WebhookSeed(url=url, secret="s"), ends_at_403=True)
        for number in range(3):
            pusher.push(number, motive_signature("s"))
        await receiver.until(2)
        while not pusher.has_ended:  # noqa: ASYNC110 - it comes about behind the answer
            await asyncio.sleep(0)
        pusher.push(4, motive_signature("s"))
    assert [body for body, _ in receiver.came] == [b"0", b"1"]
