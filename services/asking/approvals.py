"""Held deletes, as the sets that a person approves or rejects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from domain.driver_link import DeleteHeld
from domain.guard import digest
from domain.identity import AccountId, PortalDriverId, Target
from domain.storing import Store
from services.asking.answers import Answer
from services.asking.paging import pages
from services.asking.telling.words import name_of
from services.decider.loading import load_links
from services.decider.read_models import LinkRow, WishRow


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
        wishes = decider.select(WishRow, {"account": str(account), "driver": [row.driver for row in page]})
        names = {row.driver: name_of(row.profile) for row in wishes}
        links = load_links(decider, ((account, target, driver) for driver in drivers)).get((account, target), {})
        for driver in drivers:
            fact = links[driver].held
            if fact is not None:
                yield _to_delete(fact, names.get(driver, ""))


def _to_delete(fact: DeleteHeld, name: str) -> HeldDelete:
    guard = fact.because.get("guard", {})
    return HeldDelete(
        driver=fact.driver,
        hold=fact.originator_version,
        key=fact.key,
        since=fact.at,
        name=name,
        limit=guard.get("limit", 0),
        deleted=guard.get("deleted", 0),
    )
