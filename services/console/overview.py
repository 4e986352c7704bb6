"""The first page, who is there, what is alive, and the files that pages are made with."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from services.api import status
from services.api.routing import Called, Installed
from services.api.streaming import EventStream, Waiting, Woken
from services.console.rendering import HEADERS, page, see_other
from services.console.routing import new_pages

router = new_pages()

_STATIC: Final = {
    name: (kind, files("services.console").joinpath("static", name).read_bytes())
    for name, kind in {
        "console.css": "text/css; charset=utf-8",
        "console.js": "text/javascript; charset=utf-8",
        "htmx.min.js": "text/javascript; charset=utf-8",
        "htmx-sse.min.js": "text/javascript; charset=utf-8",
        "icon.svg": "image/svg+xml",
    }.items()
}

VENDORED: Final = {
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx-sse.min.js": "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
}
"""What was taken as it is: `dist/htmx.min.js` of htmx.org 2.0.11, `dist/sse.min.js` of htmx-ext-sse 2.2.4 (npm)."""

_BETWEEN = 2.2
"""Seconds between two changes that a page hears of: it passes over those within two seconds of the last."""

MOST_LISTED = 100
"""Accounts on one page."""


@router.get("", include_in_schema=False)
async def redirect_to_overview() -> RedirectResponse:
    """The first page."""
    return see_other("")


@router.get("/")
async def show_overview(request: Request, caller: Called, installation: Installed, after: str = "") -> HTMLResponse:
    """How every account stands that the caller may see; each count leads to the list that it counts."""
    found = await status.show_overview(caller, installation, after=after, limit=MOST_LISTED)
    services_down = await installation.readers.call(installation.running.down)
    return page(request, "overview.html", found=found, after=after, services_down=services_down)


@router.get("/changes")
async def stream_changes(request: Request) -> EventStream:
    """Say, as Server-Sent Events, whenever anything was stored: a page then asks for its figures again."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, "this is a stream of Server-Sent Events")
    return EventStream(request, _changes)


async def _changes(wait: Waiting) -> AsyncIterator[str]:
    while (woken := await wait()) is not Woken.OVER:
        yield "event: changed\ndata: .\n\n" if woken is Woken.NEWS else ": quiet\n\n"
        await asyncio.sleep(_BETWEEN if woken is Woken.NEWS else 0)


@router.get("/static/{name}")
async def show_file(request: Request, name: str) -> Response:
    """A style sheet or a script of ours."""
    if name not in _STATIC:
        raise HTTPException(404, f"there is no file {name}")
    kind, content = _STATIC[name]
    tag = f'"{sha256(content).hexdigest()[:16]}"'
    headers = {**HEADERS, "cache-control": "no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
