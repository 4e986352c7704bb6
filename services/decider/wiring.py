"""The decider, put together."""

from functools import partial

from domain.storing import Row, Store
from services.accounts.read_models import AccountRow
from services.decider.handlers import Decider
from services.decider.read_models import (
    CatchUp,
    ClaimRow,
    DeleteRow,
    LinkRow,
    Look,
    OutageRow,
    Retry,
    RosterMark,
    RosterRow,
    SweepRow,
    UnreadableRow,
    WalkFailureRow,
    WalkRow,
    WishRow,
)
from services.planning.checking import PlanChecks
from services.planning.wiring import open_scratch
from services.runtime.clock import Clock
from services.runtime.logs import ACCOUNTS, CHANGES, REPORTS
from services.runtime.service import LINGER, Bell, Service
from services.runtime.share import Share

ROWS: tuple[type[Row], ...] = (
    AccountRow,
    WishRow,
    RosterRow,
    RosterMark,
    WalkRow,
    WalkFailureRow,
    UnreadableRow,
    OutageRow,
    LinkRow,
    ClaimRow,
    DeleteRow,
    SweepRow,
    Look,
    CatchUp,
    Retry,
)

open_rehearsal = partial(open_scratch, ROWS)
"""An empty store in which a sweep can be rehearsed."""


def to_service(store: Store, *, clock: Clock, bell: Bell, share: Share, linger: float = LINGER) -> Service:
    """The decider on its store, for the accounts of its share."""
    decider = Decider(store, clock, share)
    handlers = {
        ACCOUNTS: decider.on_accounts,
        CHANGES: decider.on_changes,
        **dict.fromkeys(REPORTS, decider.on_reports),
    }
    checks = PlanChecks(store, clock, in_hand=decider.planned_accounts, scratch=open_rehearsal)
    chores = [decider.look_again, checks.check_plans, decider.catch_up, decider.retry]
    return Service("decider", store=store, clock=clock, bell=bell, handlers=handlers, chores=chores, linger=linger)
