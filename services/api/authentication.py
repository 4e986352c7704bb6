"""Whose request it is: by the socket it came through, an API key, or the session of somebody who signed in.

Keys, sessions, and links to sign in by are in a store of the API's own. Only digests of secrets are stored; the
secrets are random, so that a plain digest cannot be searched. People sign in at an OpenID Connect provider by the code
flow with PKCE: Authlib makes the request and its challenge; the provider's tokens are checked by joserfc.
"""

import asyncio
import ipaddress
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from typing import Any, ClassVar
from urllib.parse import parse_qs

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.account import Role
from domain.cleaning import LONGEST, clean
from domain.store import JournalRow, Position, Row, Store, Unit
from services.api.permissions import (
    EVERYWHERE,
    GRANTED,
    OPERATOR,
    THE_OPERATOR,
    Forbidden,
    Grants,
    Principal,
    PrincipalKind,
    Unauthenticated,
)
from services.runtime.context import Clock
from services.runtime.service import P, T, Worker

SESSION_LASTS = timedelta(hours=12)
LINK_LASTS = timedelta(minutes=15)
LOGIN_LASTS = timedelta(minutes=10)
_MOST_FORGOTTEN = 100
"""Attempts to sign in, long over, that are removed at a time: each is begun by a stranger, who could begin many."""

