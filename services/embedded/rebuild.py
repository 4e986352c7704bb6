"""Which read models the embedded shape has, and where they are made anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.identity import Target
from domain.storing import Store
from services.accounts.read_models import AccountRow
from services.decider import read_models as decider
from services.embedded.wiring import Embedded, open_beside
from services.intake.read_models import KnownDriver
from services.projector import read_models as projector
from services.projector.app import ProjectorApp
from services.rebuilding import folds
from services.rebuilding.rebuilding import Difference, FromHistories, FromLog, Part, Step, compare, make, swap


def rebuild(
    embedded: Embedded, folder: Path, *, is_check: bool, on_step: Callable[[Step], None]
) -> Iterator[tuple[str, Difference | None]]:
    """Each service's read models made anew: put in place or, in a check, compared. Raises `StoreFailed`."""
    for part in parts(embedded):
        with _beside(folder, part) as beside:
            make(part, beside, on_step)
            if is_check:
                yield part.service, compare(part, beside)
            else:
                swap(part, beside)
                yield part.service, None


def parts(embedded: Embedded) -> list[Part]:
    """Every service's read models."""
    accounts, intake = embedded.accounts_service.store, embedded.intake_service.store
    from_accounts = FromLog(stream=accounts.log, fold=folds.accounts)
    return [
        Part(
            service="accounts",
            store=accounts,
            models=(AccountRow,),
            sources=(FromLog(stream=accounts.log, fold=folds.accounts, is_own=True),),
        ),
        Part(
            service="intake",
            store=intake,
            models=(KnownDriver,),
            sources=(FromHistories(fold=folds.known_drivers),),
        ),
        _decider(embedded, from_accounts),
        *(_projector(embedded, target, app, from_accounts) for target, app in embedded.projectors.items()),
    ]


def _decider(embedded: Embedded, from_accounts: FromLog) -> Part:
    reports = (app.service.store.log for app in embedded.projectors.values())
    return Part(
        service="decider",
        store=embedded.decider_service.store,
        models=(
            AccountRow,
            decider.WishRow,
            decider.RosterRow,
            decider.RosterMark,
            decider.WalkRow,
            decider.WalkFailureRow,
            decider.LinkRow,
            decider.ClaimRow,
            decider.DeleteRow,
        ),
        sources=(
            from_accounts,
            FromLog(stream=embedded.intake_service.store.log, fold=folds.wishes),
            *(FromLog(stream=stream, fold=folds.rosters) for stream in reports),
            FromHistories(fold=folds.links),
        ),
    )


def _projector(embedded: Embedded, target: Target, app: ProjectorApp, from_accounts: FromLog) -> Part:
    store = app.service.store
    return Part(
        service=app.service.name,
        store=store,
        models=(AccountRow, projector.WishedRow, projector.DeliveryRow, projector.RosterRow, projector.WalkRow),
        sources=(
            from_accounts,
            FromLog(stream=embedded.decider_service.store.log, fold=folds.wished(target)),
            FromLog(stream=store.log, fold=folds.reports, is_own=True),
        ),
    )


@contextmanager
def _beside(folder: Path, part: Part) -> Iterator[Store]:
    """An empty store for a service's read models, gone afterwards; so are the leftovers of one that was killed."""
    path = folder / "rebuild.sqlite"
    _remove(path)
    beside = open_beside(path, part.models)
    try:
        yield beside
    finally:
        beside.close()
        _remove(path)


def _remove(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
