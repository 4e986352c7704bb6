"""A driver's data, as field name to text; a blank says nothing, so it is left out.

The only place where personal data lives, in memory, in stored events and on the wire.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.cleaning import LONGEST, clean

Profile = Mapping[str, str]
"""All that is known of a driver: a field that is not in it is blank."""

FIELDS = (
    "first_name",
    "last_name",
    "ref_id",
    "driveri_driver_id",
    "email",
    "phone",
    "time_zone",
    "country",
    "driveri_group",
    "licence_number",
    "licence_state",
    "licence_country",
)
"""What the Portal can state of a driver. `time_zone` is an IANA name; the others are kept as written, trimmed."""


def tidy(values: Mapping[str, str | None]) -> dict[str, str]:
    """The same profile in the order of `FIELDS`: cleaned, without blanks, and nothing that is not in `FIELDS`."""
    return {field: text for field in FIELDS if (value := values.get(field)) and (text := clean(value, LONGEST[field]))}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedProfile:
    """What one statement of the Portal says of a driver: of a field that is not in it, it says nothing.

    A blank text says that the field is blank. It is no `Profile`, in which absent and blank are the same.
    """

    fields: Profile

    def text(self, field: str) -> str:
        """What is said of this field, cleaned; empty if it is blank, or nothing is said of it."""
        return clean(self.fields.get(field, ""), LONGEST[field])

    def onto(self, known: Profile) -> dict[str, str]:
        """The whole profile after this statement: what it says nothing of stays as it is known."""
        return tidy({**known, **self.fields})

    def and_also(self, fields: Profile) -> "StatedProfile":
        """The same statement, which says these fields too."""
        return StatedProfile(fields={**self.fields, **fields})


NOTHING_STATED = StatedProfile(fields={})
"""A statement that shows a driver and says nothing else."""


def chosen(profile: Profile, fields: Iterable[str]) -> dict[str, str]:
    """Only these fields of the profile."""
    return {field: profile[field] for field in fields if field in profile}


def _is_same(field: str, text: str, other: str) -> bool:
    return text == other or _comparable(field, text) == _comparable(field, other)


def _comparable(field: str, text: str) -> str:
    if field == "phone":
        return "".join(character for character in text if character.isdigit())[-10:]
    if field == "email":
        return text.casefold()
    return text


def differing(wished: Profile, shown: Profile, unreadable: Iterable[str] = ()) -> tuple[str, ...]:
    """The sorted names of the wished fields that are shown with another value; unreadable fields never differ."""
    return tuple(
        sorted(
            field
            for field, text in wished.items()
            if field not in unreadable and not _is_same(field, text, shown.get(field, ""))
        )
    )
