"""Driveri's calls, each as one function. Source: driveri-python-sdk 1.0.0.

A list of drivers is read whole, though drivers come, go and change places meanwhile. A page says only where it begins.
When a driver leaves a page that was read, all behind it move up, and one of them falls between two pages. So each page
begins with the last drivers of the one before: if they are not there any more, the list has moved, and is read again
from its beginning.
Neither the links nor the stated number of drivers is believed alone: a full page without a link is followed by the page
behind it, and a page without new drivers right behind another one ends the list, even if it links to more.
"""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Unpack
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from adapters.driveri.wire import (
    DRIVERS,
    TOKEN_SCOPES,
    UPDATE_DRIVERS,
    VIEW_CONFIGURATIONS,
    VIEW_DRIVERS,
    DriveriAccess,
    DriverRow,
    DriversPage,
    Lookup,
    NewToken,
    StatusRow,
    TokenRow,
    active_tokens_of,
    in_both_forms,
    is_refused_for_state,
    statuses_of,
    words_of,
)
from adapters.http.client import Call, Clock, Sender, SenderOptions, Spellings
from adapters.http.oauth import SharedToken, Token, send_with, to_token
from adapters.http.response import Intent, down, parsed, read_lines, refusal
from domain.cleaning import bounded
from domain.failures import Reason, Rejected, TargetFailed
from domain.matching import UnreadableRecords
from domain.profile import Profile

_MOST_ACTIVE: Final = 2
"""The most active tokens that Driveri keeps for one API key."""

USUAL_LIFETIME: Final = 3600.0
"""Seconds for which a new token is used that does not say when it expires; one that ends earlier is refused then."""

_NO_LIST: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN})
"""No token is active, or the API key may not see which are: a new one shows whether it works."""

WORTH_REUSING: Final = 60.0
"""An active token is reused if it lasts at least this many seconds more."""


_LAST: Final = 1e15
"""Milliseconds since the epoch beyond any believable time."""


class DriveriTokens(SharedToken):
    """The access tokens of one API key, which has at most two.

    No call for a token leaves the outcome of a driver's call in doubt, so all of them may be repeated.
    """

    def __init__(self, access: DriveriAccess, sender: Sender, clock: Clock) -> None:
        pair = b64encode(f"{access.client_id}:{access.client_secret}".encode()).decode()
        super().__init__(self._obtain_token, clock)
        self._basic = {"Authorization": f"Basic {pair}"}
        self._sender = sender
        self._issued = ""

    async def let_go(self) -> None:
        """Give our token back, so that it does not count against the API key's limit."""
        await self.finish()
        token, self.present = self.present, None
        if token is None or token.secret != self._issued:
            return
        with suppress(TargetFailed):  # it expires in any case
            await self._sender.send(Call(method="DELETE", path="/v1/auth/token/revoke"), token.headers())

    async def _obtain_token(self) -> Token:
        """A token that is active and lasts, or a new one. One refused as a third shows that others came meanwhile."""
        if found := self._reusable(await self._active()):
            return found
        reply = await self._ask()
        if reply.is_success or reply.status_code == httpx.codes.UNAUTHORIZED:
            return self._issue(reply)
        active = await self._active()
        if found := self._reusable(active):
            return found
        if len(active) >= _MOST_ACTIVE and not self.lasts():
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
        shown = [row for row in active if not self.is_useless(row.access_token or "")]
        longest = max(shown, key=_end, default=None)
        if longest is None or _end(longest) <= self._clock() + WORTH_REUSING:
            return None
        return self._to_token(longest)

    async def _ask(self) -> httpx.Response:
        return await self._sender.send(Call(method="POST", path="/v1/auth/token"), self._basic)

    async def _revoke_oldest(self, active: tuple[TokenRow, ...]) -> None:
        refused = self.refused
        named = [row for row in active if row.access_token_id]
        oldest = min(named, key=lambda row: (row.access_token != refused, row.created_on or 0, _end(row)), default=None)
        if oldest is not None:
            path = f"/v1/auth/token/revoke/{quote(oldest.access_token_id or '', safe='')}"
            call = Call(method="DELETE", path=path, route="/v1/auth/token/revoke/{token}")
            await self._sender.send(call, self._basic)

    def _issue(self, reply: httpx.Response) -> Token:
        token = self._to_token(parsed(_accepted_token(reply), NewToken).data)
        self._issued = token.secret
        return token

    def _to_token(self, row: TokenRow) -> Token:
        ends_at = self._clock() + USUAL_LIFETIME if row.expires_on is None else _end(row)
        return to_token(row.access_token or "", ends_at, self._clock())


def _end(row: TokenRow) -> float:
    """When a token ends, in seconds since the epoch; 0 where that is not said."""
    return (bounded(row.expires_on, least=0.0, most=_LAST) or 0.0) / 1000


