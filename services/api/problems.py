"""What a request can be refused for: one table of kinds, their problem details (RFC 9457), and the page of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from domain.account import NotPermitted
from domain.portal import NotErasable
from domain.ports import CredentialsUnreadable
from domain.store import StoreConflict, StoreFailed
from services.accounts.handlers import UnknownAccount
from services.api import (
    API_HEADER,
    dead_letters,
    encryption,
    events,
    idempotency,
    issues,
    planner,
    push_secrets,
    reconciliations,
    sign_in,
    streaming,
)
from services.api.authentication import SignInFailed
from services.api.description import PROBLEM_TYPE
from services.api.installation import ServiceDown
from services.api.permissions import Forbidden, NotAsSeen, Unauthenticated
from services.api.routing import RateExceeded
from services.api.schema import FieldError, Malformed, Problem, field_errors, in_one_line
from services.capsules.capsule import CapsuleUnusable
from services.intake.handlers import ReKeyingHeld, SnapshotRefused, UnknownDriver
from services.intake.pushing import PushIdReused
from services.webhooks.endpoints import EndpointRefused, UnknownEndpoint

PAGE = "/problems"
"""Where the API serves the page of all kinds; it is the same as `docs/reference/problems.md`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemKind:
    """A kind of refusal: its anchor on the page, its title, its status, and what a caller can do about it."""

    slug: str
    title: str
    status: HTTPStatus
    advice: str

    @property
    def type(self) -> str:
        """The URI reference by which clients tell kinds apart."""
        return f"{PAGE}#{self.slug}"


def _kind(slug: str, title: str, status: int, advice: str) -> ProblemKind:
    return ProblemKind(slug=slug, title=title, status=HTTPStatus(status), advice=advice)


_READ_AGAIN = "Read the state again, and repeat the request if it still makes sense."
_LATER = "The service may be restarting: look whether a command took effect, and repeat the request if it did not."

INVALID_REQUEST = _kind(
    "invalid-request",
    "The request is not as it should be",
    400,
    "Change the fields that `errors` names; the same request is refused again.",
)
UNAUTHENTICATED = _kind(
    "unauthenticated",
    "The request does not prove whose it is",
    401,
    "Send an API key as `Authorization: Bearer`, or sign in with a browser.",
)
FORBIDDEN = _kind(
    "forbidden",
    "Whose request it is may not do this",
    403,
    "`detail` says which role it takes; an admin grants roles.",
)
NOT_FOUND = _kind("not-found", "There is no such path", 404, "See the paths in `/v1/openapi.json`.")
WRONG_METHOD = _kind(
    "wrong-method", "The path does not take this method", 405, "The `Allow` header names those it takes."
)
TOO_SLOW = _kind("too-slow", "The body did not come in time", 408, "Send it in parts, or over a better connection.")
TOO_LARGE = _kind("too-large", "The request is too large", 413, "Send it in parts.")
UNEXPECTED = _kind(
    "unexpected", "The services failed unexpectedly", 500, "The log of the services has the reason; report it."
)

