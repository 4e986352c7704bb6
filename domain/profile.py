"""A driver's data, as field name to text; a blank says nothing, so it is left out.

The only place where personal data lives, in memory, in stored events and on the wire.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.cleaning import LONGEST, clean
from domain.licence_states import is_same_state

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


def changed(profile: Profile, former: Profile) -> tuple[str, ...]:
    """The sorted names of the profile's fields that stood differently before, compared exactly."""
    return tuple(sorted(field for field, text in profile.items() if text != former.get(field)))


def differing(desired: Profile, shown: Profile, unreadable: Iterable[str] = ()) -> tuple[str, ...]:
    """The sorted names of the desired fields that a target shows with another value; unreadable fields never differ.

    A target may show a phone number without its country code or its punctuation, an e-mail address in other case, and
    the state of a licence by its code, with or without its country, or by its name.
    """
    return tuple(
        sorted(
            field
            for field, text in desired.items()
            if field not in unreadable and not _is_same(field, text, shown.get(field, ""))
        )
    )


def is_own_form(text: str, shown: str) -> bool:
    """Whether a target may show a value so in its own form: with other capitals, blanks and punctuation only."""
    return _bare(text) == _bare(shown) != ""


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _is_same(field: str, text: str, other: str) -> bool:
    if text == other:
        return True
    if field == "phone":
        return _is_same_phone(text, other)
    if field == "licence_state":
        return is_same_state(text, other)
    return field == "email" and text.casefold() == other.casefold()


def _is_same_phone(text: str, other: str) -> bool:
    """Whether both are the same number, where one of them may lack its country code; two such codes differ."""
    (number, is_whole), (other_number, is_other_whole) = _number(text), _number(other)
    if is_whole is is_other_whole:
        return number == other_number != ""
    whole, national = (number, other_number) if is_whole else (other_number, number)
    country = whole.removesuffix(national)
    return len(national) >= _SHORTEST_NATIONAL and 0 < len(country) <= _LONGEST_COUNTRY


def _number(text: str) -> tuple[str, bool]:
    """The digits of a phone number, and whether they begin with a country code; else without the zeros before them."""
    digits = "".join(character for character in text if character.isdecimal())
    if text.startswith("+") or digits.startswith("00"):
        return digits.removeprefix("00"), True
    is_american = digits.startswith("1") and len(digits) == len("13035550142")
    return digits.lstrip("0"), is_american


_SHORTEST_NATIONAL = 8
_LONGEST_COUNTRY = 3
