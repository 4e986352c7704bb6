"""Pages that are read before they are asked for, so that the target works while we do."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

Page = TypeVar("Page")


@asynccontextmanager
async def read_ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[AsyncGenerator[Page, None], None]:
    """The same pages; while one is looked at, the next is read. In the end no reading is left under way."""
    async with aclosing(pages), aclosing(_ahead(pages)) as ahead:
        yield ahead


async def _ahead(pages: AsyncGenerator[Page, None]) -> AsyncGenerator[Page, None]:
    coming = asyncio.create_task(_next(pages))
    try:
        while page := await coming:
            coming = asyncio.create_task(_next(pages))
            yield page[0]
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next(pages: AsyncGenerator[Page, None]) -> tuple[Page] | None:
    async for page in pages:
        return (page,)
    return None
