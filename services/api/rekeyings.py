"""`/v1/accounts/{account}/rekeyings`: the drivers to which the Portal's API would give other identifiers."""

from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import Named, RequestBody, ResponseBody
from services.intake.handlers import ReKeyings, digest_of
from services.runtime.context import utc_now

router = new_router("rekeyings", prefix="/accounts/{account}/rekeyings")


class ApproveReKeyings(RequestBody):
    """The approval of exactly these held re-keyings; `by` as in other requests about an account."""

    digest: str
    by: Named | None = None


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


@router.get("")
async def list_rekeyings(known: KnownAccount, installation: Installed) -> HeldReKeyings:
    """List the re-keyings that are held."""
    rows = await installation.readers.call(ReKeyings(installation.readers.intake, utc_now).held, known.account)
    drivers = [HeldReKeying(driver=row.driver, before=row.before, after=row.after, since=row.at) for row in rows]
    return HeldReKeyings(digest=digest_of(known.account, rows) if rows else "", drivers=drivers)


@router.post("")
async def approve_rekeyings(
    body: ApproveReKeyings, known: KnownAccount, caller: Called, installation: Installed
) -> ApprovedReKeyings:
    """Approve exactly the re-keyings of this digest."""
    asker = caller.asks(body.by)
    if asker.role is None:
        known.role_of(asker.by)
    intake = installation.intake_service
    approved = await intake.call_again(ReKeyings(intake.store, utc_now).approve, known.account, body.digest, asker.by)
    intake.notify()
    return ApprovedReKeyings(account=known.account, digest=body.digest, approved=approved)
