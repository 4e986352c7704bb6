"""How every account stands with its targets, in numbers."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from domain.account import Mode
from domain.identity import Key, Target
from domain.schedule import next_sweep
from domain.storing import Store, Where
from services.accounts.read_models import AccountRow, to_account
from services.asking.answers import Answer
from services.asking.readiness import Readiness, readiness_of_all
from services.asking.waiting import Waiting
from services.decider.read_models import CatchUp, LinkRow, RosterRow, WishRow
from services.decider.strays import stray_marks, strays_by_place

_PAGE = 500
_BY_STATE = ("account", "target", "state", "reason")
_MOST_NAMED = 1000
"""Accounts that one query names; where there are more, all are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus(Answer):
    """How an account stands with a target. The counts are of portal drivers, `strays` of target drivers.

    `is_walked`: the roster was read whole, at `walked_at`, under the account's present terms. `failure` says why it
    cannot be read, since `failing_since`; empty if it can. `outage` says why no calls are made, since `stopped_since`;
    empty if they are. `is_catching_up`: a sweep goes through the drivers. The last one ended at `swept_at`, and the
    next daily one begins at `sweep_due_at`; None where there is none.
    `unsent` are decisions that the projector, and `unheard` answers that the decider has not taken over yet.
    `kept` are rejected deletes; `undecided` the drivers that the Portal wants and that nobody has decided on yet.
    """

    target: str
    mode: str
    is_walked: bool
    walked_at: datetime | None
    failure: str
    failing_since: datetime | None
    outage: str
    stopped_since: datetime | None
    is_catching_up: bool
    swept_at: datetime | None
    sweep_due_at: datetime | None
    in_step: int
    pending: int
    parked: Mapping[str, int]
    held: int
    kept: int
    ended: int
    undecided: int
    strays: int
    unsent: int = 0
    unheard: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus(Answer):
    """How an account stands: `drivers` counts those that the Portal wants in all.

    `waiting` are changes of the Portal that the decider has not taken over yet, of at most `waiting.MOST`.
    """

    account: str
    tier: str
    is_on: bool
    drivers: int
    targets: tuple[TargetStatus, ...]
    waiting: int = 0


def status(decider: Store, accounts: Iterable[str] | None = None) -> list[AccountStatus]:
    """How these accounts stand, or all that are known, in the order of ids; unknown ones are left out.

    By a number of queries that no number of accounts changes. Raises `StoreFailed`.
    """
    where: Where = {} if accounts is None else {"account": sorted(set(accounts))}
    rows = decider.select(AccountRow, where, order_by="account")
    figures = _figures(decider, where)
    readiness = readiness_of_all(decider, map(to_account, rows), where)
    return [_account_status(row, readiness(row.account), figures) for row in rows]


def with_waiting(found: AccountStatus, waits: Waiting) -> AccountStatus:
    """How an account stands, with what waits for it between the services."""
    targets = tuple(
        replace(
            each,
            unsent=waits.decisions.get((found.account, each.target), 0),
            unheard=waits.outcomes.get((found.account, each.target), 0),
        )
        for each in found.targets
    )
    return replace(found, waiting=waits.changes.get(found.account, 0), targets=targets)


