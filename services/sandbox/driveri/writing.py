"""What Driveri does with a written driver: create, reinstate, update; each gives back its effect.

Source: driveri-python-sdk 1.0.0; where it is silent, the choice is named in docs/reference/sandbox.md.
"""

from dataclasses import replace

from services.sandbox.driveri.driver import Driver, Group, effect_between
from services.sandbox.driveri.tenant import Tenant
from services.sandbox.driveri.wire import Refused, WrittenDriver, invalid
from services.sandbox.journal import NO_EFFECT, Effect


def create(tenant: Tenant, written: WrittenDriver, *, reinstate: bool, at: int, is_kept: bool = True) -> Effect:
    """Make a new driver or, where asked to, bring back a deleted one of that id; raises `Refused`.

    A new one is kept only if so asked.
    """
    _check_required(written)
    _check_licence(written)
    existing = tenant.find(written.driver_id or "")
    if existing is None:
        return _create(tenant, written, at) if is_kept else NO_EFFECT
    if reinstate and existing.status == tenant.statuses.deleted:
        return _replace(tenant, existing, written, at, status=tenant.statuses.active)
    raise Refused(409, "DRIVER_ALREADY_EXISTS", "a driver with this driverId exists")


def update(tenant: Tenant, driver_id: str, written: WrittenDriver, *, at: int) -> Effect:
    """Change what the body states, the id and the status included; raises `Refused`."""
    existing = tenant.find(driver_id)
    if existing is None:
        raise unknown_driver()
    _check_stated(written)
    _check_licence(written)
    _check_new_id(tenant, existing, written)
    status = existing.status if written.status is None else written.status
    if status not in tenant.statuses.descriptions:
        raise invalid("status: not one of the tenant's driverStatus codes")
    return _replace(tenant, existing, written, at, status=status)


def unknown_driver() -> Refused:
    """Nobody has this id (or e-mail, or user name)."""
    return Refused(404, "DRIVER_NOT_FOUND", "there is no such driver")


def _create(tenant: Tenant, written: WrittenDriver, at: int) -> Effect:
    blank = Driver(driver_id="", first_name="", status=0, created_date=at, updated_date=at)
    driver = _applied(blank, written, at, status=tenant.statuses.active)
    tenant.add(driver)
    return effect_between(None, driver)


def _replace(tenant: Tenant, existing: Driver, written: WrittenDriver, at: int, *, status: int) -> Effect:
    after = _applied(existing, written, at, status=status)
    effect = effect_between(existing, after)
    if effect.changed:
        tenant.replace(existing, after)
    return effect


def _applied(driver: Driver, written: WrittenDriver, at: int, *, status: int) -> Driver:
    values = written.stored_values() | {
        "status": status,
        "group": _group(driver.group, written),
        "updated_date": at,
        "invitations": driver.invitations + _is_inviting(written),
    }
    after = replace(driver, **values)  # type: ignore[arg-type] # the names and types are those of WrittenDriver
    _check_user_name(after, written)
    return after


def _group(current: Group | None, written: WrittenDriver) -> Group | None:
    if written.group is None:
        return current
    if written.group.action == "ADD":
        return Group(group_name=written.group.name, group_unique_name=written.group.name)
    is_member = current is not None and written.group.name in (current.group_name, current.group_unique_name)
    return None if is_member else current


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


def _check_new_id(tenant: Tenant, existing: Driver, written: WrittenDriver) -> None:
    holder = tenant.find(written.driver_id) if written.driver_id else None
    if holder not in (None, existing):
        raise Refused(409, "DRIVER_ALREADY_EXISTS", "another driver has the new driverId")


def _check_licence(written: WrittenDriver) -> None:
    licence = (written.licence_number, written.license_country, written.license_state)
    stated = [value is not None for value in licence]
    filled = [bool((value or "").strip()) for value in licence]
    if any(stated) and (not all(stated) or len(set(filled)) > 1):
        raise invalid("licenceNumber, licenseCountry, licenseState: all three or none")


def _check_user_name(after: Driver, written: WrittenDriver) -> None:
    if after.enable_driveri_app and written.set_password and not after.user_name:
        raise invalid("userName: required with enableDriveriApp and setPassword")
