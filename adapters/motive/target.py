"""Motive as a target: what each call of the port does there, and what its answers mean.

The integration guide calls a user's external ids `external_ids`, the reference `external_ids_attributes`, and what a
target does with the name that it does not know is not stated: it may refuse it, or answer well and leave the external
ids alone.
A user who is deactivated gives up what an active driver needs and Motive has only once: the DriverID and the e-mail
address. It keeps our portal driver id, so that a re-hire is found by it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import Final, Literal, Unpack

import httpx
import structlog

from adapters.http.client import SenderOptions, retrying_limited
from adapters.http.response import (
    MOST_OF_A_ROSTER,
    REFUSED,
    UNKNOWN_OUTCOME,
    ByteBudget,
    OddLine,
    RepeatRefused,
    answered,
    read_back,
    unconfirmed,
    without_effect,
)
from adapters.motive.client import MotiveClient, everybody, refused
from adapters.motive.wire import (
    ACTIVE,
    DEACTIVATED,
    DRIVER,
    ExternalId,
    MotiveAccess,
    User,
    shown_ids,
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


def _desired_ids(profile: Profile, access: MotiveAccess) -> dict[str, str]:
    """The external ids that the profile states, by integration name."""
    return {name: text for field, name in access.integrations().items() if (text := profile.get(field))}


def new_ids(profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """The external ids of a user yet to be made, as Motive takes them."""
    return [_as_sent(None, external_id, name) for name, external_id in _desired_ids(profile, access).items()]


def full_set(user: User, profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """All external ids as Motive takes them: other integrations' as they are, ours as desired, each in its record."""
    others = [_as_sent(entry.id, entry.external_id, entry.integration_name) for entry in _others(user, access)]
    ours = []
    for integration, external_id in _desired_ids(profile, access).items():
        entries = _named((integration,), user)
        same = [entry for entry in entries if entry.external_id == external_id]
        ours.append(_as_sent(next((entry.id for entry in same + entries), None), external_id, integration))
    return others + ours


def are_in_step(user: User, profile: Profile, access: MotiveAccess) -> bool:
    """Whether the user carries our external ids as desired, and no others under our names."""
    return _have_arrived(user, profile, access) and not stale(user, profile, access)


def _have_arrived(user: User, profile: Profile, access: MotiveAccess) -> bool:
    """Whether the user carries our external ids as desired, whatever else stands under our names."""
    carried = {(entry.integration_name, entry.external_id) for entry in user.external_ids or ()}
    return carried.issuperset(_desired_ids(profile, access).items())


def stale(user: User, profile: Profile, access: MotiveAccess) -> list[ExternalId]:
    """Entries under our names that the profile does not state.

    A profile without a portal driver id says nothing about that one, because every portal driver has one; a blank one
    takes it away.
    """
    desired = _desired_ids(profile, access)
    stated = {name for field, name in access.integrations().items() if field in profile}
    names = {access.driveri_integration, *stated}
    return [entry for entry in _named(names, user) if desired.get(entry.integration_name or "") != entry.external_id]


def lost(before: User, after: User, access: MotiveAccess) -> list[ExternalId]:
    """Entries of other integrations that were there before and are not any more."""
    kept = {(entry.external_id, entry.integration_name) for entry in after.external_ids or ()}
    return [entry for entry in _others(before, access) if (entry.external_id, entry.integration_name) not in kept]


def _as_sent(record: int | None, external_id: str | None, integration: str | None) -> dict[str, object]:
    entry: Mapping[str, object] = {"id": record, "external_id": external_id, "integration_name": integration}
    return {name: value for name, value in entry.items() if value is not None}


def _others(user: User, access: MotiveAccess) -> list[ExternalId]:
    ours = frozenset(access.integrations().values())
    return [entry for entry in user.external_ids or () if entry.integration_name not in ours]


def _named(names: Collection[str], user: User) -> list[ExternalId]:
    return [entry for entry in user.external_ids or () if entry.integration_name in names]


