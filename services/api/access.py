"""What the API itself keeps, in a store of its own: API keys, sessions, and links to sign in by.

Only digests of secrets are stored; the secrets are random, so that a plain digest cannot be searched.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from typing import ClassVar

from domain.account import Role
from domain.store import Position, Row, Store, Unit
from services.api.permissions import EVERYWHERE, Grants, Principal, PrincipalKind
from services.runtime.context import Clock
from services.runtime.service import P, T, Worker

SESSION_LASTS = timedelta(hours=12)
LINK_LASTS = timedelta(minutes=15)
LOGIN_LASTS = timedelta(minutes=10)
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

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do one of the following, after whatever is being done now. Raises what that does, and `WorkerClosed`."""
        return await self._worker.call(work, *args, **kwargs)

    def create_key(self, name: str, grants: Grants, *, by: str, expires: datetime | None) -> tuple[ApiKeyRow, str]:
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
        self._commit(row)
        return row, f"{_KEY}_{key_id}_{secret}"

    def keys(self) -> list[tuple[ApiKeyRow, str]]:
        """Every API key with when it was used last, the newest first."""
        uses = {use.key_id: use.at for use in self._store.select(KeyUse)}
        rows = sorted(self._store.select(ApiKeyRow), key=lambda row: row.at, reverse=True)
        return [(row, uses.get(row.key_id, "")) for row in rows]

    def revoke_key(self, key_id: str) -> ApiKeyRow | None:
        """Let a key be refused from now on; None where there is none of this id."""
        rows = self._store.select(ApiKeyRow, {"key_id": key_id})
        if not rows:
            return None
        if rows[0].revoked:
            return rows[0]
        row = replace(rows[0], revoked=self._clock().isoformat())
        self._commit(row)
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
        for row in self._store.select(LoginAttempt):
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

    def close(self) -> None:
        """End after the work in hand, and close the store."""
        self._worker.close()
        self._store.close()

    def _commit(self, row: Row) -> None:
        unit = Unit()
        unit.keep([row])
        self._store.commit(unit)


def _is_over(row: ApiKeyRow, now: datetime) -> bool:
    return bool(row.revoked) or (bool(row.expires) and datetime.fromisoformat(row.expires) <= now)


def _to_json(grants: Grants) -> dict[str, list[str]]:
    return {account: sorted(map(str, roles)) for account, roles in sorted(grants.items())}


def _to_grants(stored: Mapping[str, list[str]]) -> Grants:
    return {account: frozenset(map(Role, roles)) for account, roles in stored.items()}
