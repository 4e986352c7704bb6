"""Access tokens: one for all callers of an account, renewed in time by one of them, and used for as long as it lasts.

Those of an OAuth grant are stored before they are used: a refresh token is good for one use, so whatever comes for it
is stored first, and what is used is what is stored. What an answer to a renewal means:

no connection, silence, 5xx   tried again, then DOWN; the refresh token may be spent, and only the next try shows
429                           LIMITED
404, a redirect               NOT_CONFIGURED; a redirect is not followed, since the secrets would go along
other 4xx                     CREDENTIALS
anything else                 DOWN

Source: RFC 6749, 5 and 6.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Final, ParamSpec, TypeVar, Unpack

import httpx
from pydantic import BaseModel, ConfigDict, PositiveFloat

from adapters.http.client import Call, Clock, Sender, SenderOptions, Transport
from adapters.http.response import (
    IF_LEGIBLE,
    OF_A_TARGET,
    RepeatRefused,
    down,
    in_time,
    parsed,
    parsed_if,
    redirected,
    seconds_until,
)
from domain.cleaning import DAY, bounded, is_sendable
from domain.failures import CallFailure, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Target
from domain.ports import CredentialsUnreadable, RenewableTokens, TokensKeeper
from domain.store import StoreFailed

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_MARGIN: Final = 300.0
"""A token is renewed after nine tenths of the time it had left when we got it, but at most this many seconds early."""

UNSTATED_LIFE: Final = 60.0
"""Seconds for which a token is used whose stated end is not believable; a refused one is renewed."""

LONGEST_LIFE: Final = 366 * DAY
"""Seconds for which a token is used at most, whatever is said of it."""

_MOST_TOKENS: Final = 3
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
    ends_at = _lasting_until(ends_at, now)
    return Token(secret=checked(secret), renew_at=ends_at - min(LONGEST_MARGIN, (ends_at - now) / 10), ends_at=ends_at)


def _lasting_until(ends_at: float, now: float) -> float:
    """When a token ends that is said to end then, as far as that is to be believed; in seconds since the epoch."""
    until = bounded(ends_at, least=now, most=now + LONGEST_LIFE)
    return now + UNSTATED_LIFE if until is None or until == now else until


async def send_with(tokens: "SharedToken", sender: Sender, call: Call) -> httpx.Response:
    """The answer to a call with the current token, or with the next ones if that is refused. Raises `TargetFailed`."""
    for _ in range(_MOST_TOKENS):
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


WORTH_REUSING: Final = 60.0
"""A stored access token is used if it lasts at least this many seconds more."""

LOOKS: Final = (0.5, 1.0, 2.0)
"""Seconds in which another process that was first with a refresh token stores what came for it."""

DELAYS: Final = (0.2, 0.4, 0.8)
"""Seconds before each further try."""

USUAL_LIFETIME: Final = 3600.0
"""Seconds for which an access token is used that does not say when it expires."""

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_NEW_GRANT: Final = "with a new refresh token"
_SAME_GRANT: Final = (
    "with the application's own client id and client secret; the same refresh token will do, unless it is refused then"
)
_ADVICE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invalid_grant": "the refresh token was used already, or withdrawn",
        "invalid_client": "the client id or the client secret is not known",
        "unauthorized_client": "the application may not renew tokens",
    }
)
"""What the codes mean that are worth repeating; an answer's own words are not repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthGrant:
    """What an account's company granted to an OAuth application at a target, as the account stated it.

    `refresh_token` is the one that was stated; the newest tokens that came of it are with the keeper.
    """

    account: str
    target: Target
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    keeper: TokensKeeper = field(repr=False, compare=False)

    @property
    def setting(self) -> str:
        """The setting that holds the address of the tokens."""
        return f"DRIVERLINK_{self.target.upper()}_TOKEN_URL"


class _OAuthForm(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)


class _NewTokens(_OAuthForm):
    """What comes for a refresh token, which is spent by then: so no odd field beside the access token counts.

    `expires_in` is in seconds. Without a refresh token the former one stays good.
    """

    access_token: str
    refresh_token: Annotated[str | None, IF_LEGIBLE] = None
    expires_in: Annotated[PositiveFloat | None, IF_LEGIBLE] = None


class _Problem(_OAuthForm):
    """Why nothing came, as one of the codes of RFC 6749, 5.2."""

    error: str


