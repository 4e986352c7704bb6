"""Target drivers that no link claims."""

from domain.identity import Key, Target
from domain.storing import Store
from domain.wish import key_mark
from services.decider.read_models import ClaimRow, LinkRow, RosterRow

_PAGE = 500


def stray_marks(store: Store, account: str, target: Target) -> set[str]:
    """The marks of the active target drivers that no link has as its key, or is about to have. Raises `StoreFailed`.

    Only the columns that tell are read, from their indexes: whole rows of a large fleet would take seconds.
    """
    place = {"account": account, "target": str(target)}
    linked = {key_mark(target, Key(str(key))) for (key,) in store.count(LinkRow, place, by=["key"])}
    shown = store.count(RosterRow, {**place, "active": True}, by=["mark"])
    return _unclaimed(store, place, sorted({str(mark) for (mark,) in shown} - linked))


def _unclaimed(store: Store, place: dict[str, str], marks: list[str]) -> set[str]:
    unclaimed = set(marks)
    for start in range(0, len(marks), _PAGE):
        claimed = store.select(ClaimRow, {**place, "mark": marks[start : start + _PAGE]})
        unclaimed -= {row.mark for row in claimed}
    return unclaimed
