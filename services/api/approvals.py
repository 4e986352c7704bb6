"""`/v1/accounts/{account}/approvals` and `.../rekeyings`: held deletes and other identifiers, as sets to decide on."""

from collections.abc import Iterable, Iterator

from fastapi import Response

from domain.account import DeletesApproved, DeletesRejected, NotPermitted
from domain.guard import digest_of_holds
from domain.identity import AccountId, PortalDriverId, Target
from domain.store import FILLED, Store, Where, pages
from services.api.explanation_text import shown_name
from services.api.journal import noted
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import IF_MATCH, ByPerson, Moment, ResponseBody
from services.decider.batch import load_links
from services.decider.read_models import DesiredRow, LinkRow
from services.intake.handlers import ReKeyings, digest_of
from services.runtime.context import utc_now

router = new_router("approvals", prefix="/accounts/{account}/approvals")


class Judge(ByPerson):
    """A person's verdict on a set of held deletes."""

    target: Target
    digest: str
    approve: bool


class HeldDelete(ResponseBody):
    """A delete that waits for a person; `hold` is the version of the link at which it was held.

    `name` is the driver's, for the person who has to decide. `limit` and `deleted` are the guard's figures then.
    """

    driver: str
    hold: int
    key: str
    since: Moment
    name: str
    limit: int
    deleted: int


class HeldSet(ResponseBody):
    """Everything that is held for an account on a target; `digest` names exactly this set, `since` is the oldest."""

    account: str
    target: str
    digest: str
    since: Moment
    drivers: tuple[HeldDelete, ...]


class JudgedSet(HeldSet):
    """A set of held deletes with the verdict on it: `approved` or `rejected`."""

    verdict: str


def held(decider: Store, account: str) -> list[HeldSet]:
    """The sets of held deletes of an account, one for each target that has any. Raises `StoreFailed`."""
    sets = []
    for target in Target:
        if deletes := tuple(_held_on(decider, AccountId(account), target)):
            hashed = digest_of_holds(target, [(PortalDriverId(each.driver), each.hold) for each in deletes])
            since = min(each.since for each in deletes)
            sets.append(HeldSet(account=account, target=str(target), digest=hashed, since=since, drivers=deletes))
    return sets


def _held_on(decider: Store, account: AccountId, target: Target) -> Iterator[HeldDelete]:
    where: Where = {"account": str(account), "target": str(target), "hold": FILLED}
    for page in pages(decider, LinkRow, where, "driver"):
        drivers = [PortalDriverId(row.driver) for row in page]
        desired_drivers = decider.select(DesiredRow, {"account": str(account), "driver": [row.driver for row in page]})
        names = {row.driver: shown_name(row.profile, row.erased) for row in desired_drivers}
        links = load_links(decider, ((account, target, driver) for driver in drivers)).get((account, target), {})
        for fact in filter(None, (links[driver].held for driver in drivers)):
            guard = fact.rationale.get("guard", {})
            yield HeldDelete(
                driver=fact.driver,
                hold=fact.originator_version,
                key=fact.key,
                since=fact.at,
                name=names.get(fact.driver, ""),
                limit=guard.get("limit", 0),
                deleted=guard.get("deleted", 0),
            )


@router.get("")
async def list_held_deletes(known: KnownAccount, installation: Installed, response: Response) -> list[HeldSet]:
    """List the sets of held deletes, one for each target that has any."""
    sets = await installation.readers.call(held, installation.readers.decider, known.account)
    response.headers["ETag"] = f'"{_tag(sets)}"'
    return sets


def _tag(sets: Iterable[HeldSet]) -> str:
    """What these sets are known by: the digest of each."""
    return ".".join(each.digest for each in sets)


@router.post("", openapi_extra=IF_MATCH)
async def judge_held_deletes(body: Judge, known: KnownAccount, caller: Called, installation: Installed) -> JudgedSet:
    """Approve or reject exactly the set of this digest."""
    name = known.account
    sets = await installation.readers.call(held, installation.readers.decider, name)
    caller.check_seen(_tag(sets))
    chosen = next((each for each in sets if (each.target, each.digest) == (body.target, body.digest)), None)
    if chosen is None:
        raise NotPermitted(
            f"{body.digest} is not what is held now for {name} on {body.target}; "
            f"look at it again: `driverlink approvals list {name}`"
        )
    verdict = DeletesApproved if body.approve else DeletesRejected
    holds: list[list[str | int]] = [[driver.driver, driver.hold] for driver in chosen.drivers]
    await installation.accounts_service.call_again(
        installation.accounts.ask,
        name,
        caller.asks(body.by, body.note),
        lambda person, account: person.judge(account, verdict, target=body.target, digest=body.digest, holds=holds),
    )
    installation.accounts_service.notify()
    return JudgedSet(**dict(chosen), verdict="approved" if body.approve else "rejected")


rekeyings_router = new_router("rekeyings", prefix="/accounts/{account}/rekeyings")


class ApproveReKeyings(ByPerson):
    """The approval of exactly these held re-keyings."""

    digest: str


class HeldReKeying(ResponseBody):
    """A driver whose identifiers stay as they are until a person approves the others."""

    driver: str
    before: dict[str, str]
    after: dict[str, str]
    since: str


class HeldReKeyings(ResponseBody):
    """All re-keyings that are held; `digest` names exactly this set, and is empty where there are none."""

    digest: str
    drivers: list[HeldReKeying]


class ApprovedReKeyings(ResponseBody):
    """How many re-keyings were approved with this digest."""

    account: str
    digest: str
    approved: int


@rekeyings_router.get("")
async def list_rekeyings(known: KnownAccount, installation: Installed) -> HeldReKeyings:
    """List the re-keyings that are held."""
    rows = await installation.readers.call(ReKeyings(installation.readers.intake, utc_now).held, known.account)
    drivers = [HeldReKeying(driver=row.driver, before=row.before, after=row.after, since=row.at) for row in rows]
    return HeldReKeyings(digest=digest_of(known.account, rows) if rows else "", drivers=drivers)


@rekeyings_router.post("")
async def approve_rekeyings(
    body: ApproveReKeyings, known: KnownAccount, caller: Called, installation: Installed
) -> ApprovedReKeyings:
    """Approve exactly the re-keyings of this digest."""
    asker = caller.asks(body.by, body.note)
    if asker.role is None:
        known.role_of(asker.by)
    intake = installation.intake_service
    entry = noted(
        caller, installation.clock, "approve_rekeyings", body.digest, body.note, account=known.account, by=body.by
    )
    approved = await intake.call_again(ReKeyings(intake.store, utc_now).approve, known.account, body.digest, entry)
    intake.notify()
    return ApprovedReKeyings(account=known.account, digest=body.digest, approved=approved)
