"""What people ask: how everything stands, what happened, and why."""

from dataclasses import asdict
from datetime import timedelta

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.identity import AccountId, PortalDriverId, Target
from services.accounts.handlers import account_of
from services.asking.events import read_events
from services.asking.explaining import Explanation, explain
from services.asking.finding import Candidate, find_drivers, find_stated, is_stated, likely_drivers
from services.asking.logged import Filters
from services.asking.portal import portal_statuses
from services.asking.progress import left_to_do
from services.asking.status import status, strays, with_waiting
from services.asking.waiting import Waiting, waiting
from services.control.event_filters import filters_of
from services.control.installation import Installation, logs_of
from services.control.messages import Malformed
from services.control.naming import target_named
from services.decider.read_models import LinkRow
from services.intake.handlers import UnknownDriver
from services.runtime.clock import utc_now

_MOST_EVENTS = 1000
_UNDER_WAY = timedelta(seconds=10)
"""How long an event may be under way from when it happens until it is stored."""


class AskingRoutes:
    """Everything that only reads."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._readers = installation.readers

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
        left = await self._readers.call(
            left_to_do,
            logs_of(self._readers).values(),
            self._readers.decider,
            self._readers.projectors,
            in_place=not self._installation.may_repeat,
            clock=utc_now,
        )
        return JSONResponse(left.to_json())

    async def _status(self, request: Request) -> Response:
        named = request.query_params.get("account")
        name = None if named is None else await self._known(named)
        found = await self._readers.call(status, self._readers.decider, None if name is None else [name])
        portals = await self._readers.call(portal_statuses, self._readers.intake, None if name is None else [name])
        read = {account: each.to_json() for account, each in portals.items()}
        waits = await self._readers.call(self._waiting)
        told = [with_waiting(each, waits) for each in found]
        return JSONResponse([{**each.to_json(), "portal": read.get(each.account)} for each in told])

    def _waiting(self) -> Waiting:
        return waiting(
            self._readers.intake,
            self._readers.decider,
            self._readers.projectors,
            may_repeat=self._installation.may_repeat,
        )

    async def _events(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query.get("limit", "200"))
        filters, cursor = await self._filters(query), query.get("cursor")
        known = logs_of(self._readers)
        logs = [query["log"]] if "log" in query else list(known)
        if unknown := next((name for name in logs if name not in known), None):
            raise Malformed(f"there is no log {unknown}; there are: {', '.join(known)}")
        streams = {name: known[name] for name in logs}
        page = await self._readers.call(read_events, streams, filters, cursor, limit)
        return JSONResponse({**page.to_json(), "is_over": page.is_end and _is_over(filters)})

    async def _filters(self, query: QueryParams) -> Filters:
        """Which events are asked for. Raises `Malformed`, `UnknownAccount`, `UnknownDriver`."""
        named = query.get("account")
        filters = filters_of(query, None if named is None else await self._known(named))
        driver = filters.driver
        intake = self._readers.intake
        if driver is not None and not await self._readers.call(is_stated, intake, driver, filters.account):
            raise await self._unknown(driver, filters.account)
        return filters

    async def _unknown(self, driver: str, account: str | None) -> UnknownDriver:
        """What is said of a driver whom the Portal never stated."""
        if account is None:
            return UnknownDriver(f"the Portal never stated a driver {driver} in any account")
        alike = await self._readers.call(likely_drivers, self._readers.intake, account, driver)
        return UnknownDriver(f"the Portal never stated a driver {driver} in account {account}{alike}")

    async def _links(self, request: Request) -> Response:
        account, query = await self._known(request.path_params["account"]), request.query_params
        if "target" in query:
            target_named(query["target"])
        if query.get("state") == "stray":
            return JSONResponse(await self._readers.call(self._strays, account, query.get("target")))
        wanted = {name: query[name] for name in ("target", "state") if name in query}
        rows = await self._readers.call(self._readers.decider.select, LinkRow, {"account": account, **wanted})
        return JSONResponse([asdict(row) for row in rows])

    def _strays(self, account: str, target: str | None) -> list[dict[str, str]]:
        nothing = {"driver": "", "state": "stray", "reason": "", "detail": "no portal driver is linked to it"}
        return [
            {"target": str(each), "key": key, **nothing}
            for each in Target
            if target in (None, str(each))
            for key in strays(self._readers.decider, account, each)
        ]

    async def _explain(self, request: Request) -> Response:
        account, text = await self._known(request.path_params["account"]), request.query_params.get("driver", "")
        found = await self._found(account, text)
        if len(found) > 1:
            return JSONResponse({"candidates": [each.to_json() for each in found]})
        driver = PortalDriverId(found[0].driver if found else text)
        explanation = await self._readers.call(self._explained, account, driver)
        if not explanation.is_known:
            raise await self._unknown(text, account)
        return JSONResponse({"explanation": explanation.to_json(), "lines": list(explanation.lines())})

    async def _found(self, account: AccountId, text: str) -> list[Candidate]:
        """Whom a person means; where the decider knows nobody yet, intake may."""
        found = await self._readers.call(find_drivers, self._readers.decider, account, text)
        return found or await self._readers.call(find_stated, self._readers.intake, account, text)

    def _explained(self, account: AccountId, driver: PortalDriverId) -> Explanation:
        return explain(
            account,
            driver,
            accounts=self._readers.accounts,
            intake=self._readers.intake,
            decider=self._readers.decider,
            projectors=self._readers.projectors,
        )

    async def _known(self, name: str) -> AccountId:
        account = await self._readers.call(account_of, self._readers.accounts, name)
        return account.account


def _is_over(filters: Filters) -> bool:
    """Whether nothing can come any more that is asked for: its time is over, and what was under way then is stored."""
    return filters.until is not None and utc_now() - filters.until >= _UNDER_WAY


def _number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_EVENTS:
        raise Malformed(f"limit is a number from 1 to {_MOST_EVENTS}, not {text!r}")
    return int(text)
