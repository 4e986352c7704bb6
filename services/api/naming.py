"""Which driver, target or number a request names."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator

from domain.cleaning import LONGEST, clean, folded
from domain.identity import PORTAL, Connectable, PortalDriverId, Target
from domain.store import Store, pages
from services.accounts.handlers import did_you_mean
from services.api.explanation_text import moment, shown_name
from services.api.installation import Readers
from services.api.schema import Malformed, ResponseBody
from services.decider.read_models import DesiredRow
from services.intake.handlers import UnknownDriver
from services.intake.read_models import KnownDriver

_MOST_NAMED = 3
_NEIGHBOURS = 200
"""Drivers that are looked at for one who may have been meant."""


class Candidate(ResponseBody):
    """A portal driver that a text may name; `is_wanted` is false when the Portal has deleted the driver."""

    driver: str
    name: str
    ref_id: str
    driveri_driver_id: str
    is_wanted: bool


def find_drivers(decider: Store, account: str, text: str) -> list[Candidate]:
    """The driver with exactly this portal driver id; else all with this RefID or Driveri DriverID, in any letter case.

    Deleted drivers are found by what the Portal stated of them last. Empty if none matches. Raises `StoreFailed`.
    """
    return _find(decider, DesiredRow, account, clean(text, LONGEST["driver"]))


def find_stated(intake: Store, account: str, text: str) -> list[Candidate]:
    """The same, of the drivers that the Portal has stated though the decider does not know it yet.

    Deleted drivers are found by their portal driver id. Raises `StoreFailed`.
    """
    return _find(intake, KnownDriver, account, clean(text, LONGEST["driver"]))


def is_stated(intake: Store, driver: str, account: str | None = None) -> bool:
    """Whether the Portal ever stated a driver of exactly this id, in this account or in any. Raises `StoreFailed`."""
    named = clean(driver, LONGEST["driver"])
    where = {"driver": named} if account is None else {"account": account, "driver": named}
    return bool(intake.select(KnownDriver, where, limit=1))


def stated_names(intake: Store, account: str, drivers: Collection[str]) -> dict[str, str]:
    """The names of these drivers as the Portal stated them last, for people who may see them. Raises `StoreFailed`."""
    rows = intake.select(KnownDriver, {"account": account, "driver": sorted(set(drivers))}) if drivers else []
    return {row.driver: shown_name(row.profile, row.erased) for row in rows}


def erased_since(intake: Store, account: str, driver: str) -> datetime | None:
    """When a driver was erased, unless the Portal has stated it since. Raises `StoreFailed`."""
    rows = intake.select(KnownDriver, {"account": account, "driver": driver})
    return datetime.fromisoformat(rows[0].erased) if rows and rows[0].erased else None


def likely_drivers(intake: Store, account: str, text: str) -> str:
    """The drivers that an unknown portal driver id may mean: `; did you mean 7?`, or empty. Raises `StoreFailed`.

    Those with this RefID or Driveri DriverID; else those whose ids are alike, of the first ones and the next in order.
    """
    named = [each.driver for each in find_stated(intake, account, text)]
    if named:
        return f"; did you mean {' or '.join(named[:_MOST_NAMED])}, who has it as another id?"
    ids: list[str] = []
    for start in (None, text[:-1]):
        found = intake.select(KnownDriver, {"account": account}, order_by="driver", after=start, limit=_NEIGHBOURS)
        ids += [row.driver for row in found]
    return did_you_mean(text, ids)


def unknown_driver(intake: Store, account: str | None, driver: str) -> UnknownDriver:
    """That the Portal never stated this driver, and which ones may be meant. Raises `StoreFailed`."""
    if account is None:
        return UnknownDriver(f"the Portal never stated a driver {driver} in any account")
    alike = likely_drivers(intake, account, driver)
    return UnknownDriver(f"the Portal never stated a driver {driver} in account {account}{alike}")


def unknown_then(intake: Store, account: str, driver: str, at: datetime) -> UnknownDriver:
    """That the Portal had not stated this driver at a moment, or never did. Raises `StoreFailed`."""
    if not is_stated(intake, driver, account):
        return unknown_driver(intake, account, driver)
    return UnknownDriver(f"the Portal had not stated driver {driver} in account {account} by {moment(at)}")


def _find(store: Store, kind: type[DesiredRow] | type[KnownDriver], account: str, typed: str) -> list[Candidate]:
    exact = store.select(kind, {"account": account, "driver": typed})
    if exact:
        return [_to_candidate(exact[0])]
    rows = (row for page in pages(store, kind, {"account": account}, "driver") for row in page)
    ids = ("ref_id", "driveri_driver_id")
    found = (row for row in rows if folded(typed) in {folded(row.profile.get(field, "")) for field in ids})
    return [_to_candidate(row) for row in found] if typed else []


def _to_candidate(row: DesiredRow | KnownDriver) -> Candidate:
    return Candidate(
        driver=row.driver,
        name=shown_name(row.profile, row.erased),
        ref_id=row.profile.get("ref_id", ""),
        driveri_driver_id=row.profile.get("driveri_driver_id", ""),
        is_wanted=row.is_wanted if isinstance(row, DesiredRow) else row.is_there,
    )


async def driver_named(readers: Readers, account: str, text: str) -> PortalDriverId:
    """The driver that a person means by a portal driver id, RefID or DriverID. Raises `UnknownDriver`, `Malformed`."""
    return only_one(await readers.call(find_drivers, readers.decider, account, text), account, text)


def only_one(found: Sequence[Candidate], account: str, text: str) -> PortalDriverId:
    """The driver, where this text can mean but one. Raises `UnknownDriver`, `Malformed`."""
    if not found:
        raise UnknownDriver(f"there is no driver {text} in account {account}")
    if len(found) > 1:
        drivers = ", ".join(each.driver for each in found)
        raise Malformed(f"{text} may be any of these, ask again with the Portal's id: {drivers}")
    return PortalDriverId(found[0].driver)


def target_named(text: str) -> Target:
    """The target of this name. Raises `Malformed`."""
    if text not in list(Target):
        raise Malformed(f"there is no target {text!r}; there are: {', '.join(Target)}")
    return Target(text)


def connectable_named(text: str) -> Connectable:
    """The target of this name, or the Portal. Raises `Malformed`."""
    return PORTAL if text == PORTAL else target_named(text)


NamedTarget = Annotated[Target, BeforeValidator(target_named)]
"""A target in a query; an unknown one is refused with those that there are."""

NamedConnectable = Annotated[Connectable, BeforeValidator(connectable_named)]
"""A target in a query, or the Portal."""


def number_named(name: str, text: str, largest: int) -> int:
    """A number from 1 on. Raises `Malformed`."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and 1 <= int(text) <= largest):
        raise Malformed(f"{name} is a number from 1 to {largest}, not {text!r}")
    return int(text)


_EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LATEST: Final = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


def moment_named(text: str | None) -> datetime | None:
    """The moment of a parameter, in UTC unless it says otherwise; None where it is left out. Raises `Malformed`.

    From either end of the calendar it keeps a day, so that it can be shown in any time zone, and reckoned with.
    """
    if text is None:
        return None
    try:
        named = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"{text!r} is not a date or time; write 2026-05-31 or 2026-05-31T08:30+00:00") from None
    return min(max(named if named.tzinfo else named.replace(tzinfo=UTC), _EARLIEST), _LATEST)
