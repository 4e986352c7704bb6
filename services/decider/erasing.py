"""What the decider does with a driver that was erased: a fact on each of its links, and nothing kept of the driver."""

from datetime import datetime

from domain.claims import Decide
from domain.driver_link import erase, keys_of
from domain.identity import AccountId, PortalDriverId, Target, delivery_stream, link_stream, portal_driver_stream
from domain.matching import key_identifier
from domain.store import Store, Unit
from services.decider.read_models import ClaimRow, DesiredRow, rows_among
from services.runtime.forgetting import Forgotten, forget_records


def to_erasure(store: Store, row: DesiredRow, target: Target, now: datetime) -> Decide:
    """What erases the driver of this row, as to its link with a target. Raises `StoreFailed`."""
    account, driver = AccountId(row.account), PortalDriverId(row.driver)
    link = link_stream(account, target, driver)
    keys = keys_of(store.histories([link])[link])
    identifiers = {key_identifier(target, key): key for key in keys}
    place = account, target
    claimed = rows_among(store, ClaimRow, "identifier", {place: identifiers.keys()})[place]
    elsewhere = {identifiers[each.identifier] for each in claimed if each.driver != driver}
    return lambda decided, _: erase(decided, now, keys=keys, elsewhere=elsewhere)


def forget(store: Store, unit: Unit, row: DesiredRow) -> None:
    """Remove in the unit what could not be handled of this driver, and note that it is forgotten.

    Raises `StoreFailed`.
    """
    account, driver = AccountId(row.account), PortalDriverId(row.driver)
    histories = {portal_driver_stream(account, driver)}
    histories |= {of(account, target, driver) for target in Target for of in (link_stream, delivery_stream)}
    forget_records(store, unit, histories)
    unit.keep([Forgotten(account=account, driver=driver)])