_USE_KEPT_EVERY = timedelta(minutes=1)
_KEY = "dlk"
"""How each API key begins, so that scanners for leaked secrets know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRow(Row):
    """An API key: who made it, what it may do, and until when. `digest` is that of its secret."""

    TABLE: ClassVar[str] = "api_keys"
    KEY: ClassVar[tuple[str, ...]] = ("key_id",)

    key_id: str
    digest: str
    name: str
    grants: dict[str, list[str]]
    by: str
    at: str
    expires: str
    revoked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse(Row):
    """When an API key was used last, to the minute."""

    TABLE: ClassVar[str] = "key_uses"
    KEY: ClassVar[tuple[str, ...]] = ("key_id",)

    key_id: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow(Row):
    """Somebody who signed in with a browser. `session` is the digest of the cookie; `csrf` is what its forms carry."""

    TABLE: ClassVar[str] = "sessions"
    KEY: ClassVar[tuple[str, ...]] = ("session",)

    session: str
    who: str
    kind: str
    grants: dict[str, list[str]]
    csrf: str
    at: str
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLink(Row):
    """A link by which the operator signs in, once. `link` is the digest of its token."""

    TABLE: ClassVar[str] = "sign_in_links"
    KEY: ClassVar[tuple[str, ...]] = ("link",)

    link: str
    expires: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt(Row):
    """Somebody who is at the provider. `state` and `browser` are digests of what comes back with them.

    `verifier` and `nonce` prove to the provider and to us that it is the same attempt; `next` is where they want to.
    """

    TABLE: ClassVar[str] = "login_attempts"
    KEY: ClassVar[tuple[str, ...]] = ("state",)

    state: str
    browser: str
    verifier: str
    nonce: str
    next: str
    expires: str


ACCESS_ROWS: tuple[type[Row], ...] = (ApiKeyRow, KeyUse, SessionRow, SignInLink, LoginAttempt)


Noted = Callable[[ApiKeyRow], JournalRow]
"""What the journal says of what is done to a key, stored with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who is signed in, and the token without which no form of theirs is taken."""

    principal: Principal
    csrf: str


def digest_of(secret: str) -> str:
    """What is stored of a secret."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Access:
    """Keys, sessions and links on the API's store; `admin_key` is that of the installation's settings, if any."""

    def __init__(self, store: Store, clock: Clock, *, admin_key: str = "") -> None:
        self._store = store
        self._clock = clock
        self._admin_digest = digest_of(admin_key) if admin_key else ""
        self._worker = Worker("access")

    @property
    def store(self) -> Store:
        """What all of this is kept in; used only within `call`."""
        return self._store

    def on(self, store: Store) -> "Access":
        """The same on another store, such as one that holds back what is stored."""
        other = copy(self)
        other._store = store  # noqa: SLF001 - of the same class
        return other

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do one of the following, after whatever is being done now. Raises what that does, and `WorkerClosed`."""
        return await self._worker.call(work, *args, **kwargs)

    def create_key(
        self, name: str, grants: Grants, *, by: str, expires: datetime | None, noted: Noted | None = None
    ) -> tuple[ApiKeyRow, str]:
        """A new API key, and the text that is shown only now."""
        secret, key_id = token_urlsafe(32), token_hex(6)
        row = ApiKeyRow(
            key_id=key_id,
            digest=digest_of(secret),
            name=name,
            grants=_to_json(grants),
            by=by,
            at=self._clock().isoformat(),
            expires=expires.isoformat() if expires else "",
            revoked="",
        )
        self._commit(row, *([noted(row)] if noted else []))
        return row, f"{_KEY}_{key_id}_{secret}"

    def keys(self) -> list[tuple[ApiKeyRow, str]]:
        """Every API key with when it was used last, the newest first."""
        uses = {use.key_id: use.at for use in self._store.select(KeyUse)}
        rows = sorted(self._store.select(ApiKeyRow), key=lambda row: row.at, reverse=True)
        return [(row, uses.get(row.key_id, "")) for row in rows]

    def revoke_key(self, key_id: str, noted: Noted | None = None) -> ApiKeyRow | None:
        """Let a key be refused from now on; None where there is none of this id."""
        rows = self._store.select(ApiKeyRow, {"key_id": key_id})
        if not rows:
            return None
        if rows[0].revoked:
            return rows[0]
        row = replace(rows[0], revoked=self._clock().isoformat())
        self._commit(row, *([noted(row)] if noted else []))
        return row

    def principal_of(self, key: str) -> Principal | None:
        """Whose key this is; None where it is not one that is in use. Keeps that it was used."""
        if self._admin_digest and compare_digest(digest_of(key), self._admin_digest):
            return Principal(who="key:admin", kind=PrincipalKind.KEY, grants={EVERYWHERE: frozenset({Role.ADMIN})})
        prefix, _, rest = key.partition("_")
        key_id, _, secret = rest.partition("_")
        rows = self._store.select(ApiKeyRow, {"key_id": key_id}) if prefix == _KEY and key_id.isalnum() else []
        now = self._clock()
        if not rows or not compare_digest(digest_of(secret), rows[0].digest) or _is_over(rows[0], now):
            return None
        used = next((use.at for use in self._store.select(KeyUse, {"key_id": key_id})), "")
        if not used or now - datetime.fromisoformat(used) >= _USE_KEPT_EVERY:
            self._commit(KeyUse(key_id=key_id, at=now.isoformat()))
        return Principal(who=f"key:{rows[0].name}", kind=PrincipalKind.KEY, grants=_to_grants(rows[0].grants))

    def make_link(self) -> str:
        """A token that lets the operator sign in once."""
        token = token_urlsafe(32)
        self._commit(SignInLink(link=digest_of(token), expires=(self._clock() + LINK_LASTS).isoformat()))
        return token

    def use_link(self, token: str) -> bool:
        """Whether this token lets the operator in, now and not again."""
        link = digest_of(token)
        rows = self._store.select(SignInLink, {"link": link})
        unit = Unit(positions=[Position(name=f"sign-in-link/{link}", at=1)] if rows else [])
        unit.remove(SignInLink, {"link": link})
        is_first = self._store.commit(unit)
        return bool(rows) and is_first and datetime.fromisoformat(rows[0].expires) > self._clock()

    def begin_login(self, next: str) -> tuple[LoginAttempt, str, str]:  # noqa: A002 - as it is called on the web
        """Somebody goes to the provider: the attempt, its state, and the secret of their browser's cookie."""
        state, browser, unit, now = token_urlsafe(32), token_urlsafe(32), Unit(), self._clock()
        for row in self._store.select(LoginAttempt, order_by="expires", limit=_MOST_FORGOTTEN):
            if datetime.fromisoformat(row.expires) <= now:
                unit.remove(LoginAttempt, {"state": row.state})
        attempt = LoginAttempt(
            state=digest_of(state),
            browser=digest_of(browser),
            verifier=token_urlsafe(48),
            nonce=token_urlsafe(32),
            next=next,
            expires=(now + LOGIN_LASTS).isoformat(),
        )
        unit.keep([attempt])
        self._store.commit(unit)
        return attempt, state, browser

    def end_login(self, state: str, browser: str) -> LoginAttempt | None:
        """The attempt with which a browser comes back, once; None where it did not begin there."""
        rows = self._store.select(LoginAttempt, {"state": digest_of(state)})
        if not rows or not compare_digest(rows[0].browser, digest_of(browser)):
            return None
        unit = Unit(positions=[Position(name=f"login/{rows[0].state}", at=1)])
        unit.remove(LoginAttempt, {"state": rows[0].state})
        is_first = self._store.commit(unit)
        return rows[0] if is_first and datetime.fromisoformat(rows[0].expires) > self._clock() else None

    def open_session(self, principal: Principal, *, instead_of: str = "") -> str:
        """Sign somebody in: a new secret for their cookie, whatever cookie they came with."""
        secret, now = token_urlsafe(32), self._clock()
        unit = Unit()
        over = [row.session for row in self._store.select(SessionRow) if datetime.fromisoformat(row.expires) <= now]
        for session in (*over, *([digest_of(instead_of)] if instead_of else [])):
            unit.remove(SessionRow, {"session": session})
        row = SessionRow(
            session=digest_of(secret),
            who=principal.who,
            kind=principal.kind,
            grants=_to_json(principal.grants),
            csrf=token_urlsafe(32),
            at=now.isoformat(),
            expires=(now + SESSION_LASTS).isoformat(),
        )
        unit.keep([row])
        self._store.commit(unit)
        return secret

    def session(self, secret: str) -> Session | None:
        """Who is signed in by the cookie with this secret."""
        rows = self._store.select(SessionRow, {"session": digest_of(secret)})
        if not rows or datetime.fromisoformat(rows[0].expires) <= self._clock():
            return None
        row = rows[0]
        principal = Principal(who=row.who, kind=PrincipalKind(row.kind), grants=_to_grants(row.grants))
        return Session(principal=principal, csrf=row.csrf)

    def close_session(self, secret: str) -> None:
        """Sign somebody out."""
        unit = Unit()
        unit.remove(SessionRow, {"session": digest_of(secret)})
        self._store.commit(unit)

    def forget(self, account: str) -> None:
        """Grant nothing on an account any longer: another one may have its id later."""
        unit = Unit()
        for key in self._store.select(ApiKeyRow):
            grants = _without(key.grants, account)
            if grants:
                unit.keep([replace(key, grants=grants)])
            else:
                unit.remove(ApiKeyRow, {"key_id": key.key_id})
                unit.remove(KeyUse, {"key_id": key.key_id})
        unit.keep(replace(row, grants=_without(row.grants, account)) for row in self._store.select(SessionRow))
        self._store.commit(unit)

    def close(self) -> None:
        """End after the work in hand, and close the store."""
        self._worker.close()
        self._store.close()

    def _commit(self, *rows: Row) -> None:
        unit = Unit()
        unit.keep(rows)
        self._store.commit(unit)


