"""Erases what every store has of accounts that were removed, while no service works on them.

It can be killed anywhere, and goes on when it is run again: until the proof is stored, the account counts as removed
and not erased.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import structlog

from domain.account import OPERATOR, Account, AccountErased, ErasureBegan, Removal, apply
from domain.identity import AccountId, erasure_stream
from domain.store import OF_EVERY_STORE, StoreFailed, Unit
from services.accounts.handlers import AccountRow, to_account, to_row
from services.runtime.consumer import PartitionOf
from services.runtime.context import log_of
from services.runtime.read_models import RebuildableStore
from services.views.relays import request_all_states
from services.wiring.rebuild import Stores
from services.wiring.registry import SERVICES

ERASURE_KEEPS: Final = (ErasureBegan.TOPIC, AccountErased.TOPIC)
"""Events that stay, because they hold nothing of anybody."""

_log = structlog.get_logger()


Forget = Callable[[str], object]
"""Keeps nothing of an account any longer, in places beside the stores of services."""


def erase_removed(
    stores: Stores, partition_of: PartitionOf | None, at: datetime, *, beside: Collection[Forget]
) -> Sequence[str]:
    """Erase the data of every account whose removal was requested; which those are. Raises `StoreFailed`.

    `beside` are credentials, the keys of profiles, and what was granted: who had something to say of an account has
    nothing to say of another one that has its id later.

    Where Kafka carries the logs, every service must have consumed what there is of the account: what is erased
    before that would come back. One that is optional, and has consumed nothing, was never run.
    """
    found = stores["accounts"].select(AccountRow, {"removal": str(Removal.REQUESTED)}, order_by="account")
    if found:
        # Before the proof, so that a kill cannot come between; views are not relayed meanwhile.
        request_all_states(stores["decider"])
    for account in map(to_account, found):
        if partition_of and (behind := _behind(stores, account.account, partition_of(account.account))):
            raise StoreFailed(
                f"{behind} has not consumed everything of {account.account} yet: let the services run until "
                "`driverlink status` shows that nothing waits, then stop them and erase again"
            )
        for forget in beside:
            forget(account.account)
        _erase(stores, account, at)
        _log.warning("account is erased", account=account.account)
    return [row.account for row in found]


def _erase(stores: Stores, account: Account, at: datetime) -> None:
    """The accounts come last: as long as they have the account, all of this is done again after a kill."""
    events: dict[str, int] = {}
    rows: dict[str, int] = {}
    for name in reversed([*SERVICES]):
        store = stores[name]
        own = SERVICES[name].rows if name != "accounts" else ()
        _begin(store, account.account, at)
        events[name], rows[name] = store.erase(account.account, (*own, *OF_EVERY_STORE), ERASURE_KEEPS)
    proof = AccountErased(
        originator_id=account.id,
        originator_version=account.version + 1,
        at=at,
        account=account.account,
        by="",
        role=OPERATOR,
        events=events,
        rows=rows,
    )
    unit = Unit(events=[proof])
    unit.keep([to_row(apply(account, proof))])
    stores["accounts"].commit(unit)
    for store in stores.values():
        store.end_erasing()


def _begin(store: RebuildableStore, account: AccountId, at: datetime) -> None:
    """Store that it begins: the last position of the log stays taken, so that no consumer goes past a later event."""
    stream = erasure_stream(account)
    version = len(store.histories([stream])[stream]) + 1
    began = ErasureBegan(originator_id=stream, originator_version=version, at=at, account=account)
    store.commit(Unit(events=[began]))


def _behind(stores: Stores, account: AccountId, partition: int) -> str:
    """A service that has not consumed all there is of an account; empty where there is none."""
    last = {log_of(store.log.name): store.last_of(account) for store in stores.values()}
    return next(
        (
            name
            for name, spec in SERVICES.items()
            for log in spec.consumes
            if not (spec.is_optional and stores[name].position(f"{log}/{partition}") == 0)
            if stores[name].position(f"{log}/{partition}") < last[log]
        ),
        "",
    )
