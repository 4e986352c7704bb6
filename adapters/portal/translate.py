"""The Portal's rows as lines that state a driver."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from adapters.portal.wire import AttributeRow
from domain.cleaning import flaw, is_shortened, normal_form, text_of
from domain.identity import PortalDriverId
from domain.ports import NOBODY, PortalLine
from domain.profile import NOTHING_STATED, Profile, StatedProfile
from domain.time_zones import to_iana

_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {"firstname": "first_name", "lastname": "last_name", "email": "email", "phone": "phone"}
)

_DRIVER: Final = "driver"


def to_line(data: object, number: int) -> PortalLine:
    """The line of one row of the list. What cannot be read in it is its flaw; without an id it names nobody.

    `number` is its place in the list, from 1 on.
    """
    row = data if isinstance(data, Mapping) else {}
    driver = text_of(row.get("id")) or ""
    if not normal_form(_DRIVER, driver) or flaw(_DRIVER, driver):
        return PortalLine(driver=NOBODY, profile=NOTHING_STATED, flaw=f"line {number} has no id that can be read")
    texts = {field: text_of(row[name]) for name, field in _FIELDS.items() if name in row}
    written = _useful({field: text for field, text in texts.items() if text is not None})
    stated = {field: normal_form(field, text) for field, text in written.items()}
    odd = next((f"its {field} is neither text nor number" for field, text in texts.items() if text is None), "")
    return PortalLine(
        driver=PortalDriverId(normal_form(_DRIVER, driver)),
        profile=StatedProfile(fields=stated),
        flaw=odd or _flaw(written),
    )


def with_attributes(line: PortalLine, rows: Sequence[AttributeRow], attributes: Mapping[str, str]) -> PortalLine:
    """The line with what these attributes state; one that is not there states nothing.

    `attributes` are their names by field. The Portal looks for a driver by RefID before it looks by id, so rows may be
    about somebody else: then nothing is known of this one.
    """
    if any(normal_form(_DRIVER, row.id) != line.driver for row in rows):
        return replace(line, flaw="the Portal answers with the attributes of another driver, whose RefID is this id")
    fields = {name.casefold(): field for field, name in attributes.items()}
    stated = {fields[row.key.casefold()]: row.value for row in rows if row.key.casefold() in fields}
    useful = _useful(stated)
    cleaned = {field: normal_form(field, text) for field, text in useful.items()}
    return replace(line, profile=line.profile.and_also(cleaned), flaw=line.flaw or _flaw(useful))


def _useful(stated: Profile) -> dict[str, str]:
    """What is stated, time zones by their IANA names, without what nobody is recognised by and cannot be used."""
    useful = {field: text for field, text in stated.items() if not (field == "phone" and is_shortened(text))}
    if zone := normal_form("time_zone", useful.get("time_zone", "")):
        useful["time_zone"] = to_iana(zone) or ""
        if not useful["time_zone"]:
            del useful["time_zone"]
    return useful


def _flaw(profile: Profile) -> str:
    found = ((field, flaw(field, text)) for field, text in profile.items())
    return next((f"its {field} {reason}" for field, reason in found if reason), "")