def _is_over(row: ApiKeyRow, now: datetime) -> bool:
    return bool(row.revoked) or (bool(row.expires) and datetime.fromisoformat(row.expires) <= now)


def _without(grants: Mapping[str, list[str]], account: str) -> dict[str, list[str]]:
    return {place: roles for place, roles in grants.items() if place.lower() != account.lower()}


def _to_json(grants: Grants) -> dict[str, list[str]]:
    return {account: sorted(map(str, roles)) for account, roles in sorted(grants.items())}


def _to_grants(stored: Mapping[str, list[str]]) -> Grants:
    return {account: frozenset(map(Role, roles)) for account, roles in stored.items()}


_ENTRANCE = "driverlink.entrance"
_LOCAL, _LOOPBACK = "local socket", "loopback"

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that a page of another site may as well use them."""

CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"

_HOW = (
    "prove who asks: by an API key (for commands by `driverlink login`, or as `DRIVERLINK_API_KEY`), or by signing in "
    "with a browser"
)


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


_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
"""Signatures with a key pair; one with the client's secret, or none, is not taken."""

_PATIENCE = 10.0
_LEEWAY = 60
"""Seconds that the provider's clock may differ."""


class SignInFailed(Exception):
    """Signing in with the provider did not work; the message says why, without what the provider sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """The provider, our client there, and `public_url`, where browsers reach the API.

    `user_claim` is what names a person, as the Portal does; `roles_claim` lists their roles, each `ROLE` or
    `ROLE:ACCOUNT`.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    public_url: str
    user_claim: str
    roles_claim: str

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.public_url}/oidc/callback"


