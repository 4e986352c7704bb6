"""Every page of the console."""

from typing import Final

from starlette.routing import BaseRoute

from services.console import accounts, decisions, drivers, history, overview, sync

ROUTES: Final[tuple[BaseRoute, ...]] = tuple(
    route for pages in (overview, sync, drivers, decisions, history, accounts) for route in pages.router.routes
)
"""The routes, for the application that serves the API, too."""
