"""The external ids of a user in Motive: which it carries, should carry, and has lost, and the writes that set them.

The integration guide calls them `external_ids`, the reference `external_ids_attributes`, and what a target does with
the name that it does not know is not stated: it may refuse it, or answer well and leave the external ids alone.
A user who is deactivated gives up what an active driver needs and Motive has only once: the DriverID and the e-mail
address. It keeps our portal driver id, so that a re-hire is found by it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import structlog

from adapters.http.failures import UNKNOWN_OUTCOME, RepeatRefused, read_back, without_effect
from adapters.motive.client import MotiveClient
from adapters.motive.wire import DEACTIVATED, DRIVER, ExternalId, MotiveAccess, User, shown_ids, shows, user_of
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.profile import Profile


def desired_ids(profile: Profile, access: MotiveAccess) -> dict[str, str]:
    """The external ids that the profile states, by integration name."""
    return {integration: profile[field] for field, integration in access.integrations().items() if field in profile}


def new_ids(profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """The external ids of a user yet to be made, as Motive takes them."""
    return [_as_sent(None, external_id, name) for name, external_id in desired_ids(profile, access).items()]


def full_set(user: User, profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """All external ids as Motive takes them: other integrations' as they are, ours as desired, each in its record."""
    others = [_as_sent(entry.id, entry.external_id, entry.integration_name) for entry in _others(user, access)]
    ours = []
    for integration, external_id in desired_ids(profile, access).items():
        entries = _named((integration,), user)
        same = [entry for entry in entries if entry.external_id == external_id]
        ours.append(_as_sent(next((entry.id for entry in same + entries), None), external_id, integration))
    return others + ours


def are_in_step(user: User, profile: Profile, access: MotiveAccess) -> bool:
    """Whether the user carries our external ids as desired, and no others under our names."""
    return have_arrived(user, profile, access) and not stale(user, profile, access)


def have_arrived(user: User, profile: Profile, access: MotiveAccess) -> bool:
    """Whether the user carries our external ids as desired, whatever else stands under our names."""
    carried = {(entry.integration_name, entry.external_id) for entry in user.external_ids or ()}
    return carried.issuperset(desired_ids(profile, access).items())


def stale(user: User, profile: Profile, access: MotiveAccess) -> list[ExternalId]:
    """Entries under our names that the profile does not state.

    A profile without a portal driver id says nothing about that one, because every portal driver has one.
    """
    desired = desired_ids(profile, access)
    names = {access.driveri_integration, *desired}
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


ExternalIdsName = Literal["external_ids", "external_ids_attributes"]

EDIT: Final[ExternalIdsName] = "external_ids"
"""What the integration guide calls them where a user is edited."""

CREATE: Final[ExternalIdsName] = "external_ids_attributes"
"""What the reference calls them where a user is made; the guide makes none."""

_OTHER: Final[dict[ExternalIdsName, ExternalIdsName]] = {
    "external_ids": "external_ids_attributes",
    "external_ids_attributes": "external_ids",
}
_TAKEN: Final = re.compile(r"\b(taken|already|in use|exists?|duplicate|unique)\b", re.IGNORECASE)


class WorkingName:
    """The name that is used for one kind of call: the one that is stated for it, until the other is known to work.

    It is kept for as long as the account is connected. After a restart it is found out again, which costs one call.
    """

    def __init__(self, stated: ExternalIdsName) -> None:
        self._name = stated

    @property
    def name(self) -> ExternalIdsName:
        """The name to use first."""
        return self._name

    def has_worked(self, name: ExternalIdsName) -> None:
        """Use this name from now on."""
        self._name = name

    def has_failed(self, name: ExternalIdsName) -> None:
        """Use the other name from now on."""
        self._name = other_than(name)


def other_than(name: ExternalIdsName) -> ExternalIdsName:
    """The name to try once where this one does not work."""
    return _OTHER[name]


def may_be_of_form(words: str) -> bool:
    """Whether a refusal in these words can be about the form of a write, and not about a value that is taken."""
    return not _TAKEN.search(words)


def both_refused(first: Rejected, other: ExternalIdsName, second: Rejected) -> Rejected:
    """What did not work under one name, and the refusal under the other if it says something else."""
    if first.detail == second.detail:
        return first
    return Rejected(reason=second.reason, detail=f"{first.detail}; with {other}: {second.detail}")


_log = structlog.stdlib.get_logger()

_NOT_ARRIVED: Final = without_effect("answered without an error, but our external ids are not there")
_NEITHER: Final = without_effect(
    f"{_NOT_ARRIVED.detail}, neither as external_ids nor as external_ids_attributes, as Motive's texts call them"
)


class ExternalIdWriter:
    """Writes to a user so that our external ids are as desired, and those of other integrations are kept.

    Whether an update merges or replaces external ids is not stated anywhere, nor by which of two names it takes them.
    So it sends the full set, reads back, restores what is missing and removes what is no longer desired.
    Where ours have not arrived it tries the other name once, and goes on with the one that works.
    """

    def __init__(self, client: MotiveClient, access: MotiveAccess) -> None:
        self._client = client
        self._access = access
        self._name = WorkingName(EDIT)

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
        return None if now is None else await self._otherwise(other_than(name), now, profile, {}, _NOT_ARRIVED)

    async def _refused(
        self, name: ExternalIdsName, before: User, profile: Profile, body: Mapping[str, object], failed: TargetFailed
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
        if is_repeat or not isinstance(refusal, Rejected) or not may_be_of_form(refusal.detail):
            raise failed
        return await self._otherwise(other_than(name), now, profile, body, refusal)

    async def _otherwise(
        self, other: ExternalIdsName, now: User, profile: Profile, body: Mapping[str, object], first: Rejected
    ) -> User | Rejected | None:
        """The same write once more under the other name, which has to answer better than the first did."""
        try:
            result = await self._write_under(other, now, profile, body)
        except TargetFailed as again:
            if not isinstance(again.failure, Rejected) or again.failure.reason is not Reason.INVALID:
                raise
            # Where the first was answered well, it may be shown only later: that is looked up.
            return replace(both_refused(first, other, again.failure), reason=first.reason)
        if not _has_no_effect(result):
            return result
        return first if first.reason is Reason.INVALID else _NEITHER

    async def _write_under(
        self, name: ExternalIdsName, before: User, profile: Profile, body: Mapping[str, object]
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
        surplus = stale(after, profile, self._access) if have_arrived(after, profile, self._access) else []
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


MAY_BE_TAKEN: Final = frozenset({Reason.INVALID, Reason.TAKEN_ELSEWHERE})
"""Why a write can have been refused because another user has what is unique."""


class IdentifierRelease:
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
