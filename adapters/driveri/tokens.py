"""Access tokens: one for all callers, renewed in time, and never a third of one API key.

Source: driveri-python-sdk 1.0.0.
"""

import asyncio
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import httpx

from adapters.driveri.access import DriveriAccess
from adapters.driveri.wire import ActiveTokens, NewToken, TokenRow, words_of
from adapters.http import Call, Clock, Intent, Sender, parsed, refusal
from domain.failures import TargetFailed

MOST_ACTIVE: Final = 2
"""Driveri keeps at most so many active tokens for one API key."""

LONGEST_MARGIN: Final = 300.0
"""A token is renewed after nine tenths of the time it had left when we got it, but at most so many seconds early."""

WORTH_REUSING: Final = 60.0
"""An active token is taken over if it lasts at least so many seconds more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token. `renew_at` is in seconds since the epoch; `is_ours` if we asked for it."""

    secret: str = field(repr=False)
    renew_at: float
    is_ours: bool

    def headers(self) -> dict[str, str]:
        """What a call carries."""
        return {"Authorization": f"Bearer {self.secret}"}


class Tokens:
    """The access tokens of one API key."""

    def __init__(self, access: DriveriAccess, sender: Sender, clock: Clock) -> None:
        pair = b64encode(f"{access.client_id}:{access.client_secret}".encode()).decode()
        self._basic = {"Authorization": f"Basic {pair}"}
        self._sender = sender
        self._clock = clock
        self._token: Token | None = None
        self._refused = ""
        self._renewal: asyncio.Task[Token] | None = None

    async def current(self) -> Token:
        """The token to call with; callers who need a new one at the same time share one renewal.

        Raises `TargetFailed` when there is none to be had.
        """
        if self._token is not None and self._clock() < self._token.renew_at:
            return self._token
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
        return await asyncio.shield(self._renewal)

    def refuse(self, token: Token) -> None:
        """Driveri does not take this token any more."""
        self._refused = token.secret
        if self._token == token:
            self._token = None

    async def let_go(self) -> None:
        """Give our token back, so that it does not count against the API key's limit."""
        token, self._token = self._token, None
        if token is None or not token.is_ours:
            return
        try:
            await self._sender.send(_revoking("/v1/auth/token/revoke"), token.headers())
        except TargetFailed:
            return  # it expires by itself

    async def _renew(self) -> Token:
        active = await self._active()
        self._token = self._reusable(active) or await self._new(active)
        return self._token

    async def _active(self) -> tuple[TokenRow, ...]:
        reply = await self._sender.send(Call(path="/v1/auth/tokens"), self._basic)
        if reply.status_code == httpx.codes.NOT_FOUND or (reply.is_success and not reply.content):
            return ()
        return parsed(_accepted(reply), ActiveTokens).data

    def _reusable(self, active: tuple[TokenRow, ...]) -> Token | None:
        soon = self._clock() + WORTH_REUSING
        shown = [row for row in active if row.access_token not in (None, "", self._refused)]
        lasting = [row for row in shown if row.expires_on / 1000 > soon]
        return self._taken(max(lasting, key=lambda row: row.expires_on), is_ours=False) if lasting else None

    async def _new(self, active: tuple[TokenRow, ...]) -> Token:
        reply = await self._ask()
        if reply.is_client_error and reply.status_code != httpx.codes.UNAUTHORIZED and len(active) >= MOST_ACTIVE:
            await self._revoke_oldest(active)
            reply = await self._ask()
        return self._taken(parsed(_accepted(reply), NewToken).data, is_ours=True)

    async def _ask(self) -> httpx.Response:
        return await self._sender.send(Call(method="POST", path="/v1/auth/token"), self._basic)

    async def _revoke_oldest(self, active: tuple[TokenRow, ...]) -> None:
        oldest = min(active, key=lambda row: (row.access_token != self._refused, row.created_on, row.expires_on))
        await self._sender.send(_revoking(f"/v1/auth/token/revoke/{quote(oldest.access_token_id or '')}"), self._basic)

    def _taken(self, row: TokenRow, *, is_ours: bool) -> Token:
        left = row.expires_on / 1000 - self._clock()
        margin = min(LONGEST_MARGIN, left / 10)
        return Token(secret=row.access_token or "", renew_at=row.expires_on / 1000 - margin, is_ours=is_ours)


def _revoking(path: str) -> Call:
    return Call(method="DELETE", path=path, intent=Intent.WRITE)


def _accepted(reply: httpx.Response) -> httpx.Response:
    if reply.is_success:
        return reply
    raise TargetFailed(refusal(reply, words_of(reply), {}))
