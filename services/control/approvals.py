"""Held deletes, and what people say of them."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Account, AccountEvent, DeletesApproved, DeletesJudged, DeletesRejected, NotPermitted
from domain.identity import AccountId, Target
from domain.requests import Request as Person
from services.accounts.handlers import Asking, account_of
from services.asking.approvals import HeldSet, held
from services.control.installation import Installation
from services.control.messages import Judge, received


class ApprovalRoutes:
    """Everything below `/accounts/{account}/approvals`."""

    def __init__(self, installation: Installation) -> None:
        self._readers = installation.readers
        self._installation = installation

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/approvals", self._show, methods=["GET"]),
            Route("/accounts/{account}/approvals", self._judge, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        sets = await self._readers.call(held, self._readers.decider, await self._known(request))
        return JSONResponse([each.to_json() for each in sets])

    async def _judge(self, request: Request) -> Response:
        name, asked = await self._known(request), await received(request, Judge)
        sets = await self._readers.call(held, self._readers.decider, name)
        chosen = next((each for each in sets if (each.target, each.digest) == (asked.target, asked.digest)), None)
        if chosen is None:
            raise NotPermitted(
                f"{asked.digest} is not what is held now for {name} on {asked.target}; "
                f"look at it again: `driverlink approvals list {name}`"
            )
        verdict = DeletesApproved if asked.approve else DeletesRejected
        await self._installation.accounts_service.call_again(
            self._installation.accounts.ask, name, asked.by, _judging(verdict, chosen)
        )
        self._installation.accounts_service.ring()
        return JSONResponse({**chosen.to_json(), "verdict": "approved" if asked.approve else "rejected"})

    async def _known(self, request: Request) -> AccountId:
        account = await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])
        return account.account


def _judging(verdict: type[DeletesJudged], chosen: HeldSet) -> Asking:
    holds: list[list[str | int]] = [[driver.driver, driver.hold] for driver in chosen.drivers]

    def judge(person: Person, account: Account) -> tuple[AccountEvent, ...]:
        return person.judge(account, verdict, target=Target(chosen.target), digest=chosen.digest, holds=holds)

    return judge
