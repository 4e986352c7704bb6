"""`/live` and `/ready`: whether the API answers, can read every store, and which services do not run."""

from fastapi import APIRouter

from services.api.routing import GuardedRoute, Installed
from services.api.schema import ResponseBody

router = APIRouter(tags=["health"], route_class=GuardedRoute, generate_unique_id_function=lambda route: route.name)
"""These paths are the same for every process of the installation, and have no version."""


class Live(ResponseBody):
    """The process answers."""

    live: bool = True


class Ready(ResponseBody):
    """Every store can be read. `down` has a line for each service that does not run, with how to start it."""

    ready: bool = True
    down: list[str]


@router.get("/live")
async def is_live() -> Live:
    """Answer as long as the process does."""
    return Live()


@router.get("/ready")
async def is_ready(installation: Installed) -> Ready:
    """Show which services do not run; answered with 503, and the store that fails, where a store cannot be read."""
    readers = installation.readers
    for store in readers.stores.values():
        await readers.call(store.log.end)
    return Ready(down=await readers.call(installation.running.down))
