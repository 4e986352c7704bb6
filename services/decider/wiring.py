"""The decider, put together."""

from domain.storing import Row, Store, Stream
from services.accounts.read_models import AccountRow
from services.decider.handlers import Decider
from services.decider.read_models import (
    CatchUp,
    ClaimRow,
    DeleteRow,
    LinkRow,
    Look,
    RosterMark,
    RosterRow,
    WalkFailureRow,
    WalkRow,
    WishRow,
)
from services.runtime.clock import Clock
from services.runtime.following import Feed
from services.runtime.service import Bell, Service

LOG = "driver-links.decisions.v1"

ROWS: tuple[type[Row], ...] = (
    AccountRow,
    WishRow,
    RosterRow,
    RosterMark,
    WalkRow,
    WalkFailureRow,
    LinkRow,
    ClaimRow,
    DeleteRow,
    Look,
    CatchUp,
)


def to_service(
    store: Store, *, accounts: Stream, changes: Stream, reports: tuple[Stream, ...], clock: Clock, bell: Bell
) -> Service:
    """The decider on its store, following these streams."""
    decider = Decider(store, clock)
    feeds = [
        Feed(stream=accounts, handler=decider.on_accounts),
        Feed(stream=changes, handler=decider.on_changes),
        *(Feed(stream=stream, handler=decider.on_reports) for stream in reports),
    ]
    return Service(
        "decider", store=store, clock=clock, bell=bell, feeds=feeds, chores=[decider.look_again, decider.catch_up]
    )
