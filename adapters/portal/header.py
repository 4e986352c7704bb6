"""The header of an export: which column says what."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DRIVER_ID = "portal_driver_id"
"""The cell of the Portal's own internal id, beside the fields of a profile.

The Portal's spreadsheet import gives this name to the key-fob id; its exports mean the internal one.
"""

_FIELDS_BY_NAME: Mapping[str, str] = {
    "driver id": DRIVER_ID,
    "reference id": "ref_id",
    "driveri driverid": "driveri_driver_id",
    "driveri driver id": "driveri_driver_id",
    "first name": "first_name",
    "last name": "last_name",
    "time zone": "time_zone",
    "phone": "phone",
    "email": "email",
    "country": "country",
    "driveri group": "driveri_group",
    "licence number": "licence_number",
    "license number": "licence_number",
    "licence state": "licence_state",
    "license state": "licence_state",
    "licence country": "licence_country",
    "license country": "licence_country",
}

_AGAIN = "export the list again from Admin: Drivers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The columns as the file spells them, and where each field stands; other columns are passed over."""

    delimiter: str
    names: tuple[str, ...]
    places: Mapping[str, int]

    @property
    def width(self) -> int:
        """How many cells each row has."""
        return len(self.names)

    def spelled(self, field: str) -> str:
        """The name of a field's column, as the file spells it."""
        return self.names[self.places[field]]

    def problem(self) -> str | None:
        """Why no driver can be read below this header, and what to do; None if they can."""
        if not self.places:
            return f"it has no header row with the names of the columns: {_AGAIN}"
        if repeated := self._repeated():
            return f"columns {repeated} of its header say the same: keep one of them"
        if lacking := self._lacking():
            return f"it has no column {lacking}: {_AGAIN}"
        return None

    def _repeated(self) -> str:
        meanings = [_meaning(name) for name in self.names]
        often = {meaning for meaning, count in Counter(meanings).items() if meaning and count > 1}
        return " and ".join(str(place) for place, meaning in enumerate(meanings, start=1) if meaning in often)

    def _lacking(self) -> str | None:
        if "first_name" not in self.places:
            return "First Name"
        if "last_name" not in self.places:
            return "Last Name"
        return None if {DRIVER_ID, "ref_id"} & set(self.places) else "Driver ID or Reference ID"


def to_header(cells: Sequence[str], *, delimiter: str) -> Header:
    """The header that these cells make, whatever their order, letter case and surrounding blanks."""
    names = tuple(" ".join(cell.split()) for cell in cells)
    places = {field: place for place, name in enumerate(names) if (field := _FIELDS_BY_NAME.get(name.casefold()))}
    return Header(delimiter=delimiter, names=names, places=places)


def _meaning(name: str) -> str:
    return _FIELDS_BY_NAME.get(name.casefold(), name.casefold())
