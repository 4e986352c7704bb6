"""Whom a person means by what they typed."""

from dataclasses import dataclass

from domain.storing import Store
from services.asking.answers import Answer
from services.asking.paging import pages
from services.asking.telling.words import name_of
from services.decider.read_models import WishRow
from services.intake.read_models import KnownDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Answer):
    """A portal driver whom a person may mean; `is_wanted` is false when the Portal has deleted the driver."""

    driver: str
    name: str
    ref_id: str
    driveri_driver_id: str
    is_wanted: bool


def find_drivers(decider: Store, account: str, text: str) -> list[Candidate]:
    """The driver with exactly this portal driver id; else all with this RefID or Driveri DriverID, in any letter case.

    Deleted drivers are found by what the Portal stated of them last. Empty if nobody answers. Raises `StoreFailed`.
    """
    return _find(decider, WishRow, account, text.strip())


def find_stated(intake: Store, account: str, text: str) -> list[Candidate]:
    """The same, of the drivers whom the Portal has stated though the decider does not know it yet.

    Deleted drivers are found by their portal driver id. Raises `StoreFailed`.
    """
    return _find(intake, KnownDriver, account, text.strip())


def _find(store: Store, kind: type[WishRow] | type[KnownDriver], account: str, typed: str) -> list[Candidate]:
    exact = store.select(kind, {"account": account, "driver": typed})
    if exact:
        return [_to_candidate(exact[0])]
    found = (row for page in pages(store, kind, {"account": account}, "driver") for row in page)
    return [_to_candidate(row) for row in found if typed.casefold() in _ids(row)] if typed else []


def _ids(row: WishRow | KnownDriver) -> set[str]:
    return {row.profile.get(field, "").casefold() for field in ("ref_id", "driveri_driver_id")}


def _to_candidate(row: WishRow | KnownDriver) -> Candidate:
    return Candidate(
        driver=row.driver,
        name=name_of(row.profile),
        ref_id=row.profile.get("ref_id", ""),
        driveri_driver_id=row.profile.get("driveri_driver_id", ""),
        is_wanted=row.is_wanted if isinstance(row, WishRow) else row.is_there,
    )
