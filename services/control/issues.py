"""The problems that are open now, and people who want what is set aside to be looked at again."""

from collections.abc import Mapping
from dataclasses import replace

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Account, AccountEvent
from domain.identity import Target
from domain.requests import Request as Person
from services.accounts.handlers import Asking, account_of
from services.asking.issues import REASONS, Place, Wanted, count_parked, open_issues
from services.asking.readiness import Hindrance, readiness_of
from services.control.installation import Installation
from services.control.messages import Malformed, Retry, received
from services.control.naming import driver_named, place_named

_PAGE = 500
"""Issues that one request tells of, so that a long list keeps nobody waiting."""

Counts = Mapping[Target, int]
Hindrances = Mapping[Target, Hindrance]


class NothingToRetry(Exception):
    """Nothing can be looked at again; the message says why, and what would help."""


class IssueRoutes:
    """`/issues`, and what is asked for because of them."""

    def __init__(self, installation: Installation) -> None:
        self._accounts = installation.accounts
        self._accounts_service = installation.accounts_service
        self._decider = installation.decider_service
        self._readers = installation.readers

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/issues", self._list, methods=["GET"]),
            Route("/accounts/{account}/retry", self._retry, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        wanted = _wanted(query.get("account"), query.get("target"), query.get("reason"))
        if wanted.account is not None:
            wanted = replace(wanted, account=(await self._known(wanted.account)).account)
        decider, intake = self._readers.decider, self._readers.intake
        found = await self._readers.call(open_issues, decider, intake, wanted, _behind(query), _PAGE)
        last = found[-1] if len(found) >= _PAGE else None
        behind = {"after": [last.account, last.target, last.driver]} if last else None
        return JSONResponse({"issues": [issue.to_json() for issue in found], "next": behind})

    async def _retry(self, request: Request) -> Response:
        asked, account = await received(request, Retry), await self._known(request.path_params["account"])
        name = account.account
        wanted = _wanted(name, asked.target, asked.reason)
        account.role_of(asked.by)
        driver = await driver_named(self._readers, name, asked.driver) if asked.driver else ""
        counts, hindrances = await self._readers.call(self._matching, wanted, driver)
        _check(name, counts, hindrances)
        await self._accounts_service.call_again(
            self._accounts.ask, name, asked.by, _retrying(asked.target, driver, asked.reason or "")
        )
        self._accounts_service.ring()
        return JSONResponse(_to_json(name, counts, hindrances))

    async def _known(self, name: str) -> Account:
        return await self._readers.call(account_of, self._readers.accounts, name)

    def _matching(self, wanted: Wanted, driver: str) -> tuple[Counts, Hindrances]:
        """How many links match on each target, and on which of these nothing is decided now."""
        store = self._readers.decider
        counts, readiness = count_parked(store, wanted, driver), readiness_of(store, wanted.account or "")
        hindrances = {target: readiness[target].hindrance() for target in counts}
        return counts, {target: hindrance for target, hindrance in hindrances.items() if hindrance}


def _wanted(account: str | None, target: str | None, reason: str | None) -> Wanted:
    if reason is not None and reason not in REASONS:
        raise Malformed(f"there is no reason {reason!r}; there are: {', '.join(REASONS)}")
    return Wanted(account=account, target=place_named(target) if target is not None else None, reason=reason)


def _behind(query: QueryParams) -> Place | None:
    after = query.getlist("after")
    if not after:
        return None
    if len(after) != len(Place.__slots__):
        raise Malformed("after names an account, a target and a driver")
    return Place(*after)


def _check(name: str, counts: Counts, hindrances: Hindrances) -> None:
    """Raise `NothingToRetry` unless some link can be looked at again now."""
    if not counts:
        raise NothingToRetry(f"nothing of {name} is set aside like that; see `driverlink issues list {name}`")
    if hindrances.keys() == counts.keys():
        hindrance = next(iter(hindrances.values()))
        raise NothingToRetry(f"{hindrance.sentence} {hindrance.advice}".rstrip())


def _retrying(target: Target | None, driver: str, reason: str) -> Asking:
    def retry(person: Person, account: Account) -> tuple[AccountEvent, ...]:
        return person.retry(account, target=target, driver=driver, reason=reason)

    return retry


def _to_json(name: str, counts: Counts, hindrances: Hindrances) -> dict[str, object]:
    looked_at = {str(target): links for target, links in counts.items() if target not in hindrances}
    left_out = {str(target): hindrance.sentence for target, hindrance in hindrances.items()}
    return {"account": name, "links": sum(looked_at.values()), "targets": looked_at, "left_out": left_out}
