"""What commands ask of the process that owns the data folder: a small web application on its local socket.

A command that finds nobody owning the folder opens it, and asks the same application in its own process.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.account import NotPermitted
from domain.ports import CredentialsUnreadable
from domain.store import StoreConflict, StoreFailed
from services.accounts.handlers import UnknownAccount
from services.api.accounts import AccountRoutes
from services.api.approvals import ApprovalRoutes
from services.api.dead_letters import BadName, DeadLetterRoutes, UnknownLetter
from services.api.drivers import DriverRoutes
from services.api.events import BadCursor
from services.api.installation import Installation
from services.api.issues import IssueRoutes, NothingToRetry
from services.api.messages import Malformed
from services.api.plans import NothingToPlan, PlanRoutes
from services.api.reconciliations import NothingToReconciliation, ReconciliationRoutes
from services.api.rekeyings import ReKeyingRoutes
from services.api.status import AskingRoutes
from services.intake.handlers import SnapshotRefused, UnknownDriver
from services.intake.rekeying import ReKeyingHeld

_STATUS: dict[type[Exception], int] = {
    Malformed: 400,
    BadCursor: 400,
    BadName: 400,
    NotPermitted: 403,
    UnknownAccount: 404,
    UnknownDriver: 404,
    UnknownLetter: 404,
    SnapshotRefused: 409,
    ReKeyingHeld: 409,
    StoreConflict: 409,
    NothingToRetry: 409,
    NothingToPlan: 409,
    NothingToReconciliation: 409,
    CredentialsUnreadable: 409,
    StoreFailed: 503,
}


def to_app(installation: Installation) -> Starlette:
    """The application of one process; a refused request answers `{"error": one line}`."""
    parts = (
        AccountRoutes(installation),
        DriverRoutes(installation),
        ApprovalRoutes(installation),
        IssueRoutes(installation),
        ReKeyingRoutes(installation),
        PlanRoutes(installation),
        ReconciliationRoutes(installation),
        AskingRoutes(installation),
        DeadLetterRoutes(installation),
    )
    routes = [route for part in parts for route in part.routes()]
    return Starlette(routes=routes, exception_handlers=dict.fromkeys(_STATUS, _refuse))


async def _refuse(_: Request, refused: Exception) -> Response:
    status = next(status for kind, status in _STATUS.items() if isinstance(refused, kind))
    return JSONResponse({"error": str(refused)}, status)
