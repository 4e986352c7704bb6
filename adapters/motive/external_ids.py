"""Which external ids a user carries, should carry, and has lost: ours as desired, all others untouched.

Under which name a company's users take external ids, as found out by what became of them.

The integration guide calls them `external_ids`, the reference `external_ids_attributes`, and what a target does with
the name that it does not know is not stated: it may refuse it, or answer well and leave the external ids alone.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal

from adapters.motive.wire import ExternalId, MotiveAccess, User
from domain.failures import Rejected
from domain.profile import Profile


def shown_ids(user: User, access: MotiveAccess) -> dict[str, str]:
    """Our external ids that the user carries, by the profile's field."""
    first: dict[str | None, str | None] = {}
    for entry in user.external_ids or ():
        first.setdefault(entry.integration_name, entry.external_id)
    return {field: shown for field, integration in access.integrations().items() if (shown := first.get(integration))}


def desired_ids(profile: Profile, access: MotiveAccess) -> dict[str, str]:
    """The external ids that the profile states, by integration name."""
    return {integration: profile[field] for field, integration in access.integrations().items() if field in profile}


def new_ids(profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """The external ids of a user yet to be made, as Motive takes them."""
    return [_as_sent(None, external_id, name) for name, external_id in desired_ids(profile, access).items()]


def full_set(user: User, profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """All external ids as Motive takes them: other integrations' as they are, ours as desired, each in its record."""
    others = [_as_sent(entry.id, entry.external_id, entry.integration_name) for entry in _others(user, access)]
    ours = [
        _as_sent(_record_for(external_id, integration, user), external_id, integration)
        for integration, external_id in desired_ids(profile, access).items()
    ]
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


def _record_for(external_id: str, integration: str, user: User) -> int | None:
    entries = _named((integration,), user)
    same = [entry for entry in entries if entry.external_id == external_id]
    return next((entry.id for entry in same + entries), None)


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
