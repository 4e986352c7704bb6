"""Driveri as a target: what each call of the port does there, and what its answers mean.

A driver has one group. What ADD does with a driver in another group is not documented: it may move the driver, refuse,
or keep both. So the driver is taken out of the others where Driveri has not moved it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Unpack

import httpx

from adapters.driveri.client import FIRST_PAGE, DriveriClient, everybody, refused
from adapters.driveri.wire import (
    DriveriAccess,
    DriverRow,
    StatusCodes,
    as_shown,
    is_from_driveri,
    is_same,
    shows,
    to_driver,
    to_status_codes,
    to_wire,
    words_of,
)
from adapters.http.client import SenderOptions, retrying_limited
from adapters.http.response import (
    MOST_OF_A_ROSTER,
    REFUSED,
    UNKNOWN_OUTCOME,
    ByteBudget,
    answered,
    read_back,
    without_effect,
)
from domain.cleaning import folded
from domain.failures import Reason, Rejected
from domain.identity import Key
from domain.matching import ObservedDriver, UnreadableRecords
from domain.ports import Answer, Done, Exists, Missing
from domain.profile import Profile, differing, tidy

_TAKEN: Final = re.compile(r"\b409\b|exist|already|taken|duplicate", re.IGNORECASE)
"""How a refusal may say that the key is taken; its code is not documented."""

_NOT_CREATED: Final = without_effect("answered without an error, but the driver is not there")
_STATUS_AS_IT_WAS: Final = without_effect("answered without an error, but the driver's status is as it was")
_MOST_GROUPS: Final = 8
"""Groups that a driver is taken out of in one go."""


class DriveriDrivers:
    """The drivers of one tenant of Driveri: `TargetDrivers`, where the key is the DriverID.

    A write is answered by a message only. So what `Done` has seen is what the write makes true, unless a look was
    needed anyway, as after a create; after a delete, which states no profile, it is nothing but the key.
    Source of the API: driveri-python-sdk 1.0.0.
    """

    def __init__(self, access: DriveriAccess, **options: Unpack[SenderOptions]) -> None:
        self._access = access
        self._pause = options.get("pause", asyncio.sleep)
        self._client = DriveriClient(access, **options)
        self._reading_codes = asyncio.Lock()
        self._known_codes: StatusCodes | None = None

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:
        """Every driver once, page by page; see `TargetDrivers.scan`."""
        codes = await retrying_limited(self._codes, self._pause)()
        self._client.has_left_out = False
        page = partial(self._client.page, unreadable=unreadable)
        paging = retrying_limited(_total().of(page), self._pause)
        async with aclosing(everybody(paging, FIRST_PAGE, is_ahead=True)) as pages:
            async for rows in pages:
                yield tuple(to_driver(row, codes) for row in rows)

    async def find(self, key: Key | None, profile: Profile) -> ObservedDriver | None:  # noqa: ARG002 # the key says it all
        """The driver of this DriverID, deleted or not; without one there is no driver to find."""
        return None if key is None else await self._look_up(key)

    async def gone(self, keys: Sequence[Key]) -> Sequence[Key]:
        """All of them, without a call: a scan succeeds only where the list has held still.

        Where a line of it could not be read, each is looked up: it may be any of them.
        """
        if not self._client.has_left_out:
            return keys
        find = retrying_limited(self._look_up, self._pause)
        return [key for key in keys if await find(key) is None]

    @answered
    async def create(self, key: Key | None, profile: Profile) -> Answer:
        """Make a driver of this DriverID, and read it back."""
        if key is None:
            return Rejected(reason=Reason.INVALID, detail="a Driveri driver needs a DriverID")
        return await self._unless_free(key, lambda: self._create(key, profile))

    @answered
    async def update(self, key: Key, profile: Profile, fields: Sequence[str]) -> Answer:
        """Bring the named fields to the profile: one call. If Driveri has none of them, only look."""
        return await self._update(key, profile, to_wire(profile, fields))

    @answered
    async def rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        """Give the driver another DriverID, with the profile: one call, if the id is free."""
        return await self._unless_free(desired_key, lambda: self._rename(key, desired_key, profile))

    @answered
    async def delete(self, key: Key) -> Answer:
        """Put the driver into the tenant's deleted status."""
        codes = await self._codes()
        reply = await self._client.edit(key, {"status": codes.deleted})
        if not reply.is_success:
            found = await self._look_up(key)
            if found is None:
                return Missing(key=key)
            return refused(reply, found.profile) if found.active else Done(seen=found)
        # A delete can be answered well and leave the driver active, so one look is taken at it.
        if row := _row_of(key, await read_back(self._client.lookup(key))):
            found = to_driver(row, codes)
        elif is_from_driveri(reply):
            found = ObservedDriver(key=key, active=False, profile={})
        else:
            found = await read_back(self._look_up(key))
        if found is not None and not found.active:
            return Done(seen=found)
        return _STATUS_AS_IT_WAS if is_from_driveri(reply) else UNKNOWN_OUTCOME

    @answered
    async def reinstate(self, key: Key, profile: Profile) -> Answer:
        """Bring the driver back, then make sure that it is active and has the profile."""
        reply = await self._client.add({"driverId": key, **to_wire(profile)}, reinstate=True)
        found = await read_back(self._look_up(key))
        if found is None:
            return refused(reply, profile) if reply.is_error else _NOT_CREATED
        if found.active and not differing(as_shown(profile), found.profile):
            return Done(seen=found)
        codes = await self._codes()
        answer = await self._update(found.key, profile, {"status": codes.active, **to_wire(profile)})
        if not isinstance(answer, Done):
            return answer
        now = found if found.active else await read_back(self._look_up(found.key))
        if now is None or not now.active:
            return _STATUS_AS_IT_WAS
        merged = tidy({**found.profile, **answer.seen.profile})
        return Done(seen=ObservedDriver(key=found.key, active=True, profile=merged), is_shown=answer.is_shown)

    async def probe(self) -> None:
        """Read the configurations again; see `TargetDrivers.probe`."""
        self._known_codes = to_status_codes(await self._client.statuses(), self._access)

    def slots(self) -> int:
        """How many calls may be under way now; see `TargetDrivers.slots`."""
        return self._client.slots()

    def free_in(self, calls: int) -> float:
        """In how many seconds this many calls may be under way; see `TargetDrivers.free_in`."""
        return self._client.free_in(calls)

    async def close(self) -> None:
        """Give our token back and close the connections."""
        await self._client.close()

    async def _unless_free(self, desired_key: Key, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of a call; once more where it was refused as if the desired key were taken, and it is not.

        The holder may have given it up between the refusal and the look-up.
        """
        answer = await call()
        is_held = isinstance(answer, Rejected) and answer.reason is Reason.INVALID and _TAKEN.search(answer.detail)
        return await call() if is_held and await self._look_up(desired_key) is None else answer

    async def _create(self, key: Key, profile: Profile) -> Answer:
        reply = await self._client.add({"driverId": key, **to_wire(profile)}, reinstate=False)
        if reply.is_success:
            # A create can report success without having made a driver.
            found = await read_back(self._look_up(key))
            return Done(seen=found) if found and found.active else _NOT_CREATED
        holder = await self._look_up(key) if reply.status_code in REFUSED else None
        return refused(reply, profile) if holder is None else Exists(seen=holder)

    async def _update(self, key: Key, profile: Profile, body: Mapping[str, object]) -> Answer:
        if not body:
            found = await self._look_up(key)
            return Missing(key=key) if found is None else Done(seen=found)
        reply = await self._edit(key, body)
        if reply.is_success:
            return await self._confirmed(reply, _done(key, profile), body)
        return Missing(key=key) if reply.status_code == httpx.codes.NOT_FOUND else refused(reply, profile)

    async def _rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:
        body = {"driverId": desired_key, **to_wire(profile)}
        reply = await self._edit(key, body)
        if reply.is_success:
            return await self._confirmed(reply, _done(desired_key, profile), body)
        is_unknown = reply.status_code == httpx.codes.NOT_FOUND
        otherwise = Missing(key=key) if is_unknown else refused(reply, profile)
        holder = await self._look_up(desired_key)
        if holder is None:
            return otherwise
        # The holder of the desired key may be the driver of the old one, renamed by an earlier call.
        if is_same(key, desired_key):
            return Done(seen=holder) if holder.key == desired_key else otherwise
        if holder.active and await self._look_up(key) is None:
            return Done(seen=holder)
        return otherwise if is_unknown else Exists(seen=holder)

    async def _edit(self, key: Key, body: Mapping[str, object]) -> httpx.Response:
        """Write these fields; out of another group first, where Driveri keeps the driver in that one."""
        reply = await self._client.edit(key, body)
        group = body.get("group")
        if not isinstance(group, Mapping):
            return reply
        # A write that is done, or refused for the group, can have left the driver in another one.
        is_refused_for_group = reply.status_code in REFUSED and "group" in words_of(reply).casefold()
        if not reply.is_success and not is_refused_for_group:
            return reply
        now = Key(str(body.get("driverId", key))) if reply.is_success else key
        left = await self._leave_others(now, str(group["name"]))
        if not left:
            return reply
        again = await self._client.edit(now, body)
        if again.is_error:
            for name in left:
                await self._client.edit(now, {"group": {"name": name, "action": "ADD"}})
        return again

    async def _leave_others(self, key: Key, group: str) -> Sequence[str]:
        """Take the driver out of every group but this one that Driveri shows; which they were."""
        left: list[str] = []
        while len(left) < _MOST_GROUPS:
            row = await read_back(self._row(key))
            # By which of its names a write names a group is not public.
            names = [row.group.group_unique_name, row.group.group_name] if row and row.group else []
            shown = [name for name in dict.fromkeys(names) if name]
            if folded(group) in map(folded, shown):
                break
            for name in [each for each in shown if each not in left]:
                reply = await self._client.edit(key, {"group": {"name": name, "action": "REMOVE"}})
                if not reply.is_error:
                    left.append(name)
                    break
            else:
                break
        return left

    async def _confirmed(self, reply: httpx.Response, done: Done, body: Mapping[str, object]) -> Answer:
        """`Done` if Driveri says so; where the answer has no form of Driveri's, only if it shows what was written."""
        if is_from_driveri(reply):
            return done
        found = await read_back(self._look_up(done.seen.key))
        is_shown = found is not None and found.active is done.seen.active and shows(found, body)
        return Done(seen=found) if found and is_shown else UNKNOWN_OUTCOME

    async def _look_up(self, key: Key) -> ObservedDriver | None:
        row = await self._row(key)
        return None if row is None else to_driver(row, await self._codes())

    async def _row(self, key: Key) -> DriverRow | None:
        codes = await self._codes()
        if row := _row_of(key, await self._client.lookup(key)):
            return row
        deleted = {**FIRST_PAGE, "state": str(codes.deleted)}
        async with aclosing(everybody(_total().of(self._client.page), deleted)) as pages:
            async for rows in pages:
                if row := _row_of(key, rows):
                    return row
        return None

    async def _codes(self) -> StatusCodes:
        async with self._reading_codes:
            if self._known_codes is None:
                self._known_codes = to_status_codes(await self._client.statuses(), self._access)
        return self._known_codes


def _row_of(key: Key, rows: Iterable[DriverRow]) -> DriverRow | None:
    """The driver of this id: written exactly so if there is one, else in another letter case."""
    alike = [row for row in rows if is_same(row.driver_id, key)]
    return next((row for row in alike if row.driver_id == key), alike[0] if alike else None)


def _done(key: Key, profile: Profile) -> Done:
    return Done(seen=ObservedDriver(key=key, active=True, profile=as_shown(profile)), is_shown=False)


def _total() -> ByteBudget:
    return ByteBudget("the roster", MOST_OF_A_ROSTER)
