"""`/v1/keys` and `/v1/principal`, `/sign-in`, `/oidc` and `/sign-out`: how machines get keys, and browsers sessions."""

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import Field

from services.accounts.handlers import account_of
from services.api.authentication import (
    LOGIN_LASTS,
    ApiKeyRow,
    Noted,
    SignInFailed,
    authenticate,
    cookie_name,
    is_at_loopback,
    is_secure,
    set_session,
)
from services.api.installation import Installation
from services.api.journal import noted
from services.api.permissions import EVERYWHERE, THE_OPERATOR, Caller, GrantedRole, Unauthenticated
from services.api.routing import Called, GuardedRoute, Installed, new_router
from services.api.schema import Named, Reasoned, ResponseBody
from services.runtime.context import utc_now

pages = APIRouter(route_class=GuardedRoute, include_in_schema=False)
router = new_router("keys")


class NoConsole(Exception):
    """Browsers cannot sign in by a link here."""

    def __init__(self) -> None:
        super().__init__("only `driverlink up` takes links to sign in by: here people sign in with their provider")


class SignInLinkView(ResponseBody):
    """A link by which a browser on the same machine signs in, once and within a quarter of an hour."""

    url: str


async def new_link(installation: Installation) -> str:
    """A link by which the operator signs in with a browser on the same machine. Raises `NoConsole`."""
    if not installation.console:
        raise NoConsole
    token = await installation.access.call(installation.access.make_link)
    return f"{installation.console}/sign-in?token={token}"


@router.post("/sign-in-links", status_code=201)
async def make_sign_in_link(installation: Installed) -> SignInLinkView:
    """Make a link by which the operator signs in with a browser on the same machine."""
    return SignInLinkView(url=await new_link(installation))


@pages.get("/sign-in")
async def sign_in(request: Request, installation: Installed, token: str = "", next: str = "/") -> Response:  # noqa: A002 - as it is called on the web
    """Take a link that `driverlink up` has printed, on the machine where that runs."""
    access = installation.access
    if not is_at_loopback(request) or not await access.call(access.use_link, token):
        raise Unauthenticated(
            "this link was used already, is too old, or is not opened on the machine that it was printed on: "
            "`driverlink sign-in` prints another one"
        )
    former = request.cookies.get(cookie_name(request), "")
    secret = await access.call(access.open_session, THE_OPERATOR, instead_of=former)
    response = RedirectResponse(own_path(next), 303)
    set_session(request, response, secret)
    return response


_LOGIN_COOKIE = "driverlink-login"