class Provider:
    """An OpenID Connect provider, as our API uses it."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._metadata: Mapping[str, Any] = {}

    async def address(self, attempt: LoginAttempt, state: str) -> str:
        """Where a browser signs in. Raises `SignInFailed`."""
        metadata = await self._described()
        uri: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            client_id=self.settings.client_id,
            response_type="code",
            redirect_uri=self.settings.redirect_uri,
            scope="openid profile email",
            state=state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return uri

    async def principal(self, code: str, attempt: LoginAttempt) -> Principal:
        """Who has signed in, by the code that the provider sent them with. Raises `SignInFailed`."""
        metadata = await self._described()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "code_verifier": attempt.verifier,
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
        }
        granted = await self._ask("POST", metadata["token_endpoint"], form)
        keys = await self._ask("GET", metadata["jwks_uri"])
        claims = self._checked(str(granted.get("id_token", "")), keys, attempt.nonce)
        who = _user_in(claims, self.settings.user_claim)
        return Principal(
            who=who, kind=PrincipalKind.PERSON, grants=to_grants(claims.get(self.settings.roles_claim) or ())
        )

    def _checked(self, token: str, keys: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = jwt.decode(token, KeySet.import_key_set(dict(keys)), algorithms=_ALGORITHMS).claims  # type: ignore[arg-type]
            registry.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as wrong:
            raise SignInFailed(f"the provider's token is not good: {type(wrong).__name__}") from None
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise SignInFailed("the provider's token is for another client")
        return claims

    async def _described(self) -> Mapping[str, Any]:
        """What the provider says of itself, once."""
        if not self._metadata:
            address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = await self._ask("GET", address)
            if found.get("issuer") != self.settings.issuer:
                raise SignInFailed("the provider calls itself otherwise than DRIVERLINK_OIDC_ISSUER")
            if lacking := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys():
                raise SignInFailed(f"the provider does not state its {min(lacking)}")
            self._metadata = found
        return self._metadata

    async def _ask(self, method: str, address: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(_PATIENCE), httpx.AsyncClient(timeout=_PATIENCE) as client:
                answer = await client.request(method, address, data=form)
                found = answer.raise_for_status().json()
        except (httpx.HTTPError, TimeoutError, ValueError) as failure:
            raise SignInFailed(f"the provider does not answer as it should: {type(failure).__name__}") from None
        if not isinstance(found, dict):
            raise SignInFailed("the provider does not answer as it should: not an object")
        return found


def _user_in(claims: Mapping[str, Any], claim: str) -> str:
    """Who has signed in, by exactly what the provider states: nothing is made of it that another person is called.

    Raises `SignInFailed`.
    """
    who = claims.get(claim)
    if not isinstance(who, str) or not who or who == OPERATOR or who.startswith("key:"):
        raise SignInFailed(f"the provider states no user name in the claim {claim}")
    if clean(who, LONGEST["driver"]) != who:
        raise SignInFailed(f"the user name in the claim {claim} holds blanks or characters that cannot be seen")
    if claim == "email" and claims.get("email_verified") is not True:
        raise SignInFailed("the provider has not verified this e-mail address")
    return who


def to_grants(stated: object) -> Grants:
    """The roles in a claim, a list or words: what is not a role that can be granted is left out."""
    words: Iterable[object] = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else ()
    grants: dict[str, frozenset[Role]] = {}
    for word in words:
        role, _, account = str(word).partition(":")
        if role in GRANTED:
            place = account or EVERYWHERE
            grants[place] = grants.get(place, frozenset()) | {Role(role)}
    return grants
