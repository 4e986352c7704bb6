"""How a route gets hold of the installation, and of the account that its path names."""

from typing import Annotated, cast

from fastapi import Depends, Request

from domain.account import Account
from services.accounts.handlers import account_of
from services.api.installation import Installation


async def _installation_of(request: Request) -> Installation:
    return cast("Installation", request.app.state.installation)


Installed = Annotated[Installation, Depends(_installation_of)]
"""The installation that the application serves."""


async def _known_account(account: str, installation: Installed) -> Account:
    return await installation.readers.call(account_of, installation.readers.accounts, account)


KnownAccount = Annotated[Account, Depends(_known_account)]
"""The account that the path names, in any letter case. An unknown one is answered with 404."""
