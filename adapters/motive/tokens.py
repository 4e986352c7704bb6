"""Access tokens of one grant: one for all callers, renewed in time, and stored before they are used.

A refresh token is good for one use, so whatever comes for it is stored first, and what is used is what is stored.
Source: developer-docs.gomotive.com, OAuth 2.0; RFC 6749, 6.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

import httpx

from adapters.http import Clock, Pause, down
from adapters.motive.access import MotiveGrant
from adapters.motive.token_endpoint import TokenEndpoint
from adapters.shared_token import SharedToken, Token, to_token
from domain.failures import Rejected, TargetFailed
from domain.identity import Target
from domain.ports import CredentialsUnreadable, RenewableTokens
from domain.storing import StoreFailed

WORTH_REUSING: Final = 60.0
"""A stored access token is used if it lasts at least so many seconds more."""

LOOKS: Final = (0.5, 1.0, 2.0)
"""Seconds in which somebody who was first with a refresh token stores what came for it."""

P = ParamSpec("P")
T = TypeVar("T")


class Tokens:
    """The access tokens of one grant."""

    def __init__(
        self, grant: MotiveGrant, *, transport: httpx.AsyncBaseTransport | None, clock: Clock, pause: Pause
    ) -> None:
        self._grant = grant
        self._endpoint = TokenEndpoint(grant, transport=transport, clock=clock, pause=pause)
        self._clock = clock
        self._pause = pause
        self._shared = SharedToken(self._obtain, clock)
        self._unstored: tuple[str, RenewableTokens] | None = None

    async def current(self) -> Token:
        """See `SharedToken.current`."""
        return await self._shared.current()

    def refuse(self, token: Token) -> None:
        """Motive does not take this token any more."""
        self._shared.refuse(token)

    async def close(self) -> None:
        """Let a renewal that is under way end, and store what came, so that the refresh token is not spent in vain."""
        await self._shared.settle()
        with suppress(TargetFailed):
            await self._store()
        await self._endpoint.close()

    async def _obtain(self) -> Token:
        await self._store()
        stored = await self._stored()
        if not self._is_good(stored, lasting=WORTH_REUSING):
            await self._renew(stored.refresh_token)
            stored = await self._stored()
        if not self._is_good(stored):
            raise TargetFailed(down("the account was connected anew while its access token was renewed"))
        return to_token(stored.access_token, stored.expires_at, self._clock())

    async def _renew(self, refresh_token: str) -> None:
        try:
            self._unstored = refresh_token, await self._endpoint.renew(refresh_token)
        except TargetFailed as failed:
            if not isinstance(failed.failure, Rejected) or not await self._has_successor(refresh_token):
                raise
        await self._store()

    async def _has_successor(self, refresh_token: str) -> bool:
        """Whether somebody else was first with this refresh token, and has stored what came for it."""
        for seconds in LOOKS:
            if (await self._stored()).refresh_token != refresh_token:
                return True
            await self._pause(seconds)
        return (await self._stored()).refresh_token != refresh_token

    async def _store(self) -> None:
        """Store what came and is not stored yet, unless by now there is something newer."""
        if self._unstored is not None:
            spent, tokens = self._unstored
            await self._kept(self._grant.keeper.replace_tokens, self._grant.account, Target.MOTIVE, spent, tokens)
            self._unstored = None

    async def _stored(self) -> RenewableTokens:
        tokens = await self._kept(self._grant.keeper.tokens, self._grant.account, Target.MOTIVE)
        if tokens is None:
            raise TargetFailed(down("the account is not connected by OAuth any more"))
        return tokens

    async def _kept(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except CredentialsUnreadable as failure:
            raise TargetFailed(down(f"access tokens cannot be kept: {failure}")) from None
        except StoreFailed:
            raise TargetFailed(down("access tokens cannot be kept: the credentials' database does not work")) from None

    def _is_good(self, tokens: RenewableTokens, lasting: float = 0.0) -> bool:
        is_useless = self._shared.is_useless(tokens.access_token)
        return not is_useless and tokens.expires_at > self._clock() + lasting
