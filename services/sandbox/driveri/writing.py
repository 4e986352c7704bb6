"""What Driveri does with a written driver: create, reinstate, update; each gives back its effect.

Source: driveri-python-sdk 1.0.0; where it is silent, the choice is named in docs/reference/sandbox.md.
"""

from dataclasses import replace

from pydantic.alias_generators import to_camel

from services.sandbox.driveri.tenant import Driver, Group, Tenant, effect_between
from services.sandbox.driveri.wire import Refused, WrittenDriver, WrittenUpdate, invalid
from services.sandbox.journal import NO_EFFECT, Effect


def create(tenant: Tenant, written: WrittenDriver, *, reinstate: bool, at: int, is_kept: bool = True) -> Effect:
    """Make a new driver or, where asked to, bring back a deleted one of that id; raises `Refused`.

    A new one is kept only if so asked.
    """
    _check_required(written)
    _check_licence(tenant, written)
    existing = tenant.find(written.driver_id or "")
    _check_group(tenant, existing if reinstate else None, written)
    if existing is not None and reinstate:
        return _reinstate(tenant, existing, written, at)
    if reinstate and tenant.assumptions.reinstating_unknown == "refused":
        raise unknown_driver()
    return _create(tenant, written, at, is_kept=is_kept)


def _reinstate(tenant: Tenant, existing: Driver, written: WrittenDriver, at: int) -> Effect:
    if existing.status != tenant.statuses.deleted and tenant.assumptions.reinstating_live == "refused":
        raise _taken_id(tenant)
    if tenant.assumptions.reinstated_fields == "kept":
        written = WrittenDriver()
    is_kept = tenant.assumptions.reinstated_status == "kept"
    return _replace(tenant, existing, written, at, status=existing.status if is_kept else tenant.statuses.active)


def _make_room(tenant: Tenant, before: Driver | None, after: Driver, at: int) -> None:
    """Let a deleted driver go by another id, where deleted drivers do not keep theirs; raises `Refused`."""
    holder = tenant.find(after.driver_id)
    if holder is None or holder is before:
        return
    if tenant.assumptions.deleted_id == "kept" or holder.status != tenant.statuses.deleted:
        raise _taken_id(tenant)
    number = 1
    while tenant.find(f"{holder.driver_id}-deleted-{number}"):
        number += 1
    tenant.replace(holder, replace(holder, driver_id=f"{holder.driver_id}-deleted-{number}", updated_date=at))


def _taken_id(tenant: Tenant) -> Refused:
    return Refused(tenant.assumptions.taken_id, "DRIVER_ALREADY_EXISTS", "a driver with this driverId exists")


def update(tenant: Tenant, driver_id: str, written: WrittenUpdate, *, at: int) -> Effect:
    """Change what the body states, the id and the status included; raises `Refused`."""
    existing = tenant.find(driver_id)
    if existing is None:
        raise unknown_driver()
    _check_stated(written)
    written = _without_ignored(tenant, written)
    _check_licence(tenant, written)
    status = _status(tenant, existing, written)
    _check_group(tenant, existing, written)
    return _replace(tenant, existing, written, at, status=status)


def _status(tenant: Tenant, existing: Driver, written: WrittenUpdate) -> int:
    """The status after an update; raises `Refused`."""
    status, effect = written.stated_status, tenant.assumptions.status_in_updates
    if status is None:
        return existing.status
    if effect == "refused":
        raise invalid("status: cannot be written")
    if status not in tenant.statuses.descriptions:
        raise invalid("status: not one of the tenant's driverStatus codes")
    return existing.status if effect == "ignored" else status


def _without_ignored(tenant: Tenant, written: WrittenUpdate) -> WrittenUpdate:
    """The update without the blank texts that this tenant ignores; raises `Refused` where it refuses them."""
    blank = [name for name, value in written if isinstance(value, str) and not value.strip()]
    if not blank or tenant.assumptions.blank_text == "clears":
        return written
    if tenant.assumptions.blank_text == "refused":
        raise invalid(f"{to_camel(blank[0])}: may not be blank")
    return written.model_copy(update=dict.fromkeys(blank))


def unknown_driver() -> Refused:
    """No driver has this id (or e-mail, or user name)."""
    return Refused(404, "DRIVER_NOT_FOUND", "there is no such driver")


