from collections.abc import Mapping, Sequence

import structlog

from adapters.doubting import NOT_TOLD, read_back, without_effect
from adapters.http import RepeatRefused
from adapters.motive.access import MotiveAccess
from adapters.motive.client import MotiveClient
from adapters.motive.external_ids import are_in_step, full_set, lost, stale
from adapters.motive.wire import ExternalId, User, shows, user_of
from domain.failures import Reason, Rejected, TargetFailed
from domain.profile import Profile

_log = structlog.stdlib.get_logger()


class Upkeep:
    """Writes to a user so that ours are as wished among the external ids, and nobody else's gets lost.

    Whether an update merges or replaces external ids is not stated anywhere.
    So it sends the full set, reads back, restores what is missing and removes what we no longer wish for.
    """

    def __init__(self, client: MotiveClient, access: MotiveAccess) -> None:
        self._client = client
        self._access = access

    async def write(self, before: User, profile: Profile, body: Mapping[str, object]) -> User | Rejected | None:
        """The user once the fields and the external ids are written; None if the user is not there any more.

        Raises `TargetFailed` when Motive refuses, or does not answer.
        """
        full = self._with_external_ids(before, profile, body)
        if not full:
            return before
        key = before.key
        try:
            reply = await self._client.edit(key, full, profile)
        except TargetFailed as failed:
            changed = await self._changed_unheard(before, failed)
            return await self.write(changed, profile, body)
        after = None if reply is None else await read_back(self._client.user(key))
        if reply is None or after is None:
            return None
        if user_of(reply) is None and not shows(after, body):
            raise TargetFailed(NOT_TOLD)
        return await self._mended(before, after, profile)

    async def _changed_unheard(self, before: User, failed: TargetFailed) -> User:
        """The user with other external ids than before, because a first try took effect and only a second was heard.

        The second adds what is there already, which Motive refuses. Raises the failure if it is about anything else.
        """
        if failed.failure.reason is not Reason.INVALID and not isinstance(failed, RepeatRefused):
            raise failed
        now = await read_back(self._client.user(before.key))
        if now is None or now.external_ids == before.external_ids:
            raise failed
        return now

    def _with_external_ids(self, before: User, profile: Profile, body: Mapping[str, object]) -> dict[str, object]:
        if are_in_step(before, profile, self._access):
            return dict(body)
        return {**body, self._access.external_ids_field: full_set(before, profile, self._access)}

    async def _mended(self, before: User, after: User, profile: Profile) -> User | Rejected | None:
        missing = lost(before, after, self._access)
        surplus = stale(after, profile, self._access)
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
            await self._restore(key, entry)
        for record in [entry.id for entry in surplus if entry.id is not None]:
            await self._client.remove_external_id(record)
        return await read_back(self._client.user(key))

    async def _restore(self, key: str, entry: ExternalId) -> None:
        try:
            await self._client.add_external_id(key, entry)
        except TargetFailed:
            return  # reading back shows that it is still missing
        _log.warning("external_id_restored", user=key, integration=entry.integration_name)

    def _judged(self, before: User, after: User, profile: Profile) -> User | Rejected:
        missing = lost(before, after, self._access)
        if missing:
            return _unrestored(missing)
        if not are_in_step(after, profile, self._access):
            return without_effect("answered without an error, but our external ids are not there")
        return after


def _unrestored(missing: Sequence[ExternalId]) -> Rejected:
    integrations = ", ".join(sorted({entry.integration_name or "unnamed" for entry in missing}))
    detail = f"external ids of other integrations were lost and could not be restored: {integrations}"
    return Rejected(reason=Reason.NOT_RESTORED, detail=detail)
