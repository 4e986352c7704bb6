"""What Motive makes of a written user or external id: the user as it would be, checked, but not yet stored.

Source: Motive's public API reference; where it is silent, the choice is named in docs/reference/sandbox.md.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.sandbox.clock import iso_time
from services.sandbox.motive.company import Company
from services.sandbox.motive.state import MotiveState
from services.sandbox.motive.user import ExternalId, User, changed_between
from services.sandbox.motive.wire import AddedExternalId, WrittenExternalId, WrittenUser, invalid

_REQUIRED = ("first_name", "last_name", "role", "status")


def created(state: MotiveState, company: Company, written: WrittenUser) -> User:
    """The new user that a create asks for; raises `Refused`."""
    now = iso_time(state.now())
    blank = User(id=next(state.user_ids), role="", status="active", created_at=now, updated_at=now)
    added = (_added(state, stated) for stated in written.external_ids_attributes or ())
    after = replace(_applied(blank, written), status=blank.status, external_ids=tuple(added))
    _check(state, company, None, after)
    return after


def updated(state: MotiveState, company: Company, user: User, written: WrittenUser) -> User:
    """The user that a partial update asks for, the same one if it changes nothing; raises `Refused`."""
    after = replace(_applied(user, written), external_ids=_external_ids(state, user, written))
    if user.role == "fleet_user" and user.status == "deactivated" and after.status == "active":
        raise invalid("fleet users cannot be reactivated")
    return _settled(state, company, user, after)


def with_external_id(state: MotiveState, company: Company, user: User, stated: AddedExternalId) -> User:
    """The user with one external id more, the last one; raises `Refused`."""
    record = ExternalId(
        id=next(state.record_ids), external_id=stated.external_id, integration_name=stated.integration_name
    )
    return _with_records(state, company, user, (*user.external_ids, record))


def with_edited_external_id(
    state: MotiveState, company: Company, user: User, record_id: int, stated: WrittenExternalId
) -> User:
    """The user with one external id edited; raises `Refused`."""
    edits = {record_id: stated}
    return _with_records(state, company, user, (_edited(record, edits) for record in user.external_ids))


def without_external_id(state: MotiveState, company: Company, user: User, record_id: int) -> User:
    """The user with one external id less."""
    return _with_records(state, company, user, (record for record in user.external_ids if record.id != record_id))


def _with_records(state: MotiveState, company: Company, user: User, records: Iterable[ExternalId]) -> User:
    return _settled(state, company, user, replace(user, external_ids=tuple(records)))


def _settled(state: MotiveState, company: Company, before: User, after: User) -> User:
    _check(state, company, before, after)
    return replace(after, updated_at=iso_time(state.now())) if changed_between(before, after) else before


def _applied(user: User, written: WrittenUser) -> User:
    further = {**user.further, **written.further_values()}
    return replace(user, **written.stored_values(), further=further)  # type: ignore[arg-type] # the wire's names and types are the same


def _external_ids(state: MotiveState, user: User, written: WrittenUser) -> tuple[ExternalId, ...]:
    records = user.external_ids
    if "external_ids" in written.model_fields_set:
        own = {record.pair: record for record in records}
        records = tuple(_kept_or_added(state, own, stated) for stated in written.external_ids or ())
    edits = {stated.id: stated for stated in written.external_ids_attributes or () if stated.id is not None}
    if not edits.keys() <= {record.id for record in records}:
        raise invalid("external_ids_attributes: this user has no such record")
    added = (_added(state, stated) for stated in written.external_ids_attributes or () if stated.id is None)
    return (*(_edited(record, edits) for record in records), *added)


def _kept_or_added(state: MotiveState, own: dict[tuple[str, str], ExternalId], stated: WrittenExternalId) -> ExternalId:
    return own.get((stated.external_id or "", stated.integration_name or "")) or _added(state, stated)


def _added(state: MotiveState, stated: WrittenExternalId) -> ExternalId:
    if stated.external_id is None or stated.integration_name is None:
        raise invalid("external_id and integration_name are required")
    return ExternalId(
        id=next(state.record_ids), external_id=stated.external_id, integration_name=stated.integration_name
    )


def _edited(record: ExternalId, edits: dict[int, WrittenExternalId]) -> ExternalId:
    stated = edits.get(record.id, WrittenExternalId())
    return ExternalId(
        id=record.id,
        external_id=stated.external_id or record.external_id,
        integration_name=stated.integration_name or record.integration_name,
    )


def _check(state: MotiveState, company: Company, before: User | None, after: User) -> None:
    missing = _missing(after) - (_missing(before) if before else set())
    if missing:
        raise invalid(f"{min(missing)} can't be blank")
    taken = state.names.taken_for(after)
    if taken:
        raise invalid(f"{taken} has already been taken")
    _check_external_ids(company, after)


def _missing(user: User) -> set[str]:
    missing = {name for name in _REQUIRED if not (getattr(user, name) or "").strip()}
    return missing if user.email or user.username else missing | {"email or username"}


def _check_external_ids(company: Company, user: User) -> None:
    pairs = [record.pair for record in user.external_ids]
    holders = (company.holder(*pair) for pair in pairs)
    if len(set(pairs)) < len(pairs) or any(holder and holder.id != user.id for holder in holders):
        raise invalid("external_id has already been taken for this integration_name")
