"""The Portal's rows as lines that state a driver."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from adapters.http import down
from adapters.portal.wire import AttributeRow, DriverRow, validated
from domain.cleaning import flaw
from domain.failures import TargetFailed
from domain.identity import PortalDriverId
from domain.ports import PortalLine
from domain.profile import Profile, StatedProfile

_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {"firstname": "first_name", "lastname": "last_name", "email": "email", "phone": "phone"}
)


def to_line(data: object) -> PortalLine:
    """The line of one row of the list. Raises `TargetFailed` when it does not say whom it is about."""
    row = validated(DriverRow, data)
    if not row.id.isprintable():
        raise TargetFailed(down("a driver whose id holds control characters"))
    stated = {field: getattr(row, name) for name, field in _FIELDS.items() if name in row.model_fields_set}
    return PortalLine(driver=PortalDriverId(row.id), profile=StatedProfile(fields=stated), flaw=_flaw(stated))


def with_attributes(line: PortalLine, rows: Sequence[AttributeRow], attributes: Mapping[str, str]) -> PortalLine:
    """The line with what these attributes state; one that is not there states nothing.

    `attributes` are their names by field. The Portal looks for a driver by RefID before it looks by id, so rows may be
    about somebody else: then nothing is known of this one.
    """
    if any(row.id != line.driver for row in rows):
        return replace(line, flaw="the Portal answers with the attributes of another driver, whose RefID is this id")
    fields = {name.casefold(): field for field, name in attributes.items()}
    stated = {fields[row.key.casefold()]: row.value for row in rows if row.key.casefold() in fields}
    return replace(line, profile=line.profile.and_also(stated), flaw=line.flaw or _flaw(stated))


def _flaw(profile: Profile) -> str:
    found = ((field, flaw(field, text)) for field, text in profile.items())
    return next((f"its {field} {reason}" for field, reason in found if reason), "")
