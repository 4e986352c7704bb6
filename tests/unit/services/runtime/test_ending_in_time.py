"""What is closed at the end of a process takes bounded time, whatever it does."""

import asyncio

from services.runtime.serving import GOODBYE, closed
from tests.support import travelling_time


def test_everything_is_closed_at_once_and_what_hangs_or_fails_is_left() -> None:
    ended: list[str] = []

    async def good(name: str) -> None:
        await asyncio.sleep(GOODBYE / 2)
        ended.append(name)

    async def hanging() -> None:
        await asyncio.Event().wait()

    async def failing() -> None:
        raise ZeroDivisionError

    async def scene() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await closed([hanging(), good("first"), failing(), good("second")])
        return loop.time() - began

    assert travelling_time.run(scene()) == GOODBYE
    assert ended == ["first", "second"]
