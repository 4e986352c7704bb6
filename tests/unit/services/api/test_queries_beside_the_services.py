"""Queries do not wait for services, and services do not wait for queries."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event
from urllib.parse import parse_qsl

import pytest

from services.runtime.service import Service
from tests.support.hanging import HANGS
from tests.unit.services.api.api_stand import ApiStand

pytestmark = pytest.mark.anyio

QUESTIONS = [
    "/progress",
    "/accounts",
    "/accounts/acme",
    "/accounts/acme/rekeyings",
    "/status",
    "/status?account=acme",
    "/events",
    "/events?account=acme&driver=1",
    "/accounts/acme/links?state=parked",
    "/accounts/acme/links?state=unmanaged",
    "/accounts/acme/explanation?driver=1",
    "/accounts/acme/approvals",
    "/issues",
    "/accounts/acme/reconciliations",
    "/accounts/acme/reconciliations/drivers?target=motive",
    "/accounts/acme/reconciliations/progress?target=motive&request=1",
    "/accounts/acme/reconciliations/progress?target=motive&request=1&by_plan=true",
    "/dead-letters",
    "/dead-letters/count",
]


@asynccontextmanager
async def busy(services: tuple[Service, ...]) -> AsyncIterator[None]:
    """While this lasts, every service's thread is busy with something else."""
    begun, end = [Event() for _ in services], Event()

    def work(has_begun: Event) -> None:
        has_begun.set()
        end.wait()

    pairs = zip(services, begun, strict=True)
    working = [asyncio.create_task(service.call(work, has_begun)) for service, has_begun in pairs]
    try:
        for each in begun:
            await asyncio.to_thread(each.wait)
        yield
    finally:
        end.set()
        await asyncio.gather(*working)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_a_question_is_answered_while_every_service_is_busy(stand: ApiStand, question: str) -> None:
    await stand.set_some_aside()
    path, _, query = question.partition("?")
    async with busy(stand.services):
        async with asyncio.timeout(HANGS):
            answer = await stand.get(path, **dict(parse_qsl(query)))
    assert answer.status_code == 200, answer.text


async def test_what_was_stored_is_seen_at_once(stand: ApiStand) -> None:
    await stand.set_some_aside()
    for number in range(20):
        name = f"fleet-{number}"
        await stand.post("/accounts", {"account": name, "tier": "pro", "mode": "full", "master_user": "jane"})
        assert (await stand.get(f"/accounts/{name}")).status_code == 200
