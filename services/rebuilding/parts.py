"""Which read models there are, and where they are made anew: in a folder, whatever keeps them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from domain.identity import Target
from domain.storing import Row, Store
from services.accounts.read_models import AccountRow
from services.control.installation import Installation
from services.decider import read_models as decider
from services.intake.read_models import KnownDriver
from services.projector import read_models as projector
from services.projector.app import ProjectorApp
from services.rebuilding import folds, links, rosters
from services.rebuilding.comparing import Difference
from services.rebuilding.rebuilding import Model, Part, Step, compare, make, swap
from services.rebuilding.wiring import open_beside

_FILES = "rebuild-"

READ_MODELS: frozenset[type[Row]] = frozenset(
    {
        AccountRow,
        KnownDriver,
        decider.WishRow,
        decider.RosterRow,
        decider.RosterMark,
        decider.WalkRow,
        decider.WalkFailureRow,
        decider.UnreadableRow,
        decider.OutageRow,
        decider.LinkRow,
        decider.ClaimRow,
        decider.DeleteRow,
        decider.SweepRow,
        projector.WishedRow,
        projector.DeliveryRow,
        projector.WalkRow,
        projector.BreakerRow,
        projector.RosterRow,
    }
)
"""The tables that are made anew, of all services."""


def rebuild(
    installation: Installation, folder: Path, *, is_check: bool, on_step: Callable[[Step], None]
) -> Iterator[tuple[str, Difference | None]]:
    """Each service's read models made anew in a folder: put in place or, in a check, compared. Raises `StoreFailed`."""
    made = parts(installation)
    with ExitStack() as stack:
        besides = {part.service: stack.enter_context(_beside(folder, part)) for part in made}
        make(made, besides, on_step, may_repeat=installation.may_repeat)
        for part in made:
            if not is_check:
                swap(part, besides[part.service])
            yield part.service, compare(part, besides[part.service]) if is_check else None


def parts(installation: Installation) -> list[Part]:
    """Every service's read models."""
    return [
        Part(
            service="accounts",
            store=installation.accounts_service.store,
            models=_as_made(AccountRow),
            folds={"accounts": [folds.accounts]},
            tables=(AccountRow,),
        ),
        Part(
            service="intake",
            store=installation.intake_service.store,
            models=_as_made(KnownDriver),
            folds={"intake": [folds.known_drivers]},
            tables=(KnownDriver,),
        ),
        _decider(installation),
        *(_projector(target, app) for target, app in installation.projectors.items()),
    ]


def _decider(installation: Installation) -> Part:
    made = (
        AccountRow,
        decider.WishRow,
        decider.RosterMark,
        decider.WalkRow,
        decider.WalkFailureRow,
        decider.UnreadableRow,
        decider.OutageRow,
        decider.LinkRow,
        decider.DeleteRow,
        decider.SweepRow,
    )
    followed = [rosters.followed, folds.followed_walks, folds.followed_outages]
    reports = {app.service.name: followed for app in installation.projectors.values()}
    return Part(
        service="decider",
        store=installation.decider_service.store,
        models=[
            *_as_made(*made),
            Model(row=decider.RosterRow, settled=rosters.followed_rows),
            Model(row=decider.ClaimRow, settled=links.claim_rows),
        ],
        folds={
            "accounts": [folds.accounts],
            "intake": [folds.wishes],
            "decider": [links.links, folds.sweeps],
            **reports,
        },
        tables=(*made, rosters.Followed, links.Claimant),
        finish=rosters.followed_marks,
    )


def _projector(target: Target, app: ProjectorApp) -> Part:
    made = (AccountRow, projector.WishedRow, projector.DeliveryRow, projector.WalkRow, projector.BreakerRow)
    return Part(
        service=app.service.name,
        store=app.service.store,
        models=[*_as_made(*made), Model(row=projector.RosterRow, settled=rosters.shown_rows)],
        folds={
            "accounts": [folds.accounts],
            "decider": [folds.wished(target)],
            app.service.name: [folds.deliveries, folds.walks, folds.breakers, rosters.shown],
        },
        tables=(*made, rosters.Shown),
    )


def _as_made(*rows: type[Row]) -> list[Model]:
    return [Model(row=row) for row in rows]


@contextmanager
def _beside(folder: Path, part: Part) -> Iterator[Store]:
    """An empty store for a service's read models, gone afterwards; so are the leftovers of one that was killed."""
    path = folder / f"{_FILES}{part.service}.sqlite"
    _remove(path)
    beside = open_beside(path, part.tables)
    try:
        yield beside
    finally:
        beside.close()
        _remove(path)


def _remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
