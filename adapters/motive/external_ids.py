"""Which external ids a user carries, should carry, and has lost: ours kept as wished, everybody else's untouched."""

from collections.abc import Collection, Mapping

from adapters.motive.access import MotiveAccess
from adapters.motive.wire import ExternalId, User
from domain.profile import Profile


def shown_ids(user: User, access: MotiveAccess) -> dict[str, str]:
    """Our external ids that the user carries, by the profile's field."""
    first: dict[str | None, str | None] = {}
    for entry in user.external_ids or ():
        first.setdefault(entry.integration_name, entry.external_id)
    return {field: shown for field, integration in access.integrations().items() if (shown := first.get(integration))}


def wished_ids(profile: Profile, access: MotiveAccess) -> dict[str, str]:
    """The external ids that the profile wishes for, by integration name."""
    return {integration: profile[field] for field, integration in access.integrations().items() if field in profile}


def new_ids(profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """The external ids of a user yet to be made, as Motive takes them."""
    return [_as_sent(None, external_id, name) for name, external_id in wished_ids(profile, access).items()]


def full_set(user: User, profile: Profile, access: MotiveAccess) -> list[dict[str, object]]:
    """Everybody's external ids as Motive takes them: the others' as they are, ours as wished, each in its record."""
    others = [_as_sent(entry.id, entry.external_id, entry.integration_name) for entry in _others(user, access)]
    ours = [
        _as_sent(_record_for(external_id, integration, user), external_id, integration)
        for integration, external_id in wished_ids(profile, access).items()
    ]
    return others + ours


def are_in_step(user: User, profile: Profile, access: MotiveAccess) -> bool:
    """Whether the user carries our external ids as wished, and no others under our names."""
    return have_arrived(user, profile, access) and not stale(user, profile, access)


def have_arrived(user: User, profile: Profile, access: MotiveAccess) -> bool:
    """Whether the user carries our external ids as wished, whatever else stands under our names."""
    carried = {(entry.integration_name, entry.external_id) for entry in user.external_ids or ()}
    return carried.issuperset(wished_ids(profile, access).items())


def stale(user: User, profile: Profile, access: MotiveAccess) -> list[ExternalId]:
    """Entries under our names that the profile does not wish for.

    A profile without a portal driver id says nothing about that one, because every portal driver has one.
    """
    wished = wished_ids(profile, access)
    names = {access.driveri_integration, *wished}
    return [entry for entry in _named(names, user) if wished.get(entry.integration_name or "") != entry.external_id]


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
