"""Logged in once for all callers, and again when the Portal has forgotten it.

How long a session lasts is not told, about a day to a week, so one is used until it is refused.
"""

import math

from adapters.http import Call, Sender
from adapters.portal.access import PortalAccess
from adapters.portal.wire import Session, answer_of, validated
from adapters.shared_token import SharedToken, Token, checked


class Sessions:
    """The session of one user."""

    def __init__(self, access: PortalAccess, sender: Sender) -> None:
        self._access = access
        self._sender = sender
        self._shared = SharedToken(self._log_in, lambda: 0.0)

    async def current(self) -> Token:
        """The session to call with. Raises `TargetFailed` when there is none to be had."""
        return await self._shared.current()

    def refuse(self, session: Token) -> None:
        """The Portal does not know this session any more."""
        self._shared.refuse(session)

    async def settle(self) -> None:
        """Let a login that is under way end, however it does."""
        await self._shared.settle()

    async def _log_in(self) -> Token:
        stated = {"username": self._access.username, "app_token": self._access.app_token}
        reply = await self._sender.send(Call(path="/v2/userauth/login", params=stated))
        session = validated(Session, answer_of(reply).data)
        return Token(secret=checked(session.token), renew_at=math.inf, ends_at=math.inf)
