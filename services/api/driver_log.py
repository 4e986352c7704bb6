"""What the logs have about one driver: its histories, found by their ids, with their positions in the logs."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from uuid import UUID

from domain.identity import (
    AccountId,
    PortalDriverId,
    Target,
    account_stream,
    delivery_stream,
    link_stream,
    portal_driver_stream,
    scan_stream,
)
from domain.store import Log, Record, Resubmission, Store
from services.api.installation import Installation
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, outcomes_of

_IN_ORDER = attrgetter("position")


class DriverLog:
    """A log as if it had only these histories. They are read whole, so they must be those of a driver."""

    def __init__(self, store: Store, ids: Collection[UUID]) -> None:
        self.name = store.log.name
        self._store = store
        self._ids = ids

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position, in order. Raises `StoreFailed`."""
        return [record for record in self._records() if record.position > after][:limit]

    def read_back(self, before: int, limit: int) -> Sequence[Record]:
        """The records before this position, the newest first. Raises `StoreFailed`."""
        return [record for record in reversed(self._records()) if record.position < before][:limit]

    def end(self) -> int:
        """The position of the log's last record, whatever that is about. Raises `StoreFailed`."""
        return self._store.log.end()

    def again(self, resubmission: Resubmission) -> Record:
        """The record of the log that a resubmission stands for."""
        return self._store.log.again(resubmission)

    def _records(self) -> list[Record]:
        return sorted(chain.from_iterable(self._store.records(self._ids).values()), key=_IN_ORDER)


def logs_of_driver(installation: Installation, account: AccountId, driver: PortalDriverId) -> Mapping[str, Log]:
    """Every log by the name that people know it by, with what it has about this driver.

    That are the histories of the driver, of the account, and of the scans of its rosters; of a log of which it is not
    known what it has of a driver, everything about the account.
    """
    ids: Mapping[str, Sequence[UUID]] = {
        ACCOUNTS: [account_stream(account)],
        CHANGES: [portal_driver_stream(account, driver)],
        DECISIONS: [link_stream(account, target, driver) for target in Target],
        **{
            outcomes_of(target): [delivery_stream(account, target, driver), scan_stream(account, target)]
            for target in Target
        },
    }
    stores = installation.readers.stores
    return {
        each.log_title: DriverLog(stores[each.name], ids[each.log])
        if each.log in ids
        else stores[each.name].log_of(account)
        for each in installation.registry
    }