def _accepted_token(reply: httpx.Response) -> httpx.Response:
    """The answer to a call for tokens: whatever its refusal says is about the API key, never about a driver."""
    if reply.is_success:
        return reply
    if reply.status_code == httpx.codes.NOT_FOUND:
        raise TargetFailed(Rejected(reason=Reason.NOT_CONFIGURED, detail="answered 404: no tokens at this address"))
    detail = f"no access token: answered {reply.status_code}"
    if reply.status_code != httpx.codes.UNAUTHORIZED:
        detail += f"; the API key needs the scopes {', '.join(TOKEN_SCOPES)}"
    raise TargetFailed(Rejected(reason=Reason.CREDENTIALS, detail=detail))


PAGE_SIZE: Final = 200
"""The most drivers that Driveri puts on a page."""

FIRST_PAGE: Final = MappingProxyType({"offset": "0", "limit": str(PAGE_SIZE), "showAll": "true"})
_GOODBYE: Final = 2.0
"""Seconds that Driveri has to take a token back when we end; a token that it does not take back expires in any case."""

_TENANT: Final = "/v1/tenants/{tenant}"
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}


class DriveriClient:
    """The calls of one tenant. Each raises `TargetFailed` when there is no answer or the credentials are refused."""

    def __init__(self, access: DriveriAccess, **options: Unpack[SenderOptions]) -> None:
        self._sender = Sender(
            base_url=access.base_url,
            setting="DRIVERLINK_DRIVERI_URL",
            headers={"Accept-Language": access.language},
            **options,
        )
        self._tokens = DriveriTokens(access, self._sender, options.get("clock", time.time))
        self.has_left_out = False
        self._states = Spellings(in_both_forms, is_refused=is_refused_for_state)
        self._tenant = f"/v1/tenants/{_quoted(access.tenant)}"

    async def statuses(self) -> tuple[StatusRow, ...]:
        """The meanings of this tenant's driver status codes."""
        reply = await self._send(
            Call(path=f"{self._tenant}/configurations", route=f"{_TENANT}/configurations"), VIEW_CONFIGURATIONS
        )
        return statuses_of(_accepted(reply))

    async def page(self, query: Mapping[str, str], unreadable: UnreadableRecords | None = None) -> DriversPage:
        """One page of the list of drivers; what cannot be read on it is added to `unreadable`."""
        reply = await self._send(
            Call(path=f"{self._tenant}/drivers", route=f"{_TENANT}/drivers", params=query), VIEW_DRIVERS
        )
        read = read_lines(_accepted(reply), DriversPage, DRIVERS)
        self.has_left_out |= read.left_out > 0
        if unreadable is not None:
            unreadable.add(
                replace(record, place=f"offset {query.get('offset', '')}, {record.place}") for record in read.unreadable
            )
        return read.answer

    async def lookup(self, driver_id: str) -> tuple[DriverRow, ...]:
        """The drivers of this id that Driveri shows without being asked for deleted ones."""
        query = {"driverId": driver_id}
        call = Call(path=f"{self._tenant}/driver", route=f"{_TENANT}/driver", params=query)
        reply = await self._send(call, VIEW_DRIVERS)
        if reply.status_code == httpx.codes.NOT_FOUND:
            return ()
        found = read_lines(_accepted(reply), Lookup, DRIVERS).answer.data
        return (found and found.drivers) or ()

    async def add(self, body: Mapping[str, object], *, reinstate: bool) -> httpx.Response:
        """Create a driver or, if so asked, bring a deleted one of this id back."""
        call = Call(
            method="POST",
            path=f"{self._tenant}/drivers",
            route=f"{_TENANT}/drivers",
            intent=Intent.WRITE if reinstate else Intent.CREATE,
            params={"reinstateDriver": str(reinstate).lower()},
            body=body,
        )
        return await self._write(call)

    async def edit(self, driver_id: str, body: Mapping[str, object]) -> httpx.Response:
        """Write these fields of a driver; a `driverId` among them is the new id."""
        path = f"{self._tenant}/drivers/{_quoted(driver_id)}"
        route = f"{_TENANT}/drivers/{{driver}}"
        return await self._write(Call(method="PUT", path=path, route=route, intent=Intent.WRITE, body=body))

    def slots(self) -> int:
        """How many calls may be under way now; see `RateLimiter.slots`."""
        return self._sender.slots()

    def free_in(self, calls: int) -> float:
        """In how many seconds this many calls may be under way; see `RateLimiter.free_in`."""
        return self._sender.free_in(calls)

    async def close(self) -> None:
        """Give our token back and close the connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._tokens.let_go()
        await self._sender.close()

    async def _write(self, call: Call) -> httpx.Response:
        return await self._states.write(lambda call: self._send(call, UPDATE_DRIVERS), call)

    async def _send(self, call: Call, scope: str) -> httpx.Response:
        reply = await send_with(self._tokens, self._sender, call)
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            raise TargetFailed(refusal(reply, "", {}))
        if reply.status_code == httpx.codes.FORBIDDEN:
            detail = f"answered 403: the API key may be another tenant's, or lack the scope {scope}"
            raise TargetFailed(Rejected(reason=Reason.CREDENTIALS, detail=detail))
        return reply


def refused(reply: httpx.Response, profile: Profile) -> Rejected:
    """What Driveri's refusal of a call with this profile means."""
    return refusal(reply, words_of(reply), profile)


