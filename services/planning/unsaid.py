"""What the Portal has said of none of an account's drivers, though drivers are recognised by it at targets.

The Portal's API knows no licences, for instance: whom Motive knows by the licence alone would be made a second time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.identity import AccountId, Target
from domain.storing import Store
from domain.wish import RECOGNISED_BY
from services.intake.read_models import KnownDriver
from services.runtime.service import Service

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """The fields that are said of any of these drivers, and the last of them; empty at the end."""

    said: frozenset[str]
    last: str


async def unsaid(intake: Service, account: AccountId, targets: Iterable[Target]) -> Mapping[Target, Sequence[str]]:
    """By target, the fields that drivers are recognised by there and that nobody has; nothing where nobody is known."""
    wanted = {target: RECOGNISED_BY[target] for target in targets}
    missing = {field for fields in wanted.values() for field in fields}
    page = await intake.call(_page, intake.store, account, "")
    if not page.last:
        return {}
    while page.last and missing:
        missing -= page.said
        page = await intake.call(_page, intake.store, account, page.last)
    lacking = {target: [field for field in fields if field in missing] for target, fields in wanted.items()}
    return {target: fields for target, fields in lacking.items() if fields}


def _page(store: Store, account: AccountId, after: str) -> _Page:
    where: dict[str, str | bool] = {"account": account, "is_there": True}
    rows = store.select(KnownDriver, where, order_by="driver", after=after, limit=_PAGE)
    said = frozenset(field for row in rows for field, text in row.profile.items() if text)
    return _Page(said=said, last=rows[-1].driver if rows else "")
