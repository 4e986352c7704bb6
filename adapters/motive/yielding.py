"""Deactivated users give up what an active driver needs and Motive has once only: the DriverID and the e-mail address.

A user who was deactivated keeps our portal driver id, so that a re-hire is found by it.
"""

from typing import Final

from adapters.motive.access import MotiveAccess
from adapters.motive.client import MotiveClient
from adapters.motive.external_ids import shown_ids, stale
from adapters.motive.translate import DEACTIVATED, DRIVER
from adapters.motive.wire import User
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import Key
from domain.profile import Profile

MAY_BE_TAKEN: Final = frozenset({Reason.INVALID, Reason.TAKEN_ELSEWHERE})
"""Why a write can have been refused because somebody else has what is unique."""


class Yielding:
    """Takes off deactivated drivers what somebody else needs. Each call raises `TargetFailed`."""

    def __init__(self, client: MotiveClient, access: MotiveAccess) -> None:
        self._client = client
        self._access = access

    async def take_off_driver_id(self, user: User) -> bool:
        """Take the DriverID off a user, where the record can be named; whether there was one."""
        records = [entry.id for entry in stale(user, {}, self._access) if entry.id is not None]
        for record in records:
            await self._client.remove_external_id(record)
        return bool(records)

    async def make_room(self, key: Key | None, profile: Profile) -> bool:
        """Have deactivated users give up what this profile needs for the user of this key; whether anybody did."""
        is_id_free = await self._free_driver_id(key, profile.get("driveri_driver_id"))
        is_email_free = await self._free_email(key, profile.get("email"))
        return is_id_free or is_email_free

    async def is_free(self, key: Key | None, profile: Profile) -> bool:
        """Whether no other user has what is unique in this profile: whoever had it has given it up meanwhile."""
        driver_id, email = profile.get("driveri_driver_id"), profile.get("email")
        holders = [
            await self._client.lookup_by_external_id(driver_id, self._access.driveri_integration)
            if driver_id
            else None,
            await self._client.lookup(email=email) if email else None,
        ]
        return all(holder is None or holder.key == key for holder in holders)

    async def _free_driver_id(self, key: Key | None, driver_id: str | None) -> bool:
        if not driver_id:
            return False
        holder = await self._client.lookup_by_external_id(driver_id, self._access.driveri_integration)
        if not _is_dead(holder, key):
            return False
        user = await self._client.user(holder.key) if holder else None
        return user is not None and await self.take_off_driver_id(user)

    async def _free_email(self, key: Key | None, email: str | None) -> bool:
        """An address cannot be cleared, so a user who was ours gets one that nobody can have (RFC 2606)."""
        holder = await self._client.lookup(email=email) if email else None
        if holder is None or not _is_dead(holder, key) or "portal_driver_id" not in shown_ids(holder, self._access):
            return False
        try:
            await self._client.edit(holder.key, {"email": f"former-{holder.id}@driverlink.invalid"}, {})
        except TargetFailed as failed:
            if isinstance(failed.failure, Rejected):
                return False
            raise
        return True


def _is_dead(holder: User | None, key: Key | None) -> bool:
    return holder is not None and holder.key != key and (holder.role, holder.status) == (DRIVER, DEACTIVATED)
