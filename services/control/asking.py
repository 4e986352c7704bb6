"""What people ask: how everything stands, what happened, and why."""

from dataclasses import asdict
from datetime import UTC, datetime

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.identity import AccountId, PortalDriverId, Target
from services.asking.events import read_events
from services.asking.explaining import Explanation, explain
from services.asking.finding import Candidate, find_drivers, find_stated
from services.asking.logged import Filters
from services.asking.portal import portal_statuses
from services.asking.status import status, strays
from services.control.installation import Installation
from services.control.messages import Malformed
from services.decider.read_models import LinkRow
from services.intake.handlers import UnknownDriver

_MOST_EVENTS = 1000


class AskingRoutes:
    """Everything that only reads."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._decider = installation.decider_service

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/progress", self._progress),
            Route("/status", self._status),
            Route("/events", self._events),
            Route("/accounts/{account}/links", self._links),
            Route("/accounts/{account}/explanation", self._explain),
        ]

    async def _progress(self, _: Request) -> Response:
        projectors = self._installation.projectors.values()
        deciding = await self._decider.call(self._installation.decider_work_left)
        delivering = sum([await projector.service.call(projector.work_left) for projector in projectors])
        recorded = sum(service.store.log.end() for service in self._installation.services)
        in_step = await self._decider.call(self._decider.store.count, LinkRow, {"state": "in_step"}, by=["target"])
        return JSONResponse(
            {
                "left": deciding + delivering,
                "to_decide": deciding,
                "to_deliver": delivering,
                "recorded": recorded,
                "in_step": {str(target): count for (target,), count in in_step.items()},
            }
        )

    async def _status(self, request: Request) -> Response:
        name = request.query_params.get("account")
        if name:
            await self._known(name)
        found = await self._decider.call(status, self._decider.store, [name] if name else None)
        intake = self._installation.intake_service
        portals = await intake.call(portal_statuses, intake.store, [each.account for each in found])
        read = {account: each.to_json() for account, each in portals.items()}
        return JSONResponse([{**each.to_json(), "portal": read.get(each.account)} for each in found])

    async def _events(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query.get("limit", "200"))
        filters, cursor = _to_filters(query), query.get("cursor")
        logs = [query["log"]] if "log" in query else list(self._installation.logs)
        if unknown := next((name for name in logs if name not in self._installation.logs), None):
            raise Malformed(f"there is no log {unknown}; there are: {', '.join(self._installation.logs)}")
        streams = {name: self._installation.logs[name] for name in logs}
        page = await self._decider.call(read_events, streams, filters, cursor, limit)
        return JSONResponse(page.to_json())

    async def _links(self, request: Request) -> Response:
        account, query = await self._known(request.path_params["account"]), request.query_params
        if query.get("state") == "stray":
            return JSONResponse(await self._decider.call(self._strays, account, query.get("target")))
        wanted = {name: query[name] for name in ("target", "state") if name in query}
        rows = await self._decider.call(self._decider.store.select, LinkRow, {"account": account, **wanted})
        return JSONResponse([asdict(row) for row in rows])

    def _strays(self, account: str, target: str | None) -> list[dict[str, str]]:
        nothing = {"driver": "", "state": "stray", "reason": "", "detail": "no portal driver is linked to it"}
        return [
            {"target": str(each), "key": key, **nothing}
            for each in Target
            if target in (None, str(each))
            for key in strays(self._decider.store, account, each)
        ]

    async def _explain(self, request: Request) -> Response:
        account, text = await self._known(request.path_params["account"]), request.query_params.get("driver", "")
        found = await self._found(account, text)
        if len(found) > 1:
            return JSONResponse({"candidates": [each.to_json() for each in found]})
        driver = PortalDriverId(found[0].driver if found else text)
        explanation = await self._decider.call(self._explained, account, driver)
        if not explanation.is_known:
            raise UnknownDriver(f"the Portal never stated a driver {text} in account {account}")
        return JSONResponse({"explanation": explanation.to_json(), "lines": list(explanation.lines())})

    async def _found(self, account: AccountId, text: str) -> list[Candidate]:
        """Whom a person means; where the decider knows nobody yet, intake may."""
        intake = self._installation.intake_service
        found = await self._decider.call(find_drivers, self._decider.store, account, text)
        return found or await intake.call(find_stated, intake.store, account, text)

    def _explained(self, account: AccountId, driver: PortalDriverId) -> Explanation:
        installation = self._installation
        return explain(
            account,
            driver,
            accounts=installation.accounts_service.store,
            intake=installation.intake_service.store,
            decider=self._decider.store,
        )

    async def _known(self, name: str) -> AccountId:
        account = await self._installation.accounts_service.call(self._installation.accounts.show, name)
        return account.account


def _to_filters(query: QueryParams) -> Filters:
    return Filters(
        account=query.get("account"),
        driver=query.get("driver"),
        driver_id=query.get("driver_id"),
        target=Target(query["target"]) if "target" in query else None,
        types=frozenset(query.getlist("type")),
        since=_moment(query.get("since")),
        until=_moment(query.get("until")),
    )


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"{text!r} is no date or time; write 2026-05-31 or 2026-05-31T08:30+00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_EVENTS:
        raise Malformed(f"limit is a number from 1 to {_MOST_EVENTS}, not {text!r}")
    return int(text)
