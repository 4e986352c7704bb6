"""Motive's user and external id calls, each as one function. Source: developer.gomotive.com, Users and External Ids.

The list of users is read whole, though Motive states no order, and users come and go while it is read. Between two
pages the list may have moved, so that some users are shown twice and others not at all. So the list was read whole only
once one of these is so:

- as many different users were seen as the pages say that there are, and no page of the reading said fewer than it had
  shown by then; what several readings show counts together, but where the number falls a user has left, who may have
  been counted, so the counting begins again
- two readings, one after the other, showed the same users, and no page showed users of another one or another number,
  whatever that number is: it may count other users too, or only those on the page, or be missing

Until then the list is read again from its beginning. A reading ends with a page without users, or with only users that
the same reading showed before; a page that is not full ends it only if as many users were shown as there are said to
be, so that no page is asked for in vain. The next pages are asked for while one is looked at.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Final, Unpack
from urllib.parse import quote

import httpx

from adapters.http.client import Call, Sender, SenderOptions, Spellings
from adapters.http.oauth import GrantTokens, send_with
from adapters.http.response import REFUSED, Intent, RepeatRefused, down, read_lines, read_one, refusal
from adapters.motive.wire import USERS, ExternalId, MotiveAccess, User, UserAnswer, UsersPage, words_of
from domain.cleaning import spellings
from domain.failures import Rejected, TargetFailed
from domain.matching import UnreadableRecords
from domain.profile import Profile

Paging = Callable[[int], Coroutine[None, None, UsersPage]]
"""Reads the page of this number."""

PAGE_SIZE: Final = 100
"""The most users that Motive puts on a page."""

AHEAD: Final = 2
"""How many pages are asked for ahead, as far as there are said to be any."""

MOST_READINGS: Final = 5
"""A list that was not whole after this many readings does not hold still."""

MOST_PAGES: Final = 10_000
"""A reading that needs more pages has no end."""


class _Reading:
    """What one reading of the list has shown so far."""

    def __init__(self) -> None:
        self.shown: set[int] = set()
        self.is_refuted = False
        self.has_moved = False
        self._first: Sequence[int] = ()
        self._last: Sequence[int] = ()
        self._totals: set[int] = set()

    def agrees_with(self, other: "_Reading") -> bool:
        """Whether both have shown the same users, and nothing spoke for a list that moved meanwhile."""
        return self.shown == other.shown and not self.has_moved and not other.has_moved

    def count(self, page: UsersPage) -> None:
        """Look at the next page."""
        ids = [user.id for user in _users_on(page)]
        # A page that is simply one of the earlier ones once more says nothing.
        overlaps = ids not in (self._first, self._last) and not self.shown.isdisjoint(ids)
        # Nor does a number that only counts the users on its page.
        if page.total and page.total != len(page.users):
            self._totals.add(page.total)
        self.has_moved |= overlaps or len(self._totals) > 1
        self.shown.update(ids)
        self.is_refuted |= len(self.shown) > (page.total or 0)
        self._first, self._last = self._first or ids, ids


class _Completeness:
    """The users seen so far, and whether they are all that there are."""

    def __init__(self) -> None:
        self._counted: set[int] = set()
        self._total: int | None = None
        self._before: _Reading | None = None
        self._now: _Reading | None = None
        self._sizes: list[int] = []

    @property
    def is_whole(self) -> bool:
        """Whether the list was read whole, at the end of a reading."""
        if self._now is None:
            return False
        is_counted = not self._now.is_refuted and len(self._counted) == (self._total or 0)
        return is_counted or (self._before is not None and self._now.agrees_with(self._before))

    @property
    def history(self) -> str:
        """What the pages said, and what the readings showed, for people."""
        said = "Motive did not say how many there are" if self._total is None else f"Motive said {self._total}"
        return f"{said}, and the readings showed {', '.join(map(str, self._sizes))} users"

    def begin(self) -> _Reading:
        """Another reading."""
        self._before, self._now = self._now, _Reading()
        self._sizes.append(0)
        return self._now

    def count(self, page: UsersPage, reading: _Reading) -> None:
        """Look at the next page of the reading."""
        if (page.total or 0) < (self._total or 0):
            self._counted.clear()
        self._total = page.total
        self._counted.update(user.id for user in _users_on(page))
        reading.count(page)
        self._sizes[-1] = len(reading.shown)


async def everybody(paging: Paging) -> AsyncGenerator[Sequence[User], None]:
    """Every user of the list once, page by page.

    Raises `TargetFailed` when a page cannot be read, the list does not hold still, or it has no end.
    """
    completeness = _Completeness()
    seen: set[int] = set()
    for _ in range(MOST_READINGS):
        reading = completeness.begin()
        async with aclosing(_reading(paging)) as pages:
            async for page in pages:
                completeness.count(page, reading)
                fresh = {user.id: user for user in _users_on(page) if user.id not in seen}
                seen.update(fresh)
                yield tuple(fresh.values())
        if completeness.is_whole:
            return
    raise TargetFailed(
        down(f"the list of users did not hold still in {MOST_READINGS} readings: {completeness.history}")
    )


class _End:
    """Whether a reading is at its end, by the pages that it has shown."""

    def __init__(self) -> None:
        self._shown: set[int] = set()
        self._rows = 0

    def is_reached_by(self, page: UsersPage) -> bool:
        fresh = {user.id for user in _users_on(page)} - self._shown
        self._shown |= fresh
        self._rows += len(page.users)
        is_full = len(page.users) >= (page.per_page or PAGE_SIZE)
        return not fresh or (not is_full and self._rows == page.total)


async def _reading(paging: Paging) -> AsyncGenerator[UsersPage, None]:
    page, number, coming, end = await paging(1), 1, deque[asyncio.Task[UsersPage]](), _End()
    if not page.users and page.pagination is None:
        raise TargetFailed(down("an answer of an unexpected form at pagination"))
    try:
        while not end.is_reached_by(page):
            yield page
            if number == MOST_PAGES:
                raise TargetFailed(down(f"the list of users has no end: {MOST_PAGES} pages were read"))
            for ahead in range(number + len(coming) + 1, max(number + 1, min(number + AHEAD, _last(page))) + 1):
                coming.append(asyncio.create_task(paging(ahead)))
            page, number = await coming.popleft(), number + 1
        yield page
    finally:
        for asked in coming:
            asked.cancel()
        await asyncio.gather(*coming, return_exceptions=True)


def _last(page: UsersPage) -> int:
    """The number of the last page, as far as this one says."""
    return -(-(page.total or 0) // (page.per_page or PAGE_SIZE))


def _users_on(page: UsersPage) -> Iterable[User]:
    """The users of a page, without their wrapping."""
    return (answer.user for answer in page.users)


_ANOTHER: Final = down("an answer about another user")


_STATE: Final = "drivers_license_state"


def is_refused_for_state(reply: httpx.Response) -> bool:
    """Whether Motive refuses a write, and names the state of the licence as the reason."""
    words = words_of(reply).casefold().replace(" ", "_")
    return reply.status_code in REFUSED and "license_state" in words


def _in_each_spelling(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The body with the state of a licence as it is written, and by its code, with the country too, and its name."""
    state = str(body.get(_STATE) or "")
    return [{**body, _STATE: written} for written in spellings(state)] if state else [body]


