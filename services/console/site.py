"""Every page of the console."""

from typing import Final

from starlette.routing import BaseRoute

from services.console import (
    accounts,
    dead_letters,
    decisions,
    drivers,
    history,
    machines,
    overview,
    plans,
    sync,
    webhooks,
)

ROUTES: Final[tuple[BaseRoute, ...]] = tuple(
    route
    for pages in (overview, sync, plans, drivers, decisions, history, accounts, machines, webhooks, dead_letters)
    for route in pages.router.routes
)
"""The routes, for the application that serves the API, too."""
