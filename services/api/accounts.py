"""What people ask of accounts."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Account
from domain.identity import PORTAL, AccountId
from services.accounts.handlers import account_of, accounts_in
from services.api.installation import Installation
from services.api.messages import (
    AddAccount,
    ByPerson,
    Connect,
    Disconnect,
    SetMode,
    SetReconciliationTime,
    TurnSync,
    received,
)
from services.intake.polling import forget


class AccountRoutes:
    """Everything below `/accounts` that is about accounts themselves."""

    def __init__(self, installation: Installation) -> None:
        self._service = installation.accounts_service
        self._accounts = installation.accounts
        self._readers = installation.readers
        self._credentials = installation.credentials
        self._intake = installation.intake_service

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts", self._add, methods=["POST"]),
            Route("/accounts", self._show_all, methods=["GET"]),
            Route("/accounts/{account}", self._show, methods=["GET"]),
            Route("/accounts/{account}/allow", self._allow, methods=["POST"]),
            Route("/accounts/{account}/mode", self._set_mode, methods=["POST"]),
            Route("/accounts/{account}/sync", self._turn_sync, methods=["POST"]),
            Route("/accounts/{account}/reconciliation-time", self._set_reconciliation_time, methods=["POST"]),
            Route("/accounts/{account}/credentials", self._connect, methods=["POST"]),
            Route("/accounts/{account}/credentials/removed", self._disconnect, methods=["POST"]),
        ]

    async def _add(self, request: Request) -> Response:
        asked = await received(request, AddAccount)
        account = await self._service.call_again(
            self._accounts.add,
            AccountId(asked.account),
            "operator",
            lambda person, known: person.add(
                known,
                tier=asked.tier,
                master_user=asked.master_user,
                account_manager=asked.account_manager,
                modes=dict.fromkeys(asked.targets, asked.mode),
            ),
        )
        self._service.notify()
        return JSONResponse(to_json(account), 201)

    async def _show_all(self, _: Request) -> Response:
        found = await self._readers.call(accounts_in, self._readers.accounts)
        return JSONResponse([to_json(account) for account in found])

    async def _show(self, request: Request) -> Response:
        return JSONResponse(to_json(await self._known(request)))

    async def _known(self, request: Request) -> Account:
        return await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])

    async def _allow(self, request: Request) -> Response:
        asked = await received(request, ByPerson)
        name = request.path_params["account"]
        account = await self._service.call_again(
            self._accounts.ask, name, asked.by, lambda person, known: person.allow(known)
        )
        return JSONResponse(to_json(account))

    async def _set_mode(self, request: Request) -> Response:
        asked = await received(request, SetMode)
        name = request.path_params["account"]
        account = await self._service.call_again(
            self._accounts.ask, name, asked.by, lambda person, known: person.set_mode(known, asked.target, asked.mode)
        )
        self._service.notify()
        return JSONResponse(to_json(account))

    async def _turn_sync(self, request: Request) -> Response:
        asked = await received(request, TurnSync)
        account = await self._service.call_again(
            self._accounts.ask,
            request.path_params["account"],
            asked.by,
            lambda person, known: person.turn_on(known) if asked.on else person.turn_off(known),
        )
        self._service.notify()
        return JSONResponse(to_json(account))

    async def _connect(self, request: Request) -> Response:
        asked = await received(request, Connect)
        account = await self._known(request)
        await self._service.call(self._credentials.keep, account.account, asked.target, asked.values)
        self._service.notify()
        return JSONResponse({"account": account.account, "target": asked.target, "connected": True})

    async def _disconnect(self, request: Request) -> Response:
        asked = await received(request, Disconnect)
        account = await self._known(request)
        removed = await self._service.call(self._credentials.remove, account.account, asked.target)
        if asked.target == PORTAL:
            await self._intake.call(forget, self._intake.store, account.account)
        self._service.notify()
        return JSONResponse({"account": account.account, "target": asked.target, "removed": removed})

    async def _set_reconciliation_time(self, request: Request) -> Response:
        asked = await received(request, SetReconciliationTime)
        account = await self._service.call_again(
            self._accounts.ask,
            request.path_params["account"],
            asked.by,
            lambda person, known: person.set_reconciliation_time(known, asked.reconcile_at),
        )
        self._service.notify()
        return JSONResponse(to_json(account))


def to_json(account: Account) -> dict[str, Any]:
    """An account for people and scripts."""
    return {
        "account": account.account,
        "tier": str(account.tier),
        "master_user": account.master_user,
        "account_manager": account.account_manager,
        "allowed": account.is_allowed,
        "sync": "on" if account.is_on else "off",
        "modes": {str(target): str(mode) for target, mode in account.modes.items()},
        "reconcile_at": account.reconcile_at,
    }