def strays(decider: Store, account: str, target: Target) -> Iterator[Key]:
    """The active target drivers that no link has as its key, in the order of their marks."""
    found = sorted(stray_marks(decider, account, target))
    for start in range(0, len(found), _PAGE):
        where: Where = {"account": account, "target": str(target), "mark": found[start : start + _PAGE]}
        yield from (Key(row.key) for row in decider.select(RosterRow, where, order_by="mark"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figures:
    """What is counted of all accounts at once: by account, by account and target, and by state and reason too."""

    wanted: Mapping[str, int]
    states: Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
    undecided: Mapping[tuple[str, str], int]
    strays: Mapping[tuple[str, str], int]
    catching_up: Collection[tuple[str, str]]


def _figures(decider: Store, where: Where) -> _Figures:
    states: defaultdict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    for (account, target, state, reason), links in decider.count(LinkRow, where, by=_BY_STATE).items():
        states[str(account), str(target)][str(state), str(reason)] = links
    wishes: defaultdict[str, dict[bool, int]] = defaultdict(dict)
    for (account, is_wanted), drivers in decider.count(WishRow, where, by=["account", "is_wanted"]).items():
        wishes[str(account)][bool(is_wanted)] = drivers
    return _Figures(
        wanted={account: counts.get(True, 0) for account, counts in wishes.items()},
        states=states,
        undecided=_undecided(decider, {account: sum(counts.values()) for account, counts in wishes.items()}, states),
        strays=strays_by_place(decider, where),
        catching_up={(row.account, row.target) for row in decider.select(CatchUp, where)},
    )


def _undecided(
    decider: Store, wishes: Mapping[str, int], states: Mapping[tuple[str, str], Mapping[tuple[str, str], int]]
) -> Counter[tuple[str, str]]:
    """The wanted drivers without a link. Every link has a wish, so that mostly the numbers alone tell."""
    links = {place: sum(counts.values()) for place, counts in states.items()}
    places = {
        (account, str(target))
        for account in wishes
        for target in Target
        if links.get((account, str(target)), 0) != wishes[account]
    }
    if not places:
        return Counter()
    # Of as many accounts as these may be, a list of names would not fit into one query.
    names = sorted({account for account, _ in places})
    where: Where = {"account": names} if len(names) <= _MOST_NAMED else {}
    linked = {tuple(map(str, each)) for each in decider.count(LinkRow, where, by=["account", "target", "driver"])}
    wanted = decider.count(WishRow, {**where, "is_wanted": True}, by=["account", "driver"])
    return Counter(
        (str(account), target)
        for account, driver in wanted
        for target in map(str, Target)
        if (account, target) in places and (account, target, driver) not in linked
    )


def _account_status(row: AccountRow, readiness: Mapping[Target, Readiness], figures: _Figures) -> AccountStatus:
    return AccountStatus(
        account=row.account,
        tier=row.tier,
        is_on=row.is_on,
        drivers=figures.wanted.get(row.account, 0),
        targets=tuple(_target_status(readiness[target], figures) for target in Target),
    )


def _due_at(readiness: Readiness) -> datetime | None:
    """When the next daily sweep begins: there is none before the first walk under the present terms."""
    account, walk = readiness.account, readiness.walk
    if walk is None or not readiness.is_walked or account.mode(readiness.target) is Mode.OFF:
        return None
    return next_sweep(account.account, readiness.target, account.sweep_at, datetime.fromisoformat(walk.at))


def _target_status(readiness: Readiness, figures: _Figures) -> TargetStatus:
    account, target = readiness.account, readiness.target
    place = (str(account.account), str(target))
    counts = figures.states.get(place, {})
    states: Counter[str] = Counter()
    for (state, _), links in counts.items():
        states[state] += links
    return TargetStatus(
        target=str(target),
        mode=str(account.modes.get(target, "off")),
        is_walked=readiness.is_walked,
        walked_at=datetime.fromisoformat(readiness.walk.at) if readiness.walk else None,
        failure=readiness.failure.failure if readiness.failure else "",
        failing_since=datetime.fromisoformat(readiness.failure.at) if readiness.failure else None,
        outage=f"{readiness.outage.reason}: {readiness.outage.detail}" if readiness.outage else "",
        stopped_since=datetime.fromisoformat(readiness.outage.at) if readiness.outage else None,
        is_catching_up=place in figures.catching_up,
        swept_at=datetime.fromisoformat(readiness.sweep.at) if readiness.sweep else None,
        sweep_due_at=_due_at(readiness),
        in_step=states["in_step"],
        pending=states["pending"],
        parked={reason: links for (state, reason), links in counts.items() if state == "parked"},
        held=states["held"],
        kept=states["kept"],
        ended=states["ended"],
        undecided=figures.undecided.get(place, 0),
        strays=figures.strays.get(place, 0),
    )
