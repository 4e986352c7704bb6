"""Whose request it is: by the socket it came through, by an API key, or by the cookie of a session."""

import ipaddress
from base64 import b64decode
from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.access import SESSION_LASTS, Access
from services.api.permissions import THE_OPERATOR, Forbidden, Principal, Unauthenticated

_ENTRANCE = "driverlink.entrance"
_LOCAL, _LOOPBACK = "local socket", "loopback"

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that a page of another site may as well use them."""

CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"

_HOW = "prove who asks: by an API key (`DRIVERLINK_API_KEY` for commands), or by signing in with a browser"


def at_local_socket(app: ASGIApp) -> ASGIApp:
    """The application at a local socket that only the operator can reach."""
    return _entered(app, _LOCAL)


def at_loopback(app: ASGIApp) -> ASGIApp:
    """The application at a port of the loopback address, where links to sign in by are good."""
    return _entered(app, _LOOPBACK)


def _entered(app: ASGIApp, entrance: str) -> ASGIApp:
    async def entered(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, _ENTRANCE: entrance}, receive, send)

    return entered


def is_at_loopback(request: Request) -> bool:
    """Whether it came through a port of the loopback address, and names it as such.

    A page of another site that had its name resolve to the loopback address would name its own host.
    """
    if request.scope.get(_ENTRANCE) != _LOOPBACK:
        return False
    host = request.url.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_secure(request: Request) -> bool:
    """Whether browsers come by HTTPS, be it to us or to a proxy before us."""
    provider = request.app.state.installation.provider
    return request.url.scheme == "https" or bool(provider and provider.settings.public_url.startswith("https://"))


def cookie_name(request: Request) -> str:
    """The cookie of a session. Cookies do not know ports, so one on loopback says which port it is for."""
    if is_secure(request):
        return "__Host-driverlink"
    return f"driverlink-{request.url.port or 80}"


def set_session(request: Request, response: Response, secret: str) -> None:
    """Give the browser the cookie of a session; scripts cannot read it, and other sites cannot send it with a form."""
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(SESSION_LASTS.total_seconds()),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


async def authenticate(request: Request, access: Access) -> Principal:
    """Whose request it is. Raises `Unauthenticated`, and `Forbidden` where another site could have sent it."""
    if request.scope.get(_ENTRANCE) == _LOCAL:
        return THE_OPERATOR
    if given := request.headers.get("authorization"):
        if (key := _key_in(given)) and (principal := await access.call(access.principal_of, key)):
            return principal
        raise Unauthenticated(f"the API key is not one that is in use: {_HOW}")
    secret = request.cookies.get(cookie_name(request), "")
    session = await access.call(access.session, secret) if secret else None
    if session is None:
        raise Unauthenticated(_HOW)
    if request.method not in SAFE and not compare_digest(await _csrf_of(request), session.csrf.encode()):
        raise Forbidden("the form or page is not of this session: load it again")
    return session.principal


def _key_in(header: str) -> str:
    """The key in an `Authorization` header: as a bearer, or as a password."""
    scheme, _, given = header.partition(" ")
    if scheme.casefold() == "bearer":
        return given.strip()
    if scheme.casefold() == "basic":
        try:
            return b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


_LARGEST_FORM = 100_000


async def _csrf_of(request: Request) -> bytes:
    """The token that a script sends as a header, and a form as a field."""
    if header := request.headers.get(CSRF_HEADER):
        return header.encode()
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if not is_form or int(request.headers.get("content-length") or _LARGEST_FORM) >= _LARGEST_FORM:
        return b""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    return fields.get(CSRF_FIELD, [""])[0].encode()