KINDS: Mapping[type[Exception], ProblemKind] = {
    Unauthenticated: UNAUTHENTICATED,
    Forbidden: FORBIDDEN,
    Malformed: INVALID_REQUEST,
    RequestValidationError: INVALID_REQUEST,
    events.BadCursor: _kind(
        "invalid-cursor", "The cursor is of other logs", 400, "Begin without a cursor, or with the same `log`."
    ),
    dead_letters.BadName: _kind(
        "invalid-letter", "This is not the name of a dead letter", 400, "Take names from `GET /v1/dead-letters`."
    ),
    push_secrets.SignatureRefused: _kind(
        "not-signed",
        "The push is not signed as it has to be",
        401,
        "Check the clock and the secret; the answer is the same for an account that there is not.",
    ),
    push_secrets.PushSecretRefused: _kind(
        "push-secret", "The push secret of a sender cannot be made like this", 409, "`detail` says what to do."
    ),
    encryption.NoOtherMaster: _kind(
        "no-other-master-key", "There is no other master key to wrap keys by", 409, "`detail` says how to set one."
    ),
    EndpointRefused: _kind("webhook", "The webhook is not one that can do this", 409, "`detail` says what to do."),
    UnknownEndpoint: _kind(
        "unknown-webhook", "There is no such webhook, or no such message", 404, "List the account's webhooks again."
    ),
    PushIdReused: _kind(
        "push-id-reused", "Another body was accepted under this `webhook-id`", 409, "Give each push its own id."
    ),
    SignInFailed: _kind(
        "sign-in-failed", "Signing in did not work", 403, "Begin again at `/oidc/login`; `detail` says what was wrong."
    ),
    NotPermitted: _kind(
        "not-permitted",
        "The person or the account may not do this",
        403,
        "`detail` says who may, or what has to happen first.",
    ),
    UnknownAccount: _kind("unknown-account", "There is no such account", 404, "`GET /v1/accounts` lists all accounts."),
    sign_in.UnknownKey: _kind("unknown-key", "There is no such API key", 404, "`GET /v1/keys` lists all keys."),
    UnknownDriver: _kind(
        "unknown-driver", "There is no such driver", 404, "Use the Portal's id, a RefID or a Driveri DriverID."
    ),
    dead_letters.UnknownLetter: _kind(
        "unknown-letter",
        "There is no such dead letter",
        404,
        "It was handled or discarded, or never was there: list dead letters again.",
    ),
    CapsuleUnusable: _kind("no-capsule", "No capsule of the driver can be made", 409, "`detail` says why."),
    SnapshotRefused: _kind(
        "snapshot-refused",
        "The list cannot be accepted as a full snapshot",
        409,
        "`detail` says why, and what confirms that the list is right.",
    ),
    ReKeyingHeld: _kind(
        "rekeying-held", "The list would give drivers other identifiers", 409, "A person has to approve the re-keying."
    ),
    planner.PlanChanged: _kind(
        "plan-changed", "What would be done is not what was shown", 409, "Look at the plan again, and apply that one."
    ),
    planner.RosterUnreadable: _kind(
        "roster-unreadable", "A target's roster cannot be read", 409, "`detail` says which target, and why."
    ),
    NotErasable: _kind(
        "not-erasable", "The driver cannot be erased now", 409, "`detail` says why, and what has to be done first."
    ),
    StoreConflict: _kind("conflict", "Somebody else changed the same thing meanwhile", 409, _READ_AGAIN),
    sign_in.NoConsole: _kind(
        "no-console", "Links to sign in by are not taken here", 409, "Sign in with the provider of your organisation."
    ),
    issues.NothingToRetry: _kind(
        "nothing-to-retry", "Nothing can be retried", 409, "`detail` says why, and what would help."
    ),
    planner.NothingToPlan: _kind(
        "nothing-to-plan", "There is nothing to plan", 409, "`detail` says why, and what would help."
    ),
    reconciliations.NothingToReconcile: _kind(
        "nothing-to-reconcile", "Nothing can be reconciled", 409, "`detail` says why, and what would help."
    ),
    idempotency.KeyOutstanding: _kind(
        "idempotency-key-outstanding",
        "A request is outstanding for this Idempotency-Key",
        409,
        "Send the request again after `Retry-After`: it is then answered as the first one was.",
    ),
    idempotency.KeyReused: _kind(
        "idempotency-key-reused",
        "This Idempotency-Key is already used",
        422,
        "Give each command a key of its own, and send the same body with the same key.",
    ),
    NotAsSeen: _kind("not-as-seen", "It has changed since it was seen", 412, _READ_AGAIN),
    RateExceeded: _kind("rate-exceeded", "Too many requests were made", 429, "Wait for as long as `Retry-After` says."),
    streaming.TooManyStreams: _kind(
        "too-many-streams", "Too many streams are open", 429, "Close a stream, or let several readers share one."
    ),
    CredentialsUnreadable: _kind(
        "credentials-unreadable", "The stored credentials cannot be read", 409, "Check the services' secret key."
    ),
    ServiceDown: _kind(
        "service-down", "A service that is needed does not run", 503, "Start the service that `detail` names."
    ),
    StoreFailed: _kind("store-failed", "A store cannot be used", 503, _LATER),
}
"""The kind of each exception that refuses a request, or of the first of its classes that has one."""

