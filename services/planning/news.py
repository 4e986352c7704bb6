"""What intake knows of the Portal's drivers and the decider does not yet, as while nobody runs the services."""

from collections.abc import Sequence

from domain.event import Event
from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.portal import Change
from domain.storing import Store
from services.intake.read_models import KnownDriver
from services.planning.rehearsal import Rehearsal
from services.runtime.service import Service

_PAGE = 500


class Portal:
    """Tells a rehearsal of changes that are on their way."""

    def __init__(self, intake: Service) -> None:
        self._intake = intake

    async def tell(self, account: AccountId, rehearsal: Rehearsal, decider: Service) -> None:
        """Let the rehearsal take over what the decider will, page by page. Raises `StoreFailed`."""
        after = ""
        while page := await self._intake.call(_known, self._intake.store, account, after):
            after = page[-1].driver
            unheard = await decider.call(rehearsal.unheard, page)
            if unheard:
                changes = await self._intake.call(_changes, self._intake.store, account, unheard)
                await decider.call(rehearsal.take_changes, changes)


def _known(intake: Store, account: AccountId, after: str) -> list[KnownDriver]:
    return intake.select(KnownDriver, {"account": str(account)}, order_by="driver", after=after, limit=_PAGE)


def _changes(intake: Store, account: AccountId, drivers: Sequence[str]) -> list[tuple[int, Event]]:
    """The last change of each of these drivers, with its position in the log, in the order of the log."""
    ids = [portal_driver_stream(account, PortalDriverId(driver)) for driver in drivers]
    found: list[tuple[int, Event]] = []
    for records in intake.records(ids).values():
        changes = [(record.log_position, record.event) for record in records if isinstance(record.event, Change)]
        found += changes[-1:]
    return sorted(found, key=lambda change: change[0])