_ExternalIdsName = Literal["external_ids", "external_ids_attributes"]

EDIT: Final[_ExternalIdsName] = "external_ids"
"""What the integration guide calls them where a user is edited."""

CREATE: Final[_ExternalIdsName] = "external_ids_attributes"
"""What the reference calls them where a user is made; the guide makes none."""

_OTHER: Final[dict[_ExternalIdsName, _ExternalIdsName]] = {
    "external_ids": "external_ids_attributes",
    "external_ids_attributes": "external_ids",
}
_TAKEN: Final = re.compile(r"\b(taken|already|in use|exists?|duplicate|unique)\b", re.IGNORECASE)


class _WorkingName:
    """The name that is used for one kind of call: the one that is stated for it, until the other is known to work.

    It is kept for as long as the account is connected. After a restart it is found out again, which costs one call.
    """

    def __init__(self, stated: _ExternalIdsName) -> None:
        self._name = stated

    @property
    def name(self) -> _ExternalIdsName:
        """The name to use first."""
        return self._name

    def has_worked(self, name: _ExternalIdsName) -> None:
        """Use this name from now on."""
        self._name = name

    def has_failed(self, name: _ExternalIdsName) -> None:
        """Use the other name from now on."""
        self._name = _other_than(name)


def _other_than(name: _ExternalIdsName) -> _ExternalIdsName:
    """The name to try once where this one does not work."""
    return _OTHER[name]


def _may_be_of_form(words: str) -> bool:
    """Whether a refusal in these words can be about the form of a write, and not about a value that is taken."""
    return not _TAKEN.search(words)


def _both_refused(first: Rejected, other: _ExternalIdsName, second: Rejected) -> Rejected:
    """What did not work under one name, and the refusal under the other if it says something else."""
    if first.detail == second.detail:
        return first
    return Rejected(reason=second.reason, detail=f"{first.detail}; with {other}: {second.detail}")


_log = structlog.stdlib.get_logger()

_NOT_ARRIVED: Final = without_effect("answered without an error, but our external ids are not there")
_NEITHER: Final = without_effect(
    f"{_NOT_ARRIVED.detail}, neither as external_ids nor as external_ids_attributes, as Motive's texts call them"
)


