"""Webhooks over real connections: verified by the official library, sent again, and never to where they must not go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.webhooks import HttpReceivers
from domain.ports import WebhookReceivers
from services.runtime.context import DECISIONS, Assignment
from services.runtime.service import Notifier, Service
from services.webhooks.messages import signed_headers
from services.webhooks.sending import WebhooksApp
from tests.unit.services.webhooks.webhooks_stand import (
    SECRET,
    Receiver,
    WebhooksStand,
    confirmed,
    local_receivers,
    noted,
)

pytestmark = pytest.mark.anyio

HEADERS = {"content-type": "application/json"}


@asynccontextmanager
async def sending(stand: WebhooksStand, receivers: WebhookReceivers) -> AsyncIterator[WebhooksApp]:
    """The service runs on the stand's store."""
    service = Service(
        "webhooks",
        store=stand.store,
        clock=lambda: stand.now,
        notifier=Notifier(),
        handlers={DECISIONS: stand.messages.on_decisions},
        on_stored=stand.messages.on_stored,
    )
    app = WebhooksApp(service, messages=stand.messages, receivers=receivers, assignment=Assignment())
    running = asyncio.create_task(app.run())
    try:
        yield app
    finally:
        running.cancel()
        await asyncio.wait([running])
        service.close()


async def test_a_message_arrives_signed_and_its_end_is_stored(tmp_path: Path) -> None:
    stand, receiver = WebhooksStand(tmp_path), Receiver()
    async with receiver.listening() as url:
        to = stand.add(f"{url}/hooks?at=1")
        stand.happen(*(confirmed(str(driver), 1, f"D{driver}") for driver in range(12)))
        async with sending(stand, local_receivers()):
            await receiver.until(12)
    again = WebhooksStand(tmp_path)
    assert set(again.states(to)) == {"delivered"}
    assert sorted(body["data"]["driver"] for _, body in receiver.came) == sorted(map(str, range(12)))
    assert len({headers["webhook-id"] for headers, _ in receiver.came}) == 12
    again.store.close()


async def test_a_ping_that_another_process_asked_for_is_found(tmp_path: Path) -> None:
    stand, receiver = WebhooksStand(tmp_path), Receiver()
    async with receiver.listening() as url:
        to = stand.add(url)
        async with sending(stand, local_receivers()) as app:
            await app.service.call(stand.endpoints.ping, to, "msg_ping", noted())
            await receiver.until(1)
    assert receiver.came[0][1]["type"] == "webhook.ping"


async def test_a_receiver_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    stand, receiver = WebhooksStand(tmp_path), Receiver()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receiver.until(12)
        writer.close()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with hanging, receiver.listening() as url:
        stand.add(f"http://127.0.0.1:{hanging.sockets[0].getsockname()[1]}/")
        stand.add(url, account="good")
        drivers = [str(number) for number in range(12)]
        stand.happen(*(confirmed(driver, 1, "D") for driver in drivers))
        stand.happen(*(confirmed(driver, 1, "D", "good") for driver in drivers))
        async with sending(stand, local_receivers()):
            await receiver.until(12)


async def test_a_receiver_may_ask_for_time() -> None:
    receiver = Receiver(429)
    async with receiver.listening() as url:
        answers = [
            await local_receivers().send(url, signed_headers("msg_1", b"{}", [SECRET], datetime.now(UTC)), b"{}")
            for _ in range(2)
        ]
    assert [(answer.status, answer.retry_after) for answer in answers] == [(429, 90.0), (200, 0.0)]


async def test_a_redirect_is_not_followed_and_the_answer_is_not_read() -> None:
    receiver = Receiver(302)
    async with receiver.listening() as url:
        headers = signed_headers("msg_1", b"{}", [SECRET], datetime.now(UTC))
        answer = await local_receivers().send(url, headers, b"{}")
    assert (answer.status, answer.is_success, len(receiver.came)) == (302, False, 1)


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()
        except ConnectionError:
            return

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    answer = await local_receivers().send(url, HEADERS, b"{}")
    server.close()
    assert (answer.status, answer.detail) == (200, "answered 200")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"])  # noqa: S104
async def test_nothing_is_connected_to_that_is_not_public_by_whatever_name(host: str) -> None:
    came = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    receivers = HttpReceivers(allows_private=False)
    answers = [await receivers.send(f"{scheme}://{host}:{port}/", HEADERS, b"{}") for scheme in ("https", "http")]
    server.close()
    assert [(answer.status, "not public" in answer.detail) for answer in answers] == [(0, True), (0, True)]
    assert not came.is_set()


async def test_plain_http_goes_to_this_machine_only() -> None:
    answer = await local_receivers().send("http://192.168.7.7/", HEADERS, b"{}")
    assert (answer.status, "not public" in answer.detail) == (0, True)


@pytest.mark.parametrize(
    ("url", "detail"),
    [("http://127.0.0.1:1/", "not reached: ConnectError"), ("https://127.0.0.1:1/", "not reached: ConnectError")],
)
async def test_why_there_is_no_answer_is_said_without_the_address(url: str, detail: str) -> None:
    answer = await local_receivers().send(url, HEADERS, b"{}")
    assert (answer.status, answer.detail) == (0, detail)
