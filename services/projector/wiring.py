"""A projector, put together."""

from domain.identity import Target
from domain.storing import Row, Store, Stream
from services.accounts.read_models import AccountRow
from services.projector.app import Connecting, ProjectorApp
from services.projector.handlers import Wishes
from services.projector.jobs import Jobs
from services.projector.read_models import DeliveryRow, RosterRow, StartedCall, Task, WalkRow, WishedRow
from services.projector.reporting import Reporting
from services.projector.walking import Walks
from services.runtime.clock import Clock
from services.runtime.following import Feed
from services.runtime.service import Bell, Service

LOG = "targets.reports.v1"

ROWS: tuple[type[Row], ...] = (AccountRow, WishedRow, DeliveryRow, RosterRow, WalkRow, Task, StartedCall)


def to_app(
    store: Store,
    target: Target,
    *,
    accounts: Stream,
    decisions: Stream,
    connect: Connecting,
    clock: Clock,
    bell: Bell,
) -> ProjectorApp:
    """The projector of this target on its store, following these streams."""
    wishes = Wishes(store, target, clock)
    feeds = [
        Feed(stream=accounts, handler=wishes.on_accounts),
        Feed(stream=decisions, handler=wishes.on_decisions),
    ]
    return ProjectorApp(
        Service(f"projector-{target}", store=store, clock=clock, bell=bell, feeds=feeds),
        wishes=wishes,
        jobs=Jobs(store, target, clock),
        reporting=Reporting(store, target, clock),
        walks=Walks(store, target, clock),
        connect=connect,
        bell=bell,
    )
