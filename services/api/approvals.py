"""Held deletes, and what people say of them.

Held deletes, as the sets that a person approves or rejects.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.account import Account, AccountEvent, DeletesApproved, DeletesJudged, DeletesRejected, NotPermitted
from domain.account import Request as Person
from domain.driver_link import DeleteHeld
from domain.guard import digest
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import Store
from services.accounts.handlers import Asking, account_of
from services.api.explanation_text import name_of
from services.api.installation import Installation
from services.api.messages import Answer, Judge, received
from services.decider.batch import load_links
from services.decider.read_models import DesiredRow, LinkRow
from services.runtime.readers import pages


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDelete(Answer):
    """A delete that waits for a person; `hold` is the version of the link at which it was held.

    `name` is the driver's, for the person who has to decide. `limit` and `deleted` are the guard's figures then.
    """

    driver: str
    hold: int
    key: str
    since: datetime
    name: str
    limit: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSet(Answer):
    """Everything that is held for an account on a target; `digest` names exactly this set, `since` is the oldest."""

    account: str
    target: str
    digest: str
    since: datetime
    drivers: tuple[HeldDelete, ...]


def held(decider: Store, account: str) -> list[HeldSet]:
    """The sets of held deletes of an account, one for each target that has any. Raises `StoreFailed`."""
    sets = ((target, tuple(_held_on(decider, AccountId(account), target))) for target in Target)
    return [_to_set(account, target, deletes) for target, deletes in sets if deletes]


def _to_set(account: str, target: Target, deletes: tuple[HeldDelete, ...]) -> HeldSet:
    return HeldSet(
        account=account,
        target=str(target),
        digest=digest(target, [(PortalDriverId(each.driver), each.hold) for each in deletes]),
        since=min(each.since for each in deletes),
        drivers=deletes,
    )


def _held_on(decider: Store, account: AccountId, target: Target) -> Iterator[HeldDelete]:
    where = {"account": str(account), "target": str(target), "state": "held"}
    for page in pages(decider, LinkRow, where, "driver"):
        drivers = [PortalDriverId(row.driver) for row in page]
        desired_drivers = decider.select(DesiredRow, {"account": str(account), "driver": [row.driver for row in page]})
        names = {row.driver: name_of(row.profile) for row in desired_drivers}
        links = load_links(decider, ((account, target, driver) for driver in drivers)).get((account, target), {})
        for driver in drivers:
            fact = links[driver].held
            if fact is not None:
                yield _to_delete(fact, names.get(driver, ""))


def _to_delete(fact: DeleteHeld, name: str) -> HeldDelete:
    guard = fact.rationale.get("guard", {})
    return HeldDelete(
        driver=fact.driver,
        hold=fact.originator_version,
        key=fact.key,
        since=fact.at,
        name=name,
        limit=guard.get("limit", 0),
        deleted=guard.get("deleted", 0),
    )


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
        self._installation.accounts_service.notify()
        return JSONResponse({**chosen.to_json(), "verdict": "approved" if asked.approve else "rejected"})

    async def _known(self, request: Request) -> AccountId:
        account = await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])
        return account.account


def _judging(verdict: type[DeletesJudged], chosen: HeldSet) -> Asking:
    holds: list[list[str | int]] = [[driver.driver, driver.hold] for driver in chosen.drivers]

    def judge(person: Person, account: Account) -> tuple[AccountEvent, ...]:
        return person.judge(account, verdict, target=Target(chosen.target), digest=chosen.digest, holds=holds)

    return judge
