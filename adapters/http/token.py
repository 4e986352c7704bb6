"""One access token for all callers of an account: renewed in time by one of them, and used for as long as it lasts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from adapters.http.client import Call, Clock, Sender
from adapters.http.failures import RepeatRefused, down
from domain.cleaning import DAY, bounded, is_sendable
from domain.failures import TargetFailed

LONGEST_MARGIN: Final = 300.0
"""A token is renewed after nine tenths of the time it had left when we got it, but at most this many seconds early."""

UNSTATED_LIFE: Final = 60.0
"""Seconds for which a token is used whose stated end is not believable; a refused one is renewed."""

LONGEST_LIFE: Final = 366 * DAY
"""Seconds for which a token is used at most, whatever is said of it."""

MOST_TOKENS: Final = 3
"""With how many tokens a call is tried: the second may have been renewed for others, and revoked again, by then."""

RENEW_AGAIN: Final = 30.0
"""Seconds until the next attempt to renew a token that still lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token. `renew_at` and `ends_at` are in seconds since the epoch."""

    secret: str = field(repr=False)
    renew_at: float
    ends_at: float

    def headers(self) -> dict[str, str]:
        """What a call carries."""
        return {"Authorization": f"Bearer {self.secret}"}


def checked(secret: str) -> str:
    """The token that came. Raises `TargetFailed` where no header can carry it: no call could be sent with it."""
    if is_sendable(secret):
        return secret
    raise TargetFailed(down("a token came that no call can carry: it is blank, too long, or not plain ASCII"))


def to_token(secret: str, ends_at: float, now: float) -> Token:
    """A token that we got now, and that ends then; both in seconds since the epoch.

    One that is said to have ended is used for a minute: clocks differ, and each call would renew it else.
    Raises `TargetFailed` where no call can carry it.
    """
    ends_at = lasting_until(ends_at, now)
    return Token(secret=checked(secret), renew_at=ends_at - min(LONGEST_MARGIN, (ends_at - now) / 10), ends_at=ends_at)


def lasting_until(ends_at: float, now: float) -> float:
    """When a token ends that is said to end then, as far as that is to be believed; in seconds since the epoch."""
    until = bounded(ends_at, least=now, most=now + LONGEST_LIFE)
    return now + UNSTATED_LIFE if until is None or until == now else until


async def send_with(tokens: "SharedToken", sender: Sender, call: Call) -> httpx.Response:
    """The answer to a call with the current token, or with the next ones if that is refused. Raises `TargetFailed`."""
    for _ in range(MOST_TOKENS):
        token = await tokens.current()
        try:
            reply = await sender.send(call, token.headers())
        except RepeatRefused as refused:
            if refused.reply.status_code == httpx.codes.UNAUTHORIZED:
                tokens.refuse(token)
            raise
        if reply.status_code != httpx.codes.UNAUTHORIZED:
            break
        tokens.refuse(token)
    return reply


class SharedToken:
    """The token that an account calls with now. `obtain` gets one that is neither the present nor the refused one."""

    def __init__(self, obtain: Callable[[], Awaitable[Token]], clock: Clock) -> None:
        self._obtain = obtain
        self._clock = clock
        self._renewal: asyncio.Task[Token] | None = None
        self.present: Token | None = None
        self.refused = ""

    async def current(self) -> Token:
        """The token to call with; callers who need a new one at the same time share one renewal.

        Raises `TargetFailed` when there is none to be had.
        """
        if self.present is not None and self._clock() < self.present.renew_at:
            return self.present
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
        return await asyncio.shield(self._renewal)

    def refuse(self, token: Token) -> None:
        """The target does not take this token any more; of one that was renewed meanwhile, that is known."""
        if self.present is not None and self.present.secret == token.secret:
            self.refused = token.secret
            self.present = None

    def lasts(self) -> bool:
        """Whether there is a token that has not ended yet."""
        return self.present is not None and self._clock() < self.present.ends_at

    def is_useless(self, secret: str) -> bool:
        """Whether no call can carry a token, it was refused, or is the one that has to be renewed."""
        return (
            not is_sendable(secret)
            or secret == self.refused
            or (self.present is not None and self.present.secret == secret)
        )

    async def finish(self) -> None:
        """Let a renewal that is under way end, however it does."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal])

    async def _renew(self) -> Token:
        try:
            self.present = await self._obtain()
        except TargetFailed:
            if self.present is None or not self.lasts():
                raise
            again = min(self._clock() + RENEW_AGAIN, self.present.ends_at)
            self.present = replace(self.present, renew_at=again)
        return self.present