class MotiveClient:
    """The calls of one company. Each raises `TargetFailed` when there is no answer or the credentials are refused."""

    def __init__(self, access: MotiveAccess, **options: Unpack[SenderOptions]) -> None:
        self._sender = Sender(
            base_url=access.base_url,
            setting="DRIVERLINK_MOTIVE_URL",
            headers={"X-Api-Key": access.api_key} if access.grant is None else {},
            **options,
        )
        grant = access.grant
        self._states = Spellings(_in_each_spelling, is_refused=is_refused_for_state)
        self._tokens = GrantTokens(grant, **options) if grant else None

    async def page(self, number: int, size: int = PAGE_SIZE, unreadable: UnreadableRecords | None = None) -> UsersPage:
        """One page of the list of drivers, deactivated ones included; the first is 1.

        What cannot be read on it is added to `unreadable`.
        """
        query = {"role": "driver", "per_page": str(size), "page_no": str(number)}
        reply = _accepted(await self._send(Call(path="/v1/users", params=query)))
        read = read_lines(reply, UsersPage, USERS)
        if unreadable is not None:
            unreadable.add(replace(record, place=f"page {number}, {record.place}") for record in read.unreadable)
        return read.answer

    async def user(self, key: str) -> User | None:
        """One user with the record ids of the external ids; None if no user has this key."""
        user = await self._one(Call(path=_path_of(key), route=_USER))
        if user is not None and user.key != key:
            raise TargetFailed(_ANOTHER)
        return user

    async def lookup(self, **query: str) -> User | None:
        """The visible user with this `email` or `username`."""
        user = await self._one(Call(path="/v1/users/lookup", params=query))
        email = query.get("email")
        if user and email and user.email and user.email.casefold() != email.casefold():
            raise TargetFailed(_ANOTHER)
        return user

    async def lookup_by_external_id(self, external_id: str, integration: str) -> User | None:
        """The visible user who carries this external id."""
        query = {"external_id": external_id, "integration_name": integration}
        user = await self._one(Call(path="/v1/users/lookup_by_external_id", params=query))
        carried = [(entry.external_id, entry.integration_name) for entry in (user and user.external_ids) or ()]
        if carried and (external_id, integration) not in carried:
            raise TargetFailed(_ANOTHER)
        return user

    async def create(self, body: Mapping[str, object]) -> httpx.Response:
        """Make a user; the answer is a success or a refusal."""
        return await self._write(Call(method="POST", path="/v1/users", intent=Intent.CREATE, body=body))

    async def edit(self, key: str, body: Mapping[str, object], profile: Profile) -> httpx.Response | None:
        """Write these fields of a user; None if no user has this key. The profile is what a refusal may repeat."""
        reply = await self._write(Call(method="PUT", path=_path_of(key), route=_USER, intent=Intent.WRITE, body=body))
        return None if _is_miss(reply, "user not found") else _accepted(reply, profile)

    async def add_external_id(self, key: str, entry: ExternalId) -> None:
        """Let a user carry this external id."""
        body = {
            "external_id": entry.external_id,
            "integration_name": entry.integration_name,
            "external_id_holder_id": int(key),
            "external_id_holder_type": "User",
        }
        call = Call(method="POST", path="/v1/external_ids", intent=Intent.WRITE, body=body, may_lack=True)
        _accepted(await self._send(call))

    async def remove_external_id(self, record: int) -> None:
        """Remove one external id; whether it took effect shows only when the user is read."""
        with suppress(RepeatRefused):
            path, route = f"/v1/external_ids/{record}", "/v1/external_ids/{record}"
            await self._send(Call(method="DELETE", path=path, route=route, intent=Intent.WRITE, may_lack=True))

    def slots(self) -> int:
        """How many calls may be under way now; see `RateLimiter.slots`."""
        return self._sender.slots()

    def free_in(self, calls: int) -> float:
        """In how many seconds this many calls may be under way; see `RateLimiter.free_in`."""
        return self._sender.free_in(calls)

    async def close(self) -> None:
        """Close the connections."""
        if self._tokens is not None:
            await self._tokens.close()
        await self._sender.close()

    async def _one(self, call: Call) -> User | None:
        reply = await self._send(call)
        return None if _is_miss(reply, "not found") else read_one(_accepted(reply), UserAnswer, USERS).user

    async def _write(self, call: Call) -> httpx.Response:
        return await self._states.write(self._send, call)

    async def _send(self, call: Call) -> httpx.Response:
        reply = await (send_with(self._tokens, self._sender, call) if self._tokens else self._sender.send(call))
        if reply.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise TargetFailed(refused(reply, {}))
        return reply


def refused(reply: httpx.Response, profile: Profile) -> Rejected:
    """What Motive's refusal of a call with this profile means."""
    return refusal(reply, words_of(reply), profile)


def _is_miss(reply: httpx.Response, words: str) -> bool:
    """Whether an answer says that there is no such user; by which status is not documented."""
    return reply.status_code == httpx.codes.NOT_FOUND or words in words_of(reply).casefold()


def _accepted(reply: httpx.Response, profile: Profile | None = None) -> httpx.Response:
    if reply.is_success:
        return reply
    raise TargetFailed(refused(reply, profile or {}))


_USER: Final = "/v1/users/{user}"


def _path_of(key: str) -> str:
    return f"/v1/users/{quote(key, safe='')}"