@pages.get("/oidc/login")
async def begin_login(request: Request, installation: Installed, next: str = "/") -> Response:  # noqa: A002 - as it is called on the web
    """Go to the provider."""
    if installation.provider is None:
        raise SignInFailed("no provider is set up here: set DRIVERLINK_OIDC_ISSUER")
    # Each attempt is stored, and strangers begin them: all of them together have the rate of one client.
    request.app.state.rates.take(request.url.path)
    attempt, state, browser = await installation.access.call(installation.access.begin_login, own_path(next))
    response = RedirectResponse(await installation.provider.address(attempt, state), 303)
    response.set_cookie(
        _LOGIN_COOKIE,
        browser,
        max_age=int(LOGIN_LASTS.total_seconds()),
        path="/oidc",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return response


@pages.get("/oidc/callback")
async def end_login(request: Request, installation: Installed, state: str = "", code: str = "") -> Response:
    """Come back from the provider."""
    access, provider = installation.access, installation.provider
    attempt = await access.call(access.end_login, state, request.cookies.get(_LOGIN_COOKIE, ""))
    if provider is None or attempt is None:
        raise SignInFailed("this browser did not begin to sign in here, or too long ago")
    if not code:
        raise SignInFailed("the provider did not let this person in")
    principal = await provider.principal(code, attempt)
    former = request.cookies.get(cookie_name(request), "")
    secret = await access.call(access.open_session, principal, instead_of=former)
    response = RedirectResponse(attempt.next, 303)
    set_session(request, response, secret)
    response.delete_cookie(_LOGIN_COOKIE, path="/oidc")
    return response


@pages.post("/sign-out")
async def sign_out(request: Request, installation: Installed) -> Response:
    """End the session."""
    await authenticate(request, installation.access)
    name = cookie_name(request)
    await installation.access.call(installation.access.close_session, request.cookies.get(name, ""))
    response = RedirectResponse("/", 303)
    response.delete_cookie(name, path="/")
    return response


@pages.get("/")
async def show_start() -> Response:
    """The console is the start."""
    return RedirectResponse("/console/", 303)


def own_path(path: str) -> str:
    """The same if it is a path of our own, else the start: a link must not lead elsewhere after signing in."""
    return path if re.fullmatch(r"/(?![/\\])[!-\[\]-~]{0,2000}", path) else "/"


class UnknownKey(Exception):
    """There is no API key of this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no API key {key_id}; see `driverlink keys list`")


class CreateKey(Reasoned):
    """An API key with these roles on these accounts, or on every account and the installation."""

    name: Named
    roles: Annotated[frozenset[GrantedRole], Field(min_length=1)]
    accounts: tuple[Named, ...] = ()
    days: int | None = Field(default=None, ge=1, le=3650)


class ApiKey(ResponseBody):
    """An API key, without its secret. `accounts` is empty where it holds on all; times are empty where there are none.

    `used` is when it was used last, to the minute.
    """

    key_id: str
    name: str
    roles: list[str]
    accounts: list[str]
    by: str
    at: str
    expires: str
    used: str
    revoked: str


class CreatedKey(ApiKey):
    """A new API key. `key` is its text, which is shown only now."""

    key: str


class PrincipalView(ResponseBody):
    """Who a request comes from; `kind` is person, key or local, and `grants` are roles by account, `*` being all."""

    who: str
    kind: str
    grants: dict[str, list[str]]


@router.post("/keys", status_code=201)
async def create_key(body: CreateKey, caller: Called, installation: Installed) -> CreatedKey:
    """Make an API key."""
    readers = installation.readers
    accounts = [str((await readers.call(account_of, readers.accounts, each)).account) for each in body.accounts]
    expires = utc_now() + timedelta(days=body.days) if body.days else None
    grants = dict.fromkeys(accounts or [EVERYWHERE], body.roles)
    access, who = installation.access, caller.principal.who
    entry = _noting(caller, installation, "create_key", body)
    row, key = await access.call(access.create_key, body.name, grants, by=who, expires=expires, noted=entry)
    return CreatedKey(**dict(_to_view(row, "")), key=key)


@router.get("/keys")
async def list_keys(installation: Installed) -> list[ApiKey]:
    """List API keys, the newest first."""
    return [_to_view(row, used) for row, used in await installation.access.call(installation.access.keys)]


@router.post("/keys/{key_id}/revoked")
async def revoke_key(key_id: str, installation: Installed, caller: Called, body: Reasoned | None = None) -> ApiKey:
    """Refuse an API key from now on."""
    entry = _noting(caller, installation, "revoke_key", body)
    row = await installation.access.call(installation.access.revoke_key, key_id, entry)
    if row is None:
        raise UnknownKey(key_id)
    return _to_view(row, "")


def _noting(caller: Caller, installation: Installation, command: str, body: Reasoned | None) -> Noted:
    note = body.note if body else ""
    return lambda row: noted(caller, installation.clock, command, f"{row.key_id} ({row.name})", note)


@router.get("/principal")
async def show_principal(caller: Called) -> PrincipalView:
    """Show who the request comes from."""
    principal = caller.principal
    grants = {account: sorted(map(str, roles)) for account, roles in principal.grants.items()}
    return PrincipalView(who=principal.who, kind=principal.kind, grants=grants)


def _to_view(row: ApiKeyRow, used: str) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        roles=sorted({role for roles in row.grants.values() for role in roles}),
        accounts=sorted(account for account in row.grants if account != EVERYWHERE),
        by=row.by,
        at=row.at,
        expires=row.expires,
        used=used,
        revoked=row.revoked,
    )
