"""How every account stands with its targets, in numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from domain.account import Mode
from domain.identity import Key, Target
from domain.schedule import next_sweep
from domain.storing import Row, Store, Where
from services.accounts.read_models import AccountRow
from services.asking.answers import Answer
from services.asking.readiness import Readiness, readiness_of
from services.asking.waiting import Waiting
from services.decider.read_models import CatchUp, LinkRow, RosterRow, SweepRow, WishRow
from services.decider.strays import stray_marks

_PAGE = 500


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

    Raises `StoreFailed`.
    """
    where = {} if accounts is None else {"account": sorted(set(accounts))}
    return [_account_status(decider, row) for row in decider.select(AccountRow, where, order_by="account")]


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


def _account_status(decider: Store, row: AccountRow) -> AccountStatus:
    readiness = readiness_of(decider, row.account)
    return AccountStatus(
        account=row.account,
        tier=row.tier,
        is_on=row.is_on,
        drivers=_count(decider, WishRow, {"account": row.account, "is_wanted": True}),
        targets=tuple(_target_status(decider, readiness[target]) for target in Target),
    )


def _undecided(decider: Store, place: Mapping[str, str]) -> int:
    """The wanted drivers without a link. Every link has a wish, so that mostly the numbers alone tell."""
    account = {"account": place["account"]}
    if _count(decider, LinkRow, place) == _count(decider, WishRow, account):
        return 0
    wanted = decider.count(WishRow, {**account, "is_wanted": True}, by=["driver"])
    return len(wanted.keys() - decider.count(LinkRow, place, by=["driver"]).keys())


def _due_at(readiness: Readiness) -> datetime | None:
    """When the next daily sweep begins: there is none before the first walk under the present terms."""
    account, walk = readiness.account, readiness.walk
    if walk is None or not readiness.is_walked or account.mode(readiness.target) is Mode.OFF:
        return None
    return next_sweep(account.account, readiness.target, account.sweep_at, datetime.fromisoformat(walk.at))


def _count(decider: Store, row: type[Row], where: Where) -> int:
    return sum(decider.count(row, where).values())


def _target_status(decider: Store, readiness: Readiness) -> TargetStatus:
    account, target = readiness.account, readiness.target
    place = {"account": str(account.account), "target": str(target)}
    counts = decider.count(LinkRow, place, by=("state", "reason"))
    states: Counter[str] = Counter()
    for (state, _), links in counts.items():
        states[str(state)] += links
    return TargetStatus(
        target=str(target),
        mode=str(account.modes.get(target, "off")),
        is_walked=readiness.is_walked,
        walked_at=datetime.fromisoformat(readiness.walk.at) if readiness.walk else None,
        failure=readiness.failure.failure if readiness.failure else "",
        failing_since=datetime.fromisoformat(readiness.failure.at) if readiness.failure else None,
        outage=f"{readiness.outage.reason}: {readiness.outage.detail}" if readiness.outage else "",
        stopped_since=datetime.fromisoformat(readiness.outage.at) if readiness.outage else None,
        is_catching_up=_count(decider, CatchUp, place) > 0,
        swept_at=next((datetime.fromisoformat(row.at) for row in decider.select(SweepRow, place)), None),
        sweep_due_at=_due_at(readiness),
        in_step=states["in_step"],
        pending=states["pending"],
        parked={str(reason): links for (state, reason), links in counts.items() if state == "parked"},
        held=states["held"],
        kept=states["kept"],
        ended=states["ended"],
        undecided=_undecided(decider, place),
        strays=len(stray_marks(decider, account.account, target)),
    )