def _accepted(reply: httpx.Response) -> httpx.Response:
    if reply.is_success:
        return reply
    raise TargetFailed(refused(reply, {}))


def _quoted(part: str) -> str:
    return _DOTS.get(part) or quote(part, safe="")


Paging = Callable[[Mapping[str, str]], Coroutine[None, None, DriversPage]]
"""Reads the page of this query."""

OVERLAP: Final = 5
"""How many drivers two pages have in common; half of a page at most, so that short pages go on too."""

MOST_READINGS: Final = 3
"""A list that has moved so often does not hold still."""

MOST_PAGES: Final = 10_000
"""A scan that needs more pages goes round in a circle."""


_LONGEST_NUMBER: Final = 19
"""Digits that no number of drivers has."""


class _ListMoved(Exception):
    """A page does not begin where the one before ended."""


async def everybody(
    paging: Paging, query: Mapping[str, str], *, is_ahead: bool = False
) -> AsyncGenerator[Sequence[DriverRow], None]:
    """Every driver of a list once, page by page; with `is_ahead` the next page is asked for while one is looked at.

    Raises `TargetFailed` when a page cannot be read, or the list does not hold still.
    """
    seen: set[str] = set()
    for _ in range(MOST_READINGS):
        try:
            async with aclosing(_reading(paging, query, is_ahead=is_ahead)) as pages:
                async for rows in pages:
                    fresh = {row.driver_id: row for row in rows if row.driver_id not in seen}
                    seen.update(fresh)
                    yield tuple(fresh.values())
        except _ListMoved:
            continue
        return
    raise TargetFailed(down(f"the list of drivers moved each of the {MOST_READINGS} times that it was read"))


async def _reading(
    paging: Paging, query: Mapping[str, str], *, is_ahead: bool
) -> AsyncGenerator[Sequence[DriverRow], None]:
    asked = [query]
    ending: Sequence[str] = ()
    shown: set[str] = set()
    coming = asyncio.ensure_future(paging(query))
    try:
        while True:
            page = await coming
            rows = page.drivers
            if _ids(rows[: len(ending)]) != ending:
                raise _ListMoved
            following = _following(page, query)
            is_last = shown.issuperset(_ids(rows)) and len(rows) == len(ending)
            if following is None or is_last:
                yield rows
                return
            shown.update(_ids(rows))
            query, ending = _overlapping(following, query, rows)
            if query in asked or len(asked) == MOST_PAGES:
                yield rows
                raise TargetFailed(down("the pages of the roster go round in a circle"))
            asked.append(query)
            if is_ahead:
                coming = asyncio.ensure_future(paging(query))
                # The request goes out now, and not only when these rows have been looked at.
                await asyncio.sleep(0)
            yield rows
            if not is_ahead:
                coming = asyncio.ensure_future(paging(query))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


def _overlapping(
    following: Mapping[str, str], query: Mapping[str, str], rows: Sequence[DriverRow]
) -> tuple[Mapping[str, str], Sequence[str]]:
    """The query for the page behind these rows, and the rows with which it has to begin: the last ones of these.

    That is only where it is the one right behind them.
    """
    is_next = _number(following, "offset") == _number(query, "offset") + len(rows)
    overlap = min(OVERLAP, len(rows) // 2) if is_next else 0
    if not overlap:
        return following, ()
    return {**following, "offset": str(_number(following, "offset") - overlap)}, _ids(rows[len(rows) - overlap :])


def _following(page: DriversPage, query: Mapping[str, str]) -> Mapping[str, str] | None:
    """The query of the next page; None behind a page without a link that is not full, or without any rows.

    Where a page has no links at all, it may be shorter than asked for: then the list ends where its number says so,
    or with a page that shows no new driver.
    """
    if page.links is not None and page.links.next:
        # Only the link's query is taken: whatever host or path it names, the call stays on the configured ones.
        return {**query, **dict(parse_qsl(urlsplit(page.links.next).query))}
    end = _number(query, "offset") + len(page.drivers)
    is_full = 0 < _number(query, "limit") <= len(page.drivers)
    may_go_on = page.links is None and len(page.drivers) > 0 and (page.total_count is None or end < page.total_count)
    return {**query, "offset": str(end)} if is_full or may_go_on else None


def _number(query: Mapping[str, str], name: str) -> int:
    """A number of a query, which may come from a link; -1 if it is none."""
    text = query.get(name, "")
    return int(text) if text.isdecimal() and len(text) < _LONGEST_NUMBER else -1


def _ids(rows: Sequence[DriverRow]) -> Sequence[str]:
    return tuple(row.driver_id for row in rows)