class _ExternalIdWriter:
    """Writes to a user so that our external ids are as desired, and those of other integrations are kept.

    Whether an update merges or replaces external ids is not stated anywhere, nor by which of two names it takes them.
    So it sends the full set, reads back, restores what is missing and removes what is no longer desired.
    Where ours have not arrived it tries the other name once, and goes on with the one that works.
    """

    def __init__(self, client: MotiveClient, access: MotiveAccess) -> None:
        self._client = client
        self._access = access
        self._name = _WorkingName(EDIT)

    async def write(self, before: User, profile: Profile, body: Mapping[str, object]) -> User | Rejected | None:
        """The user once the fields and the external ids are written; None if the user is not there any more.

        Raises `TargetFailed` when Motive refuses, or does not answer.
        """
        if are_in_step(before, profile, self._access):
            return await self._written(before, profile, body, body) if body else before
        name = self._name.name
        try:
            result = await self._write_under(name, before, profile, body)
        except TargetFailed as failed:
            return await self._refused(name, before, profile, body, failed)
        if not _has_no_effect(result):
            return result
        now = await read_back(self._client.user(before.key))
        return None if now is None else await self._otherwise(_other_than(name), now, profile, {}, _NOT_ARRIVED)

    async def _refused(
        self, name: _ExternalIdsName, before: User, profile: Profile, body: Mapping[str, object], failed: TargetFailed
    ) -> User | Rejected | None:
        """What becomes of a write that was refused under one name."""
        refusal, is_repeat = failed.failure, isinstance(failed, RepeatRefused)
        may_be_there = is_repeat or refusal.reason is Reason.INVALID
        now = await read_back(self._client.user(before.key)) if may_be_there else None
        if now is None:
            raise failed
        if now.external_ids != before.external_ids:
            # A first try took effect and only a second was heard, which adds what is there already.
            return await self.write(now, profile, body)
        if is_repeat or not isinstance(refusal, Rejected) or not _may_be_of_form(refusal.detail):
            raise failed
        return await self._otherwise(_other_than(name), now, profile, body, refusal)

    async def _otherwise(
        self, other: _ExternalIdsName, now: User, profile: Profile, body: Mapping[str, object], first: Rejected
    ) -> User | Rejected | None:
        """The same write once more under the other name, which has to answer better than the first did."""
        try:
            result = await self._write_under(other, now, profile, body)
        except TargetFailed as again:
            if not isinstance(again.failure, Rejected) or again.failure.reason is not Reason.INVALID:
                raise
            # Where the first was answered well, it may be shown only later: that is looked up.
            return replace(_both_refused(first, other, again.failure), reason=first.reason)
        if not _has_no_effect(result):
            return result
        return first if first.reason is Reason.INVALID else _NEITHER

    async def _write_under(
        self, name: _ExternalIdsName, before: User, profile: Profile, body: Mapping[str, object]
    ) -> User | Rejected | None:
        """The write with the external ids under this name."""
        full = {**body, name: full_set(before, profile, self._access)}
        result = await self._written(before, profile, body, full)
        if isinstance(result, User):
            self._name.has_worked(name)
        return result

    async def _written(
        self, before: User, profile: Profile, body: Mapping[str, object], full: Mapping[str, object]
    ) -> User | Rejected | None:
        reply = await self._client.edit(before.key, full, profile)
        after = None if reply is None else await read_back(self._client.user(before.key))
        if reply is None or after is None:
            return None
        if user_of(reply) is None and not shows(after, body):
            raise TargetFailed(UNKNOWN_OUTCOME)
        missing = lost(before, after, self._access)
        surplus = stale(after, profile, self._access) if _have_arrived(after, profile, self._access) else []
        if not missing and not surplus:
            return self._judged(before, after, profile)
        try:
            mended = await self._mend(before.key, missing, surplus)
        except TargetFailed:
            if missing:
                return _unrestored(missing)
            raise
        return None if mended is None else self._judged(before, mended, profile)

    async def _mend(self, key: str, missing: Sequence[ExternalId], surplus: Sequence[ExternalId]) -> User | None:
        for entry in missing:
            try:
                await self._client.add_external_id(key, entry)
            except TargetFailed:
                continue  # reading back shows that it is still missing
            _log.warning("external_id_restored", user=key, integration=entry.integration_name)
        for record in [entry.id for entry in surplus if entry.id is not None]:
            await self._client.remove_external_id(record)
        return await read_back(self._client.user(key))

    def _judged(self, before: User, after: User, profile: Profile) -> User | Rejected:
        missing = lost(before, after, self._access)
        if missing:
            return _unrestored(missing)
        if not are_in_step(after, profile, self._access):
            return _NOT_ARRIVED
        return after


def _has_no_effect(result: User | Rejected | None) -> bool:
    return isinstance(result, Rejected) and result.reason is Reason.NOT_EFFECTIVE


def _unrestored(missing: Sequence[ExternalId]) -> Rejected:
    integrations = ", ".join(sorted({entry.integration_name or "unnamed" for entry in missing}))
    detail = f"external ids of other integrations were lost and could not be restored: {integrations}"
    return Rejected(reason=Reason.NOT_RESTORED, detail=detail)


_MAY_BE_TAKEN: Final = frozenset({Reason.INVALID, Reason.TAKEN_ELSEWHERE})
"""Why a write can have been refused because another user has what is unique."""