class GrantTokens(SharedToken):
    """The access tokens of one grant.

    They are not renewed by the API, so the API's rate limit does not count there.
    """

    def __init__(self, grant: OAuthGrant, **options: Unpack[SenderOptions]) -> None:
        super().__init__(self._obtain_token, options.get("clock", time.time))
        self._grant = grant
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, transport=options.get("transport") or Transport())
        self._pause = options.get("pause", asyncio.sleep)
        self._unstored: tuple[str, RenewableTokens] | None = None

    async def close(self) -> None:
        """Let a renewal that is under way end, and store what came, so that the refresh token is not spent in vain."""
        await self.finish()
        with suppress(TargetFailed):
            await self._store()
        await self._client.aclose()

    async def _obtain_token(self) -> Token:
        await self._store()
        stored = await self._stored()
        if not self._is_good(stored, lasting=WORTH_REUSING):
            spent = stored.refresh_token
            try:
                self._unstored = spent, await self._renewed(spent)
            except TargetFailed as failed:
                if not isinstance(failed.failure, Rejected) or not await self._has_successor(spent):
                    raise
            await self._store()
            stored = await self._stored()
        if not self._is_good(stored):
            raise TargetFailed(down("the account was connected again while its access token was renewed"))
        return to_token(stored.access_token, stored.expires_at, self._clock())

    async def _has_successor(self, refresh_token: str) -> bool:
        """Whether another process was first with this refresh token, and has stored what came for it."""
        for seconds in LOOKS:
            if (await self._stored()).refresh_token != refresh_token:
                return True
            await self._pause(seconds)
        return (await self._stored()).refresh_token != refresh_token

    async def _store(self) -> None:
        """Store what came and is not stored yet, unless by now there is something newer."""
        if self._unstored is not None:
            spent, tokens = self._unstored
            await self._kept(self._grant.keeper.replace_tokens, self._grant.account, self._grant.target, spent, tokens)
            self._unstored = None

    async def _stored(self) -> RenewableTokens:
        tokens = await self._kept(self._grant.keeper.tokens, self._grant.account, self._grant.target)
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
        is_useless = self.is_useless(tokens.access_token)
        return not is_useless and tokens.expires_at > self._clock() + lasting

    async def _renewed(self, refresh_token: str) -> RenewableTokens:
        """The tokens that come for a refresh token, which is spent by that. Raises `TargetFailed`."""
        asked_at = self._clock()
        reply = await self._answer(refresh_token)
        if not reply.is_success:
            raise TargetFailed(self._failure(reply))
        new = parsed(reply, _NewTokens)
        return RenewableTokens(
            refresh_token=checked(new.refresh_token or refresh_token),
            access_token=checked(new.access_token),
            expires_at=_lasting_until(asked_at + (new.expires_in or USUAL_LIFETIME), asked_at),
        )

    async def _answer(self, refresh_token: str) -> httpx.Response:
        """The answer to a renewal, which is tried again after silence and after a server's error."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": self._grant.client_id,
            "client_secret": self._grant.client_secret,
        }
        reply: httpx.Response | None = None
        for delay in (0.0, *DELAYS):
            if delay:
                await self._pause(delay)
            try:
                async with in_time(OF_A_TARGET):
                    reply = await self._client.post(self._grant.token_url, data=form)
            except httpx.RequestError:
                reply = None
            if reply is not None and not reply.is_server_error:
                return reply
        if reply is None:
            raise TargetFailed(down("no answer from where access tokens are renewed"))
        return reply

    def _failure(self, reply: httpx.Response) -> CallFailure:
        if moved := redirected(reply, httpx.URL(self._grant.token_url), "", self._grant.setting):
            return Rejected(reason=moved.reason, detail=f"no access token: {moved.detail}")
        detail = f"no access token: answered {reply.status_code}"
        if reply.status_code == httpx.codes.TOO_MANY_REQUESTS:
            wait = seconds_until(reply.headers.get("Retry-After"), self._clock())
            return Unavailable(reason=Reason.LIMITED, detail=detail, retry_after=wait)
        if reply.status_code == httpx.codes.NOT_FOUND:
            return Rejected(reason=Reason.NOT_CONFIGURED, detail=f"{detail}; see {self._grant.setting}")
        if not reply.is_client_error:
            return down(detail)
        problem = parsed_if(reply, _Problem)
        code = problem.error if problem else ""
        by = _SAME_GRANT if code == "invalid_client" else _NEW_GRANT
        remedy = f"run `driverlink accounts connect {self._grant.account} {self._grant.target}` {by}"
        why = _ADVICE.get(code, "the grant is refused")
        return Rejected(reason=Reason.CREDENTIALS, detail=f"{detail}: {why}; {remedy}")
