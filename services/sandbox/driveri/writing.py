"""What Driveri does with a written driver: create, reinstate, update; each gives back its effect.

Source: driveri-python-sdk 1.0.0; where it is silent, the choice is named in docs/reference/sandbox.md.
"""

from dataclasses import replace

from services.sandbox.driveri.driver import Driver, Group, effect_between
from services.sandbox.driveri.tenant import Tenant
from services.sandbox.driveri.wire import Refused, WrittenDriver, WrittenUpdate, invalid
from services.sandbox.journal import NO_EFFECT, Effect


def create(tenant: Tenant, written: WrittenDriver, *, reinstate: bool, at: int, is_kept: bool = True) -> Effect:
    """Make a new driver or, where asked to, bring back a deleted one of that id; raises `Refused`.

    A new one is kept only if so asked.
    """
    _check_required(written)
    _check_licence(written)
    _check_group(tenant, written)
    existing = tenant.find(written.driver_id or "")
    if existing is not None and reinstate:
        return _reinstate(tenant, existing, written, at)
    if reinstate and tenant.assumptions.reinstating_unknown == "refused":
        raise unknown_driver()
    return _create(tenant, written, at, is_kept=is_kept)


def _reinstate(tenant: Tenant, existing: Driver, written: WrittenDriver, at: int) -> Effect:
    if existing.status != tenant.statuses.deleted and tenant.assumptions.reinstating_live == "refused":
        raise _taken_id(tenant)
    return _replace(tenant, existing, written, at, status=tenant.statuses.active)


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
    _check_licence(written)
    status = existing.status if written.stated_status is None else written.stated_status
    if status not in tenant.statuses.descriptions:
        raise invalid("status: not one of the tenant's driverStatus codes")
    _check_group(tenant, written)
    return _replace(tenant, existing, written, at, status=status)


def unknown_driver() -> Refused:
    """Nobody has this id (or e-mail, or user name)."""
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
        "group": _group(tenant, driver.group, written),
        "updated_date": at,
        "invitations": driver.invitations + _is_inviting(written),
    }
    after = replace(driver, **values)  # type: ignore[arg-type] # the names and types are those of WrittenDriver
    _check_user_name(after, written)
    return after


def _group(tenant: Tenant, current: Group | None, written: WrittenDriver) -> Group | None:
    """The group after a write, which names groups by their unique names."""
    if written.group is None:
        return current
    name = written.group.name
    if written.group.action == "ADD":
        return tenant.group(name) or Group(group_name=name, group_unique_name=name)
    return None if current is not None and name == current.group_unique_name else current


def _check_group(tenant: Tenant, written: WrittenDriver) -> None:
    if tenant.assumptions.group_unknown == "made" or written.group is None:
        return
    if tenant.group(written.group.name) is None:
        raise invalid("group.name: there is no such group")


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


def _check_licence(written: WrittenDriver) -> None:
    licence = (written.licence_number, written.license_country, written.license_state)
    stated = [value is not None for value in licence]
    filled = [bool((value or "").strip()) for value in licence]
    if any(stated) and (not all(stated) or len(set(filled)) > 1):
        raise invalid("licenceNumber, licenseCountry, licenseState: all three or none")


def _check_user_name(after: Driver, written: WrittenDriver) -> None:
    if after.enable_driveri_app and written.set_password and not after.user_name:
        raise invalid("userName: required with enableDriveriApp and setPassword")