class _IdentifierRelease:
    """Releases identifiers of deactivated users that active drivers need. Each call raises `TargetFailed`."""

    def __init__(self, client: MotiveClient, access: MotiveAccess) -> None:
        self._client = client
        self._access = access

    async def take_off_driver_id(self, user: User) -> bool:
        """Take the DriverID off a user, where the record can be named; whether there was one."""
        records = [entry.id for entry in stale(user, {}, self._access) if entry.id is not None]
        for record in records:
            await self._client.remove_external_id(record)
        return bool(records)

    async def free_identifiers(self, key: Key | None, profile: Profile, *, is_taken: bool) -> bool:
        """Have deactivated users give up what this profile needs for the user of this key; whether to write again.

        So it is where one gave something up or, if the value is said to be taken, where no other user has it any more.
        """
        driver_id, email = profile.get("driveri_driver_id"), profile.get("email")
        integration = self._access.driveri_integration
        by_id = await self._client.lookup_by_external_id(driver_id, integration) if driver_id else None
        by_email = await self._client.lookup(email=email) if email else None
        id_holder, email_holder = (user if user and user.key != key else None for user in (by_id, by_email))
        dead = await self._client.user(id_holder.key) if id_holder and _is_dead(id_holder) else None
        is_id_free = dead is not None and await self.take_off_driver_id(dead)
        is_email_free = await self._free_email(email_holder)
        return is_id_free or is_email_free or (is_taken and id_holder is None and email_holder is None)

    async def _free_email(self, holder: User | None) -> bool:
        """An address cannot be cleared, so a user who was ours gets one that no person can have (RFC 2606)."""
        if holder is None or not _is_dead(holder) or "portal_driver_id" not in shown_ids(holder, self._access):
            return False
        try:
            await self._client.edit(holder.key, {"email": f"former-{holder.id}@driverlink.invalid"}, {})
        except TargetFailed as failed:
            if isinstance(failed.failure, Rejected):
                return False
            raise
        return True


def _is_dead(holder: User) -> bool:
    return (holder.role, holder.status) == (DRIVER, DEACTIVATED)


_LOGIN_TAKEN: Final = re.compile(
    r"\b(e-?mail|username)\b.*\b(taken|already|in use|exists?)\b", re.IGNORECASE | re.DOTALL
)


class MotiveDrivers:
    """The drivers of one company in Motive: `TargetDrivers`, where the key is the user id.

    Only users with the role `driver` are touched. A call that must read the user anyway checks the role before it
    writes; the others rely on keys from the roster, and look at the role that the answer shows.
    """

    def __init__(self, access: MotiveAccess, **options: Unpack[SenderOptions]) -> None:
        self._access = access
        self._pause = options.get("pause", asyncio.sleep)
        self._client = MotiveClient(access, **options)
        self._external_ids = _ExternalIdWriter(self._client, access)
        self._release = _IdentifierRelease(self._client, access)
        self._name = _WorkingName(CREATE)

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
        if not isinstance(answer, Rejected) or answer.reason not in _MAY_BE_TAKEN:
            return answer
        is_taken = not _may_be_of_form(answer.detail)
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
        if _LOGIN_TAKEN.search(words_of(reply)):
            detail = "the e-mail address or the username belongs to a user that this company cannot see"
            return Rejected(reason=Reason.TAKEN_ELSEWHERE, detail=detail)
        if reply.status_code == httpx.codes.CONFLICT or not _may_be_of_form(words_of(reply)):
            return refused(reply, profile)
        other = _other_than(name)
        again = await self._client.create(self._new_user(profile, other))
        if again.status_code in REFUSED:
            return _both_refused(refused(reply, profile), other, refused(again, profile))
        return await self._answered_create(again, profile, other)

    def _new_user(self, profile: Profile, name: _ExternalIdsName) -> dict[str, object]:
        body = {**to_wire(profile), "role": DRIVER, name: new_ids(profile, self._access)}
        return body if "email" in profile else body | self._username(profile)

    def _username(self, profile: Profile) -> dict[str, str]:
        driver = profile.get("portal_driver_id")
        return {"username": f"{self._access.portal_integration}-{driver}"} if driver else {}

    async def _answered_create(self, reply: httpx.Response, profile: Profile, name: _ExternalIdsName) -> Answer:
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
            if _have_arrived(made, profile, self._access):
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
        if isinstance(answer, Rejected) and answer.reason is Reason.INVALID and _may_be_of_form(answer.detail):
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
