"""Target drivers that no link claims."""

from collections import Counter
from collections.abc import Sequence

from domain.identity import Key, Target
from domain.storing import Store, Where
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


def strays_by_place(store: Store, where: Where) -> Counter[tuple[str, str]]:
    """How many target drivers no link claims, by account and target, of those that match. Raises `StoreFailed`.

    What is read is the same, by a number of queries that no number of accounts changes.
    """
    linked = {
        (str(account), str(target), key_mark(Target(str(target)), Key(str(key))))
        for account, target, key in store.count(LinkRow, where, by=["account", "target", "key"])
    }
    shown = store.count(RosterRow, {**where, "active": True}, by=["account", "target", "mark"])
    free = [place for each in shown if (place := (str(each[0]), str(each[1]), str(each[2]))) not in linked]
    claimed = {(row.account, row.target, row.mark) for row in _claims(store, free)}
    return Counter((account, target) for account, target, mark in free if (account, target, mark) not in claimed)


def _claims(store: Store, places: Sequence[tuple[str, str, str]]) -> Sequence[ClaimRow]:
    return store.among(ClaimRow, ("account", "target", "mark"), places) if places else ()


def _unclaimed(store: Store, place: dict[str, str], marks: list[str]) -> set[str]:
    unclaimed = set(marks)
    for start in range(0, len(marks), _PAGE):
        claimed = store.select(ClaimRow, {**place, "mark": marks[start : start + _PAGE]})
        unclaimed -= {row.mark for row in claimed}
    return unclaimed
