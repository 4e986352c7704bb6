"""Re-keyings that are held, and what people say of them."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.accounts.handlers import account_of
from services.api.installation import Installation
from services.api.messages import ApproveReKeyings, received
from services.intake.rekeying import ReKeyings, digest_of
from services.runtime.context import utc_now


class ReKeyingRoutes:
    """`/accounts/{account}/rekeyings`: the drivers whom the Portal's API would re-key."""

    def __init__(self, installation: Installation) -> None:
        self._readers = installation.readers
        self._intake = installation.intake_service
        self._rekeyings = ReKeyings(self._intake.store, utc_now)

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/rekeyings", self._show, methods=["GET"]),
            Route("/accounts/{account}/rekeyings", self._approve, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        account = await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])
        asked = ReKeyings(self._readers.intake, utc_now)
        rows = await self._readers.call(asked.held, account.account)
        drivers = [{"driver": row.driver, "before": row.before, "after": row.after, "since": row.at} for row in rows]
        return JSONResponse({"digest": digest_of(account.account, rows) if rows else "", "drivers": drivers})

    async def _approve(self, request: Request) -> Response:
        asked = await received(request, ApproveReKeyings)
        account = await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])
        account.role_of(asked.by)
        approved = await self._intake.call_again(self._rekeyings.approve, account.account, asked.digest, asked.by)
        self._intake.notify()
        return JSONResponse({"account": account.account, "digest": asked.digest, "approved": approved})
