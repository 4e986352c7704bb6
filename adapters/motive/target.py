"""Motive as a target: what each call of the port does there, and what its answers mean."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import Final, Unpack

import httpx

from adapters.http.client import SenderOptions
from adapters.http.failures import (
    REFUSED,
    UNKNOWN_OUTCOME,
    answered,
    read_back,
    unconfirmed,
    without_effect,
)
from adapters.http.rate_limit import retrying_limited
from adapters.http.response import MOST_OF_A_ROSTER, ByteBudget, OddLine
from adapters.motive.client import MotiveClient, everybody, refused
from adapters.motive.external_ids import (
    CREATE,
    MAY_BE_TAKEN,
    ExternalIdsName,
    ExternalIdWriter,
    IdentifierRelease,
    WorkingName,
    both_refused,
    have_arrived,
    may_be_of_form,
    new_ids,
    other_than,
)
from adapters.motive.wire import (
    ACTIVE,
    DEACTIVATED,
    DRIVER,
    MotiveAccess,
    User,
    shows,
    to_driver,
    to_wire,
    user_of,
    words_of,
)
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.matching import ObservedDriver, UnreadableRecords
from domain.ports import Answer, Done, Exists, Missing
from domain.profile import Profile, chosen

_TAKEN: Final = re.compile(r"\b(e-?mail|username)\b.*\b(taken|already|in use|exists?)\b", re.IGNORECASE | re.DOTALL)


class MotiveDrivers:
    """The drivers of one company in Motive: `TargetDrivers`, where the key is the user id.

    Only users with the role `driver` are touched. A call that must read the user anyway checks the role before it
    writes; the others rely on keys from the roster, and look at the role that the answer shows.
    """

    def __init__(self, access: MotiveAccess, **options: Unpack[SenderOptions]) -> None:
        self._access = access
        self._pause = options.get("pause", asyncio.sleep)
        self._client = MotiveClient(access, **options)
        self._external_ids = ExternalIdWriter(self._client, access)
        self._release = IdentifierRelease(self._client, access)
        self._name = WorkingName(CREATE)

    async def scan(self, unreadable: UnreadableRecords | None = None) -> AsyncGenerator[Sequence[ObservedDriver], None]:
        """Every driver once, page by page; see `TargetDrivers.scan`."""
        total = ByteBudget("the roster", MOST_OF_A_ROSTER)
        page = partial(self._client.page, unreadable=unreadable)
        async with aclosing(everybody(retrying_limited(total.of(page), self._pause))) as pages:
            async for users in pages:
                yield tuple(to_driver(user, self._access) for user in users if user.role == DRIVER)

    async def find(self, key: Key | None, profile: Profile) -> ObservedDriver | None:
        """The driver of this user id or, without one, the driver who carries the profile's portal driver id."""
        user = await self._carrier(profile) if key is None else await self._client.user(key)
        return to_driver(user, self._access) if user is not None and user.role == DRIVER else None

    async def gone(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Those that Motive does not know as drivers: one look for each, because its list can hide a user."""
        find, gone = retrying_limited(self.find, self._pause), list[Key]()
        for key in keys:
            with suppress(OddLine):  # one in a form that cannot be read is there
                if await find(key, {}) is None:
                    gone.append(key)
        return gone

    @answered
    async def create(self, key: Key | None, profile: Profile) -> Answer:  # noqa: ARG002 # Motive gives the key
        """Make a user with the role `driver`, and read it back."""
        return await self._with_identifiers_freed(None, profile, lambda: self._create(profile))

    @answered
    async def update(self, key: Key, profile: Profile, fields: Sequence[str]) -> Answer:
        """Bring the named fields to the profile: one call, if neither of our external ids is among them."""
        written = chosen(profile, fields)
        return await self._with_identifiers_freed(key, written, lambda: self._update(key, profile, fields))

    async def rename(self, key: Key, desired_key: Key, profile: Profile) -> Answer:  # noqa: ARG002 # ids are for good
        """Bring the whole profile: a user id cannot be changed, only the external ids can."""
        return await self.update(key, profile, tuple(profile))

    @answered
    async def delete(self, key: Key) -> Answer:
        """Deactivate the driver without its DriverID, which may become another's, and read it back."""
        before = await self._driver(key)
        if not isinstance(before, User):
            return before
        shown = to_driver(before, self._access)
        is_taken_off = await self._release.take_off_driver_id(before)
        if not shown.active and not is_taken_off:
            return Done(seen=shown)
        if shown.active and await self._client.edit(key, {"status": DEACTIVATED}, shown.profile) is None:
            return Missing(key=key)
        after = await read_back(self._client.user(key))
        return Missing(key=key) if after is None else _if_active(self._done(after), desired=False)

    @answered
    async def reinstate(self, key: Key, profile: Profile) -> Answer:
        """Make the driver active again with this profile, and read it back."""
        return await self._with_identifiers_freed(key, profile, lambda: self._reinstate(key, profile))

    async def probe(self) -> None:
        """Read the shortest page of the list; see `TargetDrivers.probe`."""
        await self._client.page(1, size=1)

    def slots(self) -> int:
        """How many calls may be under way now; see `TargetDrivers.slots`."""
        return self._client.slots()

    def free_in(self, calls: int) -> float:
        """In how many seconds this many calls may be under way; see `TargetDrivers.free_in`."""
        return self._client.free_in(calls)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _with_identifiers_freed(
        self, key: Key | None, written: Profile, call: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer of a call; once more where what it writes was taken, and those who had it have given it up."""
        try:
            answer = await call()
        except TargetFailed as failed:
            answer = failed.failure
        if not isinstance(answer, Rejected) or answer.reason not in MAY_BE_TAKEN:
            return answer
        is_taken = not may_be_of_form(answer.detail)
        may_fit_now = await self._release.free_identifiers(key, written, is_taken=is_taken)
        return await call() if may_fit_now else answer

    async def _create(self, profile: Profile) -> Answer:
        name = self._name.name
        reply = await self._client.create(self._new_user(profile, name))
        if reply.status_code not in REFUSED:
            return await self._answered_create(reply, profile, name)
        holder = await self._known(profile)
        if holder is not None:
            return Exists(seen=to_driver(holder, self._access)) if holder.role == DRIVER else _foreign(holder)
        if _TAKEN.search(words_of(reply)):
            detail = "the e-mail address or the username belongs to a user that this company cannot see"
            return Rejected(reason=Reason.TAKEN_ELSEWHERE, detail=detail)
        if reply.status_code == httpx.codes.CONFLICT or not may_be_of_form(words_of(reply)):
            return refused(reply, profile)
        other = other_than(name)
        again = await self._client.create(self._new_user(profile, other))
        if again.status_code in REFUSED:
            return both_refused(refused(reply, profile), other, refused(again, profile))
        return await self._answered_create(again, profile, other)

    def _new_user(self, profile: Profile, name: ExternalIdsName) -> dict[str, object]:
        body = {**to_wire(profile), "role": DRIVER, name: new_ids(profile, self._access)}
        return body if "email" in profile else body | self._username(profile)

    def _username(self, profile: Profile) -> dict[str, str]:
        driver = profile.get("portal_driver_id")
        return {"username": f"{self._access.portal_integration}-{driver}"} if driver else {}

    async def _answered_create(self, reply: httpx.Response, profile: Profile, name: ExternalIdsName) -> Answer:
        """What became of a create that was not refused."""
        if reply.is_error:
            return refused(reply, profile)
        if reply.status_code != httpx.codes.CREATED:
            return without_effect(f"answered {reply.status_code} in place of 201: the key seems to be in test mode")
        try:
            shown = user_of(reply)
            made = await read_back(self._known(profile) if shown is None else self._client.user(shown.key))
            if made is None:
                return without_effect("answered 201, but the user is not there")
            if have_arrived(made, profile, self._access):
                self._name.has_worked(name)
            else:
                self._name.has_failed(name)
            return await self._write(made, profile, {}) if made.role == DRIVER else _foreign(made)
        except TargetFailed as failed:
            return unconfirmed(failed)

    async def _known(self, profile: Profile) -> User | None:
        """The visible user that a create with this profile makes, or collides with."""
        if carrier := await self._carrier(profile):
            return carrier
        query = chosen(profile, ["email"]) or self._username(profile)
        return await self._client.lookup(**query) if query else None

    async def _carrier(self, profile: Profile) -> User | None:
        driver = profile.get("portal_driver_id")
        return await self._client.lookup_by_external_id(driver, self._access.portal_integration) if driver else None

    async def _update(self, key: Key, profile: Profile, fields: Sequence[str]) -> Answer:
        body = to_wire(profile, fields)
        names_external_id = not self._access.integrations().keys().isdisjoint(fields)
        if body and not names_external_id:
            return await self._put(key, profile, body)
        before = await self._driver(key)
        if not isinstance(before, User):
            return before
        return await self._write(before, profile, body) if names_external_id else self._done(before)

    async def _put(self, key: Key, profile: Profile, body: Mapping[str, object]) -> Answer:
        reply = await self._client.edit(key, body, profile)
        if reply is None:
            return Missing(key=key)
        user = user_of(reply)
        if user is not None and user.key == key:
            return self._done(user, profile) if user.role == DRIVER else _foreign(user)
        now = await read_back(self._driver(key))
        if not isinstance(now, User):
            return now
        return self._done(now) if shows(now, body) else UNKNOWN_OUTCOME

    async def _reinstate(self, key: Key, profile: Profile) -> Answer:
        before = await self._driver(key)
        if not isinstance(before, User):
            return before
        try:
            answer = await self._write(before, profile, {"status": ACTIVE, **to_wire(profile)})
        except TargetFailed as failed:
            answer = failed.failure
        if isinstance(answer, Rejected) and answer.reason is Reason.INVALID and may_be_of_form(answer.detail):
            answer = await self._reinstate_first(before, profile, answer)
        return _if_active(answer, desired=True)

    async def _reinstate_first(self, before: User, profile: Profile, refused: Rejected) -> Answer:
        """A reinstate whose fields were refused, once more in two steps: a deactivated user may not be editable."""
        if before.status != DEACTIVATED:
            return refused
        if await self._client.edit(before.key, {"status": ACTIVE}, profile) is None:
            return Missing(key=before.key)
        active = await read_back(self._client.user(before.key))
        if active is None:
            return Missing(key=before.key)
        return refused if active.status == DEACTIVATED else await self._write(active, profile, to_wire(profile))

    async def _driver(self, key: Key) -> User | Missing | Rejected:
        user = await self._client.user(key)
        if user is None:
            return Missing(key=key)
        return user if user.role == DRIVER else _foreign(user)

    async def _write(self, before: User, profile: Profile, body: Mapping[str, object]) -> Answer:
        after = await self._external_ids.write(before, profile, body)
        if after is None:
            return Missing(key=before.key)
        return after if isinstance(after, Rejected) else self._done(after)

    def _done(self, user: User, written: Profile | None = None) -> Done:
        """What the user shows; external ids that the answer to a write leaves out are taken to be as desired."""
        seen = to_driver(user, self._access)
        if written is None or user.external_ids is not None:
            return Done(seen=seen)
        return Done(seen=replace(seen, profile={**seen.profile, **chosen(written, self._access.integrations())}))


def _if_active(answer: Answer, *, desired: bool) -> Answer:
    if not isinstance(answer, Done) or answer.seen.active is desired:
        return answer
    return without_effect("answered without an error, but the user's status is as it was")


def _foreign(user: User) -> Rejected:
    return Rejected(reason=Reason.FOREIGN_ROLE, detail=f"user {user.id} has the role {user.role}, not {DRIVER}")
