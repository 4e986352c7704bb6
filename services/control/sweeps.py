"""Sweeps: requested by people, watched while they go on, and told of afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Account, AccountEvent
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.requests import Request as Person
from services.accounts.handlers import Asking, account_of
from services.asking.readiness import Hindrance, readiness_of
from services.asking.sweeping import Requested, Stage, look_up_progress, sweep_progress, unwritten
from services.asking.sweeps import found_drivers, looked_up, past_sweeps, sweep_for
from services.control.installation import Installation
from services.control.messages import RequestSweep, received
from services.control.naming import driver_named, number_named, target_named
from services.decider.loading import load_links
from services.decider.read_models import WishRow, wish_of

_PAGE = 500
"""Drivers that one request tells of."""

_MOST_SWEEPS = 1000
_MOST_VERSION = 2**63 - 1


class NothingToSweep(Exception):
    """No sweep can be made now; the message says why, and what would help."""


class SweepRoutes:
    """Everything below `/accounts/{account}/sweeps`."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._accounts = installation.accounts_service
        self._decider = installation.decider_service
        self._readers = installation.readers

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/sweeps", self._request, methods=["POST"]),
            Route("/accounts/{account}/sweeps", self._list, methods=["GET"]),
            Route("/accounts/{account}/sweeps/progress", self._progress, methods=["GET"]),
            Route("/accounts/{account}/sweeps/drivers", self._list_drivers, methods=["GET"]),
        ]

    async def _request(self, request: Request) -> Response:
        account, asked = await self._known(request), await received(request, RequestSweep)
        account.role_of(asked.by)
        hindrances = await self._readers.call(self._hindrances, account, [asked.target] if asked.target else [*Target])
        _check(hindrances)
        driver = await driver_named(self._readers, account.account, asked.driver) if asked.driver else None
        requests = [
            {"target": str(target), "request": await self._asked(account.account, asked.by, target, driver)}
            for target, hindrance in hindrances.items()
            if hindrance is None
        ]
        self._accounts.ring()
        left_out = {str(target): hindrance.sentence for target, hindrance in hindrances.items() if hindrance}
        return JSONResponse({"account": account.account, "driver": driver, "requests": requests, "left_out": left_out})

    def _hindrances(self, account: Account, targets: Sequence[Target]) -> dict[Target, Hindrance | None]:
        """What keeps a sweep from being made on each target, by the account's own word on its terms."""
        known = readiness_of(self._readers.decider, account.account)
        return {target: unwritten(replace(known[target], account=account, is_known=True)) for target in targets}

    async def _asked(self, account: AccountId, by: str, target: Target, driver: PortalDriverId | None) -> int:
        """At which version of the account this sweep is requested."""
        keys = await self._readers.call(self._keys, account, target, driver) if driver else ()
        after = await self._accounts.call_again(
            self._installation.accounts.ask, account, by, _sweeping(target, driver or "", keys)
        )
        return after.version

    def _keys(self, account: AccountId, target: Target, driver: PortalDriverId) -> Sequence[Key]:
        """By which keys a driver is looked up: that of its link, and the wished one."""
        store = self._readers.decider
        link = load_links(store, [(account, target, driver)])[account, target][driver]
        wishes = [wish_of(row, target) for row in store.select(WishRow, {"account": account, "driver": driver})]
        return list(dict.fromkeys(key for key in (link.key, *(wish.key for wish in wishes)) if key))

    async def _list(self, request: Request) -> Response:
        account, query = await self._known(request), request.query_params
        last = number_named("last", query.get("last", "10"), _MOST_SWEEPS)
        targets = [target_named(query["target"])] if "target" in query else [*Target]
        accounts = self._readers.accounts
        found = await self._readers.call(past_sweeps, self._readers.decider, accounts, account.account, targets, last)
        return JSONResponse([report.to_json() for report in found])

    async def _list_drivers(self, request: Request) -> Response:
        account, query = await self._known(request), request.query_params
        target, behind = target_named(query.get("target", "")), query.get("after", "")
        found = await self._readers.call(
            found_drivers, self._readers.decider, account.account, target, behind=behind, limit=_PAGE
        )
        after = found[-1].driver if len(found) == _PAGE else None
        return JSONResponse({"drivers": [each.to_json() for each in found], "next": after})

    async def _progress(self, request: Request) -> Response:
        account = await self._known(request)
        return JSONResponse(await self._readers.call(self._how_far, _requested(account, request.query_params)))

    def _how_far(self, asked: Requested) -> dict[str, Any]:
        """How far a sweep has come and, where it is over, what it found."""
        decider, projector = self._readers.decider, self._readers.projectors[asked.target]
        may_repeat = self._installation.may_repeat
        if asked.driver is None:
            progress = sweep_progress(decider, projector, asked)
        else:
            progress = look_up_progress(decider, projector, asked, may_repeat=may_repeat)
        return {**progress.to_json(), **(self._result(asked) if progress.stage is Stage.DONE else {})}

    def _result(self, asked: Requested) -> dict[str, Any]:
        decider, accounts = self._readers.decider, self._readers.accounts
        if asked.driver is not None:
            found = looked_up(decider, asked.account, asked.target, asked.driver, asked.request)
            return {"driver": found.to_json()}
        report = sweep_for(decider, accounts, asked.account, asked.target, asked.request)
        return {"report": report.to_json() if report else None}

    async def _known(self, request: Request) -> Account:
        return await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])


def _requested(account: Account, query: QueryParams) -> Requested:
    driver = query.get("driver")
    return Requested(
        account=account.account,
        target=target_named(query.get("target", "")),
        request=number_named("request", query.get("request", ""), _MOST_VERSION),
        driver=PortalDriverId(driver) if driver else None,
    )


def _check(hindrances: Mapping[Target, Hindrance | None]) -> None:
    """Raise `NothingToSweep` unless there is a target on which a sweep can be made."""
    hindering = [hindrance for hindrance in hindrances.values() if hindrance]
    if len(hindering) == len(hindrances):
        raise NothingToSweep(f"{hindering[0].sentence} {hindering[0].advice}".rstrip())


def _sweeping(target: Target, driver: str, keys: Sequence[str]) -> Asking:
    def sweep(person: Person, account: Account) -> tuple[AccountEvent, ...]:
        return person.sweep(account, target, driver=driver, keys=keys)

    return sweep