def _create(tenant: Tenant, written: WrittenDriver, at: int, *, is_kept: bool) -> Effect:
    blank = Driver(driver_id="", first_name="", status=0, created_date=at, updated_date=at)
    driver = _applied(tenant, blank, written, at, status=tenant.statuses.active)
    _make_room(tenant, None, driver, at)
    if not is_kept:
        return NO_EFFECT
    tenant.add(driver)
    return effect_between(None, driver)


def _replace(tenant: Tenant, existing: Driver, written: WrittenDriver, at: int, *, status: int) -> Effect:
    after = _applied(tenant, existing, written, at, status=status)
    effect = effect_between(existing, after)
    _make_room(tenant, existing, after, at)
    if effect.changed:
        tenant.replace(existing, after)
    return effect


def _applied(tenant: Tenant, driver: Driver, written: WrittenDriver, at: int, *, status: int) -> Driver:
    values = written.stored_values() | {
        "status": status,
        **_groups(tenant, driver, written),
        "updated_date": at,
        "invitations": driver.invitations + _is_inviting(written),
    }
    after = replace(driver, **values)  # type: ignore[arg-type] # the names and types are those of WrittenDriver
    _check_user_name(after, written)
    _check_email(tenant, driver, after)
    return after


def _groups(tenant: Tenant, driver: Driver, written: WrittenDriver) -> dict[str, object]:
    """The group that is shown, and those behind it, after a write."""
    if written.group is None:
        return {}
    name = written.group.name
    before = (*((driver.group,) if driver.group else ()), *driver.further_groups)
    after = [group for group in before if tenant.called(group) != name]
    if written.group.action == "ADD":
        added = tenant.group(name) or Group(group_name=name, group_unique_name=name)
        is_kept = tenant.assumptions.other_group == "kept_first"
        after = [*(before if added in before else (*before, added))] if is_kept else [added]
    return {"group": after[0] if after else None, "further_groups": tuple(after[1:])}


def _check_group(tenant: Tenant, existing: Driver | None, written: WrittenDriver) -> None:
    if written.group is None:
        return
    name, assumptions = written.group.name, tenant.assumptions
    if assumptions.group_unknown == "refused" and tenant.group(name) is None:
        raise invalid("group.name: there is no such group")
    if assumptions.other_group == "refused" and written.group.action == "ADD" and _is_in_other(tenant, existing, name):
        raise invalid("group.name: the driver is in another group")


def _is_in_other(tenant: Tenant, driver: Driver | None, name: str) -> bool:
    return driver is not None and driver.group is not None and tenant.called(driver.group) != name


def _check_email(tenant: Tenant, before: Driver, after: Driver) -> None:
    if tenant.assumptions.emails == "shared" or not after.email or after.email == before.email:
        return
    if any(other.driver_id != before.driver_id for other in tenant.with_email(after.email)):
        raise Refused(400, "EMAIL_ALREADY_EXISTS", "email: another driver has it")


def _is_inviting(written: WrittenDriver) -> bool:
    return bool(written.enable_driveri_app) and not written.set_password


def _check_required(written: WrittenDriver) -> None:
    if not (written.driver_id or "").strip():
        raise invalid("driverId: required")
    if not (written.first_name or "").strip():
        raise invalid("firstName: required")


def _check_stated(written: WrittenDriver) -> None:
    for name, value in (("driverId", written.driver_id), ("firstName", written.first_name)):
        if value is not None and not value.strip():
            raise invalid(f"{name}: may not be blank")


def _check_licence(tenant: Tenant, written: WrittenDriver) -> None:
    licence = (written.licence_number, written.license_country, written.license_state)
    _check_license_state(tenant, written.license_state)
    if tenant.assumptions.partial_licence == "taken":
        return
    stated = [value is not None for value in licence]
    filled = [bool((value or "").strip()) for value in licence]
    if any(stated) and (not all(stated) or len(set(filled)) > 1):
        raise invalid("licenceNumber, licenseCountry, licenseState: all three or none")


def _check_license_state(tenant: Tenant, state: str | None) -> None:
    form = tenant.assumptions.license_states
    if state and form == "with_country" and "-" not in state:
        raise invalid("licenseState: a code of ISO 3166-2, with its country")
    if state and form == "without" and "-" in state:
        raise invalid("licenseState: a code without its country")


def _check_user_name(after: Driver, written: WrittenDriver) -> None:
    if after.enable_driveri_app and written.set_password and not after.user_name:
        raise invalid("userName: required with enableDriveriApp and setPassword")
