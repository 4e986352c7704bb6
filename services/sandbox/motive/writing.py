"""What Motive makes of a written user or external id: the user as it would be, checked, but not yet stored.

Source: Motive's public API reference; where it is silent, the choice is named in docs/reference/sandbox.md.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.sandbox.motive import licences
from services.sandbox.motive.company import NAMES, Company, ExternalId, Name, User, changed_between
from services.sandbox.motive.seed import MotiveState
from services.sandbox.motive.wire import AddedExternalId, WrittenExternalId, WrittenUser, invalid
from services.sandbox.state import iso_time

_REQUIRED = ("first_name", "last_name", "role", "status")


def created(state: MotiveState, company: Company, written: WrittenUser) -> User:
    """The new user that a create asks for; raises `Refused`."""
    now = iso_time(state.now())
    blank = User(id=next(state.user_ids), role="", status="active", created_at=now, updated_at=now)
    _check_names(company, written, in_create=True)
    if company.assumptions.password == "required" and not written.password:  # noqa: S105 - whether one is needed
        raise invalid("password can't be blank")
    added = (
        _added(state, stated) for name in NAMES for stated in _stated(company, written, name, in_create=True) or ()
    )
    after = replace(_applied(blank, written), status=blank.status, external_ids=tuple(added))
    _check(state, company, None, after)
    return replace(after, username=None) if company.assumptions.username == "dropped" else after


def updated(state: MotiveState, company: Company, user: User, written: WrittenUser) -> User:
    """The user that a partial update asks for, the same one if it changes nothing; raises `Refused`."""
    _check_names(company, written, in_create=False)
    _check_status(company, user, written)
    after = replace(_applied(user, written), external_ids=_external_ids(state, company, user, written))
    if company.assumptions.status_in_updates == "ignored":
        after = replace(after, status=user.status)
    if user.role == "fleet_user" and user.status == "deactivated" and after.status == "active":
        raise invalid("fleet users cannot be reactivated")
    return _settled(state, company, user, after)


def _check_names(company: Company, written: WrittenUser, *, in_create: bool) -> None:
    unknown = set(NAMES) & written.model_fields_set - company.assumptions.names(in_create=in_create)
    if unknown and company.assumptions.other_name == "refused":
        raise invalid(f"{min(unknown)} is not permitted")


def _check_status(company: Company, user: User, written: WrittenUser) -> None:
    if written.status is not None and company.assumptions.status_in_updates == "refused":
        raise invalid("status is not permitted")
    if user.status != "deactivated" or company.assumptions.deactivated_users == "editable":
        return
    is_reactivated = written.status == "active"
    is_alone = written.model_fields_set == {"status"}
    if not is_reactivated or (company.assumptions.deactivated_users == "status_alone" and not is_alone):
        raise invalid("a deactivated user cannot be edited")


def _stated(
    company: Company, written: WrittenUser, name: Name, *, in_create: bool
) -> tuple[WrittenExternalId, ...] | None:
    """The external ids under this name; None where they are not stated, or it is not a name that is taken here."""
    is_taken = name in written.model_fields_set & company.assumptions.names(in_create=in_create)
    return (getattr(written, name) or ()) if is_taken else None


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


def _external_ids(state: MotiveState, company: Company, user: User, written: WrittenUser) -> tuple[ExternalId, ...]:
    records = user.external_ids
    listed = _stated(company, written, "external_ids", in_create=False)
    if listed is not None:
        records = _with_listed(state, company, records, listed)
    attributes = _stated(company, written, "external_ids_attributes", in_create=False)
    return records if attributes is None else _with_attributes(state, company, records, attributes)


def _with_listed(
    state: MotiveState, company: Company, before: tuple[ExternalId, ...], listed: tuple[WrittenExternalId, ...]
) -> tuple[ExternalId, ...]:
    own = {record.pair: record for record in before}
    stated = tuple(_kept_or_added(state, own, each) for each in listed)
    if company.assumptions.external_ids == "replace":
        return stated
    return (*before, *(record for record in stated if record.pair not in own))


def _with_attributes(
    state: MotiveState, company: Company, before: tuple[ExternalId, ...], attributes: tuple[WrittenExternalId, ...]
) -> tuple[ExternalId, ...]:
    edits = {stated.id: stated for stated in attributes if stated.id is not None}
    if not edits.keys() <= {record.id for record in before}:
        raise invalid("external_ids_attributes: this user does not have that record")
    is_merged = company.assumptions.external_ids_attributes == "merge"
    kept = (_edited(record, edits) for record in before if is_merged or record.id in edits)
    added = (_added(state, stated) for stated in attributes if stated.id is None)
    return (*kept, *added)


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
    stated = after.drivers_license_state
    if stated and not licences.is_taken(stated, company.assumptions.license_states):
        raise invalid("drivers_license_state is not a state")
    missing = _missing(after) - (_missing(before) if before else set())
    if missing:
        raise invalid(f"{min(missing)} can't be blank")
    taken = state.names.taken_for(after)
    if taken:
        raise invalid(f"{taken} has already been taken")
    _check_external_ids(state, company, after)


def _missing(user: User) -> set[str]:
    missing = {name for name in _REQUIRED if not (getattr(user, name) or "").strip()}
    return missing if user.email or user.username else missing | {"email or username"}


def _check_external_ids(state: MotiveState, company: Company, user: User) -> None:
    pairs = [record.pair for record in user.external_ids]
    holders = (holder for pair in pairs for holder in state.holders(company, pair))
    if len(set(pairs)) < len(pairs) or any(holder.id != user.id for holder in holders):
        raise invalid("external_id has already been taken for this integration_name")
