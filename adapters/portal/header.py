"""The header of an export: which column says what."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.cleaning import clean, folded

DRIVER_ID = "portal_driver_id"
"""The cell of the Portal's own internal id, beside the fields of a profile.

The Portal's spreadsheet import gives this name to the key-fob id; its exports mean the internal one.
"""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        DRIVER_ID: ("Driver ID",),
        "ref_id": ("Reference ID", "RefID"),
        "driveri_driver_id": ("Driveri DriverID",),
        "first_name": ("First Name",),
        "last_name": ("Last Name",),
        "time_zone": ("Time Zone",),
        "phone": ("Phone",),
        "email": ("Email",),
        "country": ("Country",),
        "driveri_group": ("Driveri Group",),
        "licence_number": ("Licence Number", "License Number"),
        "licence_state": ("Licence State", "License State"),
        "licence_country": ("Licence Country", "License Country"),
    }
)
"""The columns of each field, the usual name first; letter case, blanks, hyphens and underscores do not matter."""

_LONGEST_NAME: Final = 200
_BETWEEN_WORDS: Final = re.compile(r"[\s_\-\u2010-\u2015]+")
_AGAIN = "export the list again from Admin: Drivers"


def _comparable(name: str) -> str:
    return _BETWEEN_WORDS.sub("", folded(name))


_FIELDS_BY_NAME: Final = MappingProxyType(
    {_comparable(name): field for field, names in COLUMNS.items() for name in names}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The columns as the file spells them, and where each field stands; other columns are passed over.

    `line` is the header's own line in the file, counted from 1.
    """

    delimiter: str
    names: tuple[str, ...]
    places: Mapping[str, int]
    line: int = 1

    @property
    def width(self) -> int:
        """How many cells each row has."""
        return len(self.names)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns that mean no field, as the file spells them."""
        return tuple(name for name in self.names if name and _field_of(name) is None)

    @property
    def missing(self) -> tuple[str, ...]:
        """The usual names of the fields that have no column: the file says nothing of them."""
        return tuple(names[0] for field, names in COLUMNS.items() if field not in self.places)

    def spelled(self, field: str) -> str:
        """The name of a field's column, as the file spells it."""
        return self.names[self.places[field]]

    def is_again(self, cells: Sequence[str]) -> bool:
        """Whether a record, as wide as this header, is a header too: names of columns stand where people's should."""
        return all(_field_of(cells[self.places[field]]) for field in ("first_name", "last_name"))

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
        """The places of columns that mean the same field; others may repeat, for nobody reads them."""
        fields = [_field_of(name) for name in self.names]
        often = {field for field, count in Counter(fields).items() if field and count > 1}
        return " and ".join(str(place) for place, field in enumerate(fields, start=1) if field in often)

    def _lacking(self) -> str | None:
        if "first_name" not in self.places:
            return "First Name"
        if "last_name" not in self.places:
            return "Last Name"
        return None if {DRIVER_ID, "ref_id"} & set(self.places) else "Driver ID or Reference ID"


def to_header(cells: Sequence[str], *, delimiter: str, line: int = 1) -> Header:
    """The header that these cells make, whatever their order and spelling; empty ones at its end are no columns."""
    names = [clean(cell, _LONGEST_NAME) for cell in cells]
    while names and not names[-1]:
        names.pop()
    places = {field: place for place, name in enumerate(names) if (field := _field_of(name))}
    return Header(delimiter=delimiter, names=tuple(names), places=places, line=line)


def _field_of(name: str) -> str | None:
    return _FIELDS_BY_NAME.get(_comparable(name))