_BY_STATUS = {kind.status: kind for kind in (NOT_FOUND, WRONG_METHOD, TOO_SLOW, TOO_LARGE)}


def all_kinds() -> list[ProblemKind]:
    """Every kind, once, by status and name."""
    known = {kind.slug: kind for kind in (*KINDS.values(), *_BY_STATUS.values(), UNEXPECTED)}
    return sorted(known.values(), key=lambda kind: (kind.status, kind.slug))


def to_problem(kind: ProblemKind, detail: str, errors: Iterable[FieldError] | None = None) -> Problem:
    """The problem details of a refusal of this kind."""
    return Problem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        detail=detail,
        errors=None if errors is None else list(errors),
    )


_log = structlog.get_logger()


def problem_at_end(failure: Exception, what: str) -> Problem:
    """The problem behind a failure that ends an answer of which a part was sent; `what` could not be made."""
    if isinstance(failure, tuple(KINDS)):
        return problem_of(failure)
    _log.error("answer broken off unexpectedly", what=what, exc_info=failure)
    error = f"{what} could not be made (unexpected {type(failure).__name__}); see the log of the services"
    return to_problem(UNEXPECTED, error)


def problem_of(refused: Exception) -> Problem:
    """The problem details of an exception of `KINDS`."""
    errors = refused.errors if isinstance(refused, Malformed) and refused.errors else None
    return to_problem(next(KINDS[each] for each in type(refused).__mro__ if each in KINDS), str(refused), errors)


def to_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A problem as the whole response."""
    return JSONResponse(problem.model_dump(exclude_none=True), problem.status, headers=headers, media_type=PROBLEM_TYPE)


async def refuse(_: Request, refused: Exception) -> JSONResponse:
    """What an exception of `KINDS` is answered with."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(refused, Unauthenticated) else None
    if isinstance(refused, streaming.TooManyStreams | RateExceeded | idempotency.KeyOutstanding):
        headers = {"Retry-After": str(refused.retry_after)}
    return to_response(problem_of(refused), headers)


async def refuse_malformed(_: Request, refused: Exception) -> JSONResponse:
    """A body or parameter that its model refuses: named by its field, without where in the request it stands."""
    assert isinstance(refused, RequestValidationError)  # noqa: S101 - registered for nothing else
    found = field_errors(_located(error) for error in refused.errors())
    return to_response(to_problem(INVALID_REQUEST, in_one_line(found), found))


def _located(error: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**error, "loc": () if error["type"] == "json_invalid" else error["loc"][1:]}


async def refuse_unknown(_: Request, refused: Exception) -> JSONResponse:
    """A path or method that is not there, or a body that is too large or not text."""
    assert isinstance(refused, HTTPException)  # noqa: S101 - registered for nothing else
    kind = _BY_STATUS.get(HTTPStatus(refused.status_code), INVALID_REQUEST)
    problem = to_problem(kind, str(refused.detail))
    return to_response(problem.model_copy(update={"status": refused.status_code}), refused.headers)


async def refuse_unexpected(_: Request, __: Exception) -> JSONResponse:
    """Whose response it is, is said here: what nothing foresaw is answered outside `Edge`, and then logged."""
    problem = to_problem(UNEXPECTED, "the services failed unexpectedly; see their log")
    return to_response(problem, {API_HEADER: "1"})


async def show_problems(_: Request) -> HTMLResponse:
    """The page to which the `type` of every problem leads."""
    parts = [
        f'<h2 id="{kind.slug}">{kind.slug}</h2>'
        f"<p>{kind.status.value} &middot; {escape(kind.title)}.</p><p>{escape(kind.advice)}</p>"
        for kind in all_kinds()
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Problems</title><h1>Problems</h1>{"".join(parts)}'
    )
    return HTMLResponse(page)
