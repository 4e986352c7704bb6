"""Access tokens of one API key, which has at most two: all callers share one, and it is renewed in time.

No call for a token leaves the outcome of a driver's call in doubt, so all of them may be repeated.
Source: driveri-python-sdk 1.0.0.
"""

from base64 import b64encode
from typing import Final
from urllib.parse import quote

import httpx

from adapters.driveri.wire import (
    TOKEN_SCOPES,
    DriveriAccess,
    NewToken,
    TokenRow,
    active_tokens_of,
)
from adapters.http.client import Call, Clock, Sender
from adapters.http.rows import parsed
from adapters.http.token import SharedToken, Token, to_token
from domain.cleaning import bounded
from domain.failures import Reason, Rejected, TargetFailed

MOST_ACTIVE: Final = 2
"""The most active tokens that Driveri keeps for one API key."""

USUAL_LIFETIME: Final = 3600.0
"""Seconds for which a new token is used that does not say when it expires; one that ends earlier is refused then."""

_NO_LIST: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN})
"""No token is active, or the API key may not see which are: a new one shows whether it works."""

WORTH_REUSING: Final = 60.0
"""An active token is taken over if it lasts at least so many seconds more."""


_LAST: Final = 1e15
"""Milliseconds since the epoch behind which nobody looks."""


class DriveriTokens:
    """The access tokens of one API key."""

    def __init__(self, access: DriveriAccess, sender: Sender, clock: Clock) -> None:
        pair = b64encode(f"{access.client_id}:{access.client_secret}".encode()).decode()
        self._basic = {"Authorization": f"Basic {pair}"}
        self._sender = sender
        self._clock = clock
        self._shared = SharedToken(self._obtain, clock)
        self._issued = ""

    async def current(self) -> Token:
        """See `SharedToken.current`."""
        return await self._shared.current()

    def refuse(self, token: Token) -> None:
        """Driveri does not take this token any more."""
        self._shared.refuse(token)

    async def let_go(self) -> None:
        """Give our token back, so that it does not count against the API key's limit."""
        await self._shared.finish()
        token, self._shared.present = self._shared.present, None
        if token is None or token.secret != self._issued:
            return
        try:
            await self._sender.send(_revoking("/v1/auth/token/revoke"), token.headers())
        except TargetFailed:
            return  # it expires by itself

    async def _obtain(self) -> Token:
        return self._reusable(await self._active()) or await self._new()

    async def _new(self) -> Token:
        """A token of our own. What is refused as a third one shows that others have come meanwhile."""
        reply = await self._ask()
        if reply.is_success or reply.status_code == httpx.codes.UNAUTHORIZED:
            return self._issue(reply)
        active = await self._active()
        if found := self._reusable(active):
            return found
        if len(active) >= MOST_ACTIVE and not self._shared.lasts():
            await self._revoke_oldest(active)
            reply = await self._ask()
        return self._issue(reply)

    async def _active(self) -> tuple[TokenRow, ...]:
        reply = await self._sender.send(Call(path="/v1/auth/tokens"), self._basic)
        if reply.status_code in _NO_LIST or (reply.is_success and not reply.content):
            return ()
        return active_tokens_of(_accepted_token(reply))

    def _reusable(self, active: tuple[TokenRow, ...]) -> Token | None:
        """The shown token that lasts longest, if it is worth it."""
        shown = [row for row in active if not self._shared.is_useless(row.access_token or "")]
        longest = max(shown, key=_end, default=None)
        if longest is None or _end(longest) <= self._clock() + WORTH_REUSING:
            return None
        return self._taken(longest)

    async def _ask(self) -> httpx.Response:
        return await self._sender.send(Call(method="POST", path="/v1/auth/token"), self._basic)

    async def _revoke_oldest(self, active: tuple[TokenRow, ...]) -> None:
        refused = self._shared.refused
        named = [row for row in active if row.access_token_id]
        oldest = min(named, key=lambda row: (row.access_token != refused, row.created_on or 0, _end(row)), default=None)
        if oldest is not None:
            path = f"/v1/auth/token/revoke/{quote(oldest.access_token_id or '', safe='')}"
            await self._sender.send(_revoking(path), self._basic)

    def _issue(self, reply: httpx.Response) -> Token:
        token = self._taken(parsed(_accepted_token(reply), NewToken).data)
        self._issued = token.secret
        return token

    def _taken(self, row: TokenRow) -> Token:
        ends_at = self._clock() + USUAL_LIFETIME if row.expires_on is None else _end(row)
        return to_token(row.access_token or "", ends_at, self._clock())


def _end(row: TokenRow) -> float:
    """When a token ends, in seconds since the epoch; 0 where that is not said."""
    return (bounded(row.expires_on, least=0.0, most=_LAST) or 0.0) / 1000


def _revoking(path: str) -> Call:
    return Call(method="DELETE", path=path)


def _accepted_token(reply: httpx.Response) -> httpx.Response:
    """Whatever a refusal says, it is about the API key, and never about a driver."""
    if reply.is_success:
        return reply
    if reply.status_code == httpx.codes.NOT_FOUND:
        raise TargetFailed(Rejected(reason=Reason.NOT_CONFIGURED, detail="answered 404: no tokens at this address"))
    detail = f"no access token: answered {reply.status_code}"
    if reply.status_code != httpx.codes.UNAUTHORIZED:
        detail += f"; the API key needs the scopes {', '.join(TOKEN_SCOPES)}"
    raise TargetFailed(Rejected(reason=Reason.CREDENTIALS, detail=detail))
