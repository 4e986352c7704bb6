"""Whom a person means by what they typed."""

from dataclasses import dataclass

from domain.storing import Store
from services.asking.answers import Answer
from services.asking.paging import pages
from services.asking.telling.words import name_of
from services.decider.read_models import WishRow


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
    typed = text.strip()
    exact = decider.select(WishRow, {"account": account, "driver": typed})
    if exact:
        return [_to_candidate(exact[0])]
    found = (row for page in pages(decider, WishRow, {"account": account}, "driver") for row in page)
    return [_to_candidate(row) for row in found if typed.casefold() in _ids(row)] if typed else []


def _ids(row: WishRow) -> set[str]:
    return {row.profile.get(field, "").casefold() for field in ("ref_id", "driveri_driver_id")}


def _to_candidate(row: WishRow) -> Candidate:
    return Candidate(
        driver=row.driver,
        name=name_of(row.profile),
        ref_id=row.profile.get("ref_id", ""),
        driveri_driver_id=row.profile.get("driveri_driver_id", ""),
        is_wanted=row.is_wanted,
    )
