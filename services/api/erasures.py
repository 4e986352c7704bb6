"""`/v1/accounts/{account}/erasures`: erases a driver that the Portal has deleted, for good."""

from collections.abc import Iterator, Mapping

from domain.account import Account, Mode
from domain.cleaning import LONGEST, clean
from domain.failures import MOST_TRIES
from domain.identity import PortalDriverId, Target
from domain.portal import NotErasable, PortalDriver
from domain.store import Store
from services.api.explanation_text import command, keyed, listed, name_of, named
from services.api.installation import Readers
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import Moment, Named, Note, RequestBody, ResponseBody
from services.decider.read_models import DesiredRow, LinkRow
from services.intake.erasing import BegunErasure, erasable
from services.projector.read_models import DeliveryRow

router = new_router("erasures", prefix="/accounts/{account}/erasures")


class EraseDriver(RequestBody):
    """A driver to be erased, by the Portal's id, with an optional reason in `note`, which is stored."""

    driver: Named
    note: Note = ""


class ErasureReview(ResponseBody):
    """What an erasure would erase: the driver and its former links; `erased_at` is None unless it was done before."""

    account: str
    driver: str
    name: str
    targets: tuple[str, ...]
    erased_at: Moment | None


class ErasedDriver(ResponseBody):
    """A driver that is erased, and since when; not `is_new` where it was before."""

    account: str
    driver: str
    erased_at: Moment
    is_new: bool


@router.get("")
async def review_erasure(driver: str, known: KnownAccount, installation: Installed) -> ErasureReview:
    """Show what the erasure of a driver would erase, or why it cannot be erased now."""
    return await installation.readers.call(_review, installation.readers, known, _id_of(driver))


@router.post("")
async def erase_driver(body: EraseDriver, known: KnownAccount, caller: Called, installation: Installed) -> ErasedDriver:
    """Erase a driver that the Portal has deleted: what is stored of it cannot be read any more."""
    driver, asker = _id_of(body.driver), caller.asks(None, body.note)
    await installation.readers.call(_review, installation.readers, known, driver)
    begun = BegunErasure(
        account=known.account,
        driver=driver,
        at=installation.clock().isoformat(),
        by=asker.by,
        role=str(caller.role),
        authenticated=asker.authenticated,
        note=asker.note,
    )
    done = await installation.intake_service.call(installation.erasing.erase, begun)
    installation.intake_service.notify()
    return ErasedDriver(account=known.account, driver=driver, erased_at=done.at, is_new=done.is_new)


def _id_of(text: str) -> PortalDriverId:
    return PortalDriverId(clean(text, LONGEST["driver"]))


def _review(readers: Readers, account: Account, driver: PortalDriverId) -> ErasureReview:
    """What would be erased. Raises `NotErasable`, `StoreFailed`."""
    known = erasable(readers.intake, account.account, driver)
    if not known.erased_at and (reason := next(_hindrances(readers.decider, readers.projectors, account, known), "")):
        raise NotErasable(reason)
    rows = readers.decider.select(DesiredRow, {"account": account.account, "driver": driver})
    links = readers.decider.select(LinkRow, {"account": account.account, "driver": driver}, order_by="target")
    return ErasureReview(
        account=account.account,
        driver=driver,
        name=name_of(rows[0].profile) if rows else "",
        targets=tuple(link.target for link in links),
        erased_at=known.erased_at,
    )


def _hindrances(
    decider: Store, projectors: Mapping[Target, Store], account: Account, known: PortalDriver
) -> Iterator[str]:
    """Why the driver cannot be erased yet, and what to do."""
    place = {"account": str(known.account), "driver": str(known.driver)}
    rows = decider.select(DesiredRow, place)
    explain = command("explain", known.account, known.driver)
    if not rows or rows[0].is_wanted:
        yield f"the decider has not handled yet that the Portal deleted driver {known.driver}: try again in a moment"
    links = decider.select(LinkRow, place)
    for link in links:
        if link.is_live:
            yield (
                f"driver {known.driver} is still linked to {keyed(link.target, link.key)} on {named(link.target)}: "
                f"it can be erased once it is deleted there; see {explain}"
            )
    in_hand = {link.target for link in links if link.state == "pending" and _is_sent(account, Target(link.target))}
    in_hand |= {
        str(target) for target, store in projectors.items() if any(map(_is_in_hand, store.select(DeliveryRow, place)))
    }
    if in_hand:
        yield f"a delivery of driver {known.driver} to {listed(map(named, sorted(in_hand)))} is in hand: see {explain}"


def _is_sent(account: Account, target: Target) -> bool:
    return account.mode(target) in (Mode.UPSERT, Mode.FULL)


def _is_in_hand(row: DeliveryRow) -> bool:
    return bool(row.due) or (row.started > 0 and row.tries < MOST_TRIES)
