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

    async def make_room(self, key: Key | None, profile: Profile, *, is_taken: bool) -> bool:
        """Have deactivated users give up what this profile needs for the user of this key; whether to write again.

        So it is where one gave something up or, if the value is said to be taken, where no other user has it any more.
        """
        id_holder, email_holder = await self._holders(key, profile)
        is_id_free = await self._free_driver_id(id_holder)
        is_email_free = await self._free_email(email_holder)
        return is_id_free or is_email_free or (is_taken and id_holder is None and email_holder is None)

    async def _free_driver_id(self, holder: User | None) -> bool:
        user = await self._client.user(holder.key) if holder and _is_dead(holder) else None
        return user is not None and await self.take_off_driver_id(user)

    async def _free_email(self, holder: User | None) -> bool:
        """An address cannot be cleared, so a user who was ours gets one that nobody can have (RFC 2606)."""
        if holder is None or not _is_dead(holder) or "portal_driver_id" not in shown_ids(holder, self._access):
            return False
        try:
            await self._client.edit(holder.key, {"email": f"former-{holder.id}@driverlink.invalid"}, {})
        except TargetFailed as failed:
            if isinstance(failed.failure, Rejected):
                return False
            raise
        return True

    async def _holders(self, key: Key | None, profile: Profile) -> tuple[User | None, User | None]:
        """The other user who has the DriverID of this profile, and the one who has its e-mail address."""
        driver_id, email = profile.get("driveri_driver_id"), profile.get("email")
        integration = self._access.driveri_integration
        by_id = await self._client.lookup_by_external_id(driver_id, integration) if driver_id else None
        by_email = await self._client.lookup(email=email) if email else None
        return _other_than(key, by_id), _other_than(key, by_email)


def _other_than(key: Key | None, holder: User | None) -> User | None:
    return holder if holder is not None and holder.key != key else None


def _is_dead(holder: User) -> bool:
    return (holder.role, holder.status) == (DRIVER, DEACTIVATED)
