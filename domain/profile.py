"""A driver's data, as field name to text; a blank says nothing, so it is left out.

The only place where personal data lives, in memory, in stored events and on the wire.
"""

from collections.abc import Iterable, Mapping

from domain.cleaning import LONGEST, clean

Profile = Mapping[str, str]

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
