"""What every route is made with: its router, the installation, and the account that its path names."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request

from domain.account import Account
from services.accounts.handlers import account_of
from services.api import V1
from services.api.installation import Installation
from services.api.schema import Problem


async def _installation_of(request: Request) -> Installation:
    return cast("Installation", request.app.state.installation)


Installed = Annotated[Installation, Depends(_installation_of)]
"""The installation that the application serves."""


async def _known_account(account: str, installation: Installed) -> Account:
    return await installation.readers.call(account_of, installation.readers.accounts, account)


KnownAccount = Annotated[Account, Depends(_known_account)]
"""The account that the path names, in any letter case. An unknown one is answered with 404."""


def new_router(tag: str, *, prefix: str = "") -> APIRouter:
    """For the routes of one resource. They are complete, so that every application has the same ones as they are."""
    return APIRouter(
        prefix=f"{V1}{prefix}",
        tags=[tag],
        responses={"default": {"model": Problem, "description": "Refused; `detail` says why, and what to do."}},
        generate_unique_id_function=lambda route: route.name,
    )
