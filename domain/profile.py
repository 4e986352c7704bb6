"""A driver's data, as field name to text, and what is particular to each target: one `TargetSpec`.

Profiles are the only place where personal data lives, in memory, in stored events and on the wire: what
`PERSONAL_FIELDS` names.

A third target is one more member of `Target` and one more `TargetSpec` here; nothing else in the domain names a target.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from domain.cleaning import LONGEST, are_clean, canonical_state, clean, is_same_state
from domain.identity import PORTAL, Target
from domain.values import quick

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

PERSONAL_FIELDS: Final = ("profile", "former")
"""The fields of events that hold a profile, or a part of one: the only ones with personal data of drivers."""

FIELD_WORDS: Mapping[str, str] = {
    "ref_id": "RefID",
    "driveri_driver_id": "Driveri DriverID",
    "portal_driver_id": "our external id",
    "email": "e-mail",
    "driveri_group": "Driveri group",
}
"""What people call a field, where that is not its name with blanks."""


_ERASED: Final = "erased"
"""A field that is not in `FIELDS`, so that nobody can state it."""


def erased_profile() -> dict[str, str]:
    """What is read in place of a profile whose key is destroyed: the driver is erased, and nothing is known of them."""
    return {_ERASED: "true"}


def is_erased(profile: Profile | None) -> bool:
    """Whether this stands for the profile of a driver that is erased."""
    return profile is not None and _ERASED in profile


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class DataSubject:
    """Who has a key of their own, by which their profile is sealed: a portal driver, or a driver seen on a target.

    `driver` is the id in the Portal, or where there is a `target` the key there.
    """

    account: str
    driver: str
    target: str = ""


def tidy(values: Mapping[str, str | None]) -> dict[str, str]:
    """The same profile in the order of `FIELDS`: cleaned, without blanks, and nothing that is not in `FIELDS`."""
    stated = {field: value for field in FIELDS if (value := values.get(field))}
    if are_clean(stated.values()):
        return stated
    return {field: text for field, value in stated.items() if (text := clean(value, LONGEST[field]))}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedProfile:
    """What one statement of the Portal says of a driver: of a field that is not in it, it says nothing.

    A blank text says that the field is blank. It is not a `Profile`, in which absent and blank are the same.
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
    return tuple(sorted([field for field, text in profile.items() if text != former.get(field)]))


def differing(desired: Profile, shown: Profile, unreadable: Iterable[str] = ()) -> tuple[str, ...]:
    """The sorted names of the desired fields that a target shows with another value; unreadable fields never differ.

    A target may show a phone number without its country code or its punctuation, an e-mail address in other case, and
    the state of a licence by its code, with or without its country, or by its name.
    """
    return tuple(
        sorted(
            [
                field
                for field, text in desired.items()
                if text != (other := shown.get(field, ""))
                and field not in unreadable
                and not _is_same(field, text, other)
            ]
        )
    )


def is_own_form(text: str, shown: str) -> bool:
    """Whether a target may show a value so in its own form: with other capitals, blanks and punctuation only."""
    return _bare(text) == _bare(shown) != ""


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _is_same(field: str, text: str, other: str) -> bool:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierKind:
    """A kind of identifier, such as `ref` in `ref:00417`, and the fields of a profile that its value comes from.

    Of a personal value the identifier holds only a digest. `temporary` is the form of the value that the field has
    while drivers exchange their values, with `{}` for the driver's temporary id; empty if it can have none. `read`
    gives the value where it is more than the text of the one field.
    """

    kind: str
    words: str
    fields: tuple[str, ...]
    is_personal: bool = False
    temporary: str = ""
    read: Callable[[Profile], str] | None = None

    @property
    def field(self) -> str:
        """The field that holds the value."""
        return self.fields[0]

    def identifier(self, profile: Profile) -> str:
        """The identifier of this kind that the profile holds; empty if it holds none."""
        text = self.read(profile) if self.read else profile.get(self.field, "")
        value = sha256(text.casefold().encode()).hexdigest()[:24] if self.is_personal else text.casefold()
        return f"{self.kind}:{value}" if text else ""


def _licence(profile: Profile) -> str:
    """Number and state, in whichever spelling; spaces and hyphens in a number do not make another licence."""
    number, state = profile.get("licence_number", ""), canonical_state(profile.get("licence_state", ""))
    bare = number if number.isalnum() else "".join(filter(str.isalnum, number)) or number
    return f"{bare}/{state}" if number and state else ""


EXTERNAL_ID: Final = IdentifierKind(kind="portal", words="external id", fields=("portal_driver_id",))
REF_ID: Final = IdentifierKind(kind="ref", words="RefID", fields=("ref_id",), temporary="{}")
# An address that no person can have: the domain is reserved by RFC 2606.
EMAIL: Final = IdentifierKind(
    kind="email", words="e-mail", fields=("email",), is_personal=True, temporary="{}@driverlink.invalid"
)
LICENCE: Final = IdentifierKind(
    kind="licence",
    words="licence",
    fields=("licence_number", "licence_state"),
    is_personal=True,
    temporary="{}",
    read=_licence,
)
DRIVER_ID: Final = IdentifierKind(kind="driverid", words="DriverID", fields=("driveri_driver_id",))


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsForm:
    """One way of connecting an account: what is stated in the open, and the secrets in the order of their prompts."""

    plain: tuple[str, ...] = ()
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """What is particular to one target.

    Keys: `key_fields` are the fields of the Portal that give the desired key, the first that is not blank; empty where
    the target assigns keys itself. `key_words` is what people call a key.

    Fields: `owned` are those that we compare and write. A desired field in `unreadable` is never shown by the target;
    one in `removable` is taken away where it is shown and not desired; one in `lasting` cannot be emptied once it was
    written; those in `written_together` are written whole or not at all.

    Matching: by the key, then by each kind in `matched_by`, the strongest first. A value of the kind `unique` is
    another that only one driver can have; drivers are not recognised by it, and can do without it for a while.
    `deleted_keep_identifiers`: a driver that the target keeps as deleted still has its identifiers for itself.

    `delete_verb` and `deleted_words` say what happens to a deleted driver there. `credentials` are the ways of
    connecting an account.
    """

    name: str
    key_words: str
    key_fields: tuple[str, ...]
    owned: tuple[str, ...]
    unreadable: frozenset[str] = frozenset()
    removable: frozenset[str] = frozenset()
    lasting: frozenset[str] = frozenset()
    written_together: frozenset[str] = frozenset()
    matched_by: tuple[IdentifierKind, ...] = ()
    unique: IdentifierKind | None = None
    deleted_keep_identifiers: bool
    delete_verb: str
    deleted_words: str
    credentials: tuple[CredentialsForm, ...]

    @property
    def is_key_desired(self) -> bool:
        """Whether the Portal decides a driver's key: then it can be renamed, and a driver may lack one."""
        return bool(self.key_fields)

    @property
    def recognised_by(self) -> tuple[str, ...]:
        """The fields of the Portal by which a driver who is not linked yet is looked for.

        Of the key's fields only the first: the others serve drivers who lack it.
        """
        stated = (kind for kind in self.matched_by if kind is not EXTERNAL_ID)
        return (*self.key_fields[:1], *(field for kind in stated for field in kind.fields))


SPECS: Final[Mapping[Target, TargetSpec]] = {
    Target.DRIVERI: TargetSpec(
        name="Driveri",
        key_words="DriverID",
        key_fields=("driveri_driver_id", "ref_id"),
        owned=(
            "first_name",
            "last_name",
            "email",
            "phone",
            "driveri_group",
            "licence_number",
            "licence_state",
            "licence_country",
        ),
        unreadable=frozenset({"phone"}),
        lasting=frozenset({"driveri_group"}),
        written_together=frozenset({"licence_number", "licence_state", "licence_country"}),
        deleted_keep_identifiers=True,
        delete_verb="delete",
        deleted_words="deleted",
        credentials=(CredentialsForm(plain=("tenant", "client_id"), secrets=("client_secret",)),),
    ),
    Target.MOTIVE: TargetSpec(
        name="Motive",
        key_words="user",
        key_fields=(),
        owned=(
            "first_name",
            "last_name",
            "email",
            "phone",
            "ref_id",
            "licence_number",
            "licence_state",
            "time_zone",
            "portal_driver_id",
            "driveri_driver_id",
        ),
        removable=frozenset({"driveri_driver_id"}),
        lasting=frozenset({"time_zone"}),
        written_together=frozenset({"licence_number", "licence_state"}),
        matched_by=(EXTERNAL_ID, REF_ID, EMAIL, LICENCE),
        unique=DRIVER_ID,
        deleted_keep_identifiers=False,
        delete_verb="deactivate",
        deleted_words="deactivated",
        credentials=(
            CredentialsForm(secrets=("api_key",)),
            CredentialsForm(plain=("client_id",), secrets=("client_secret", "refresh_token")),
        ),
    ),
}

CREDENTIALS: Final[Mapping[str, tuple[CredentialsForm, ...]]] = {
    PORTAL: (CredentialsForm(plain=("username",), secrets=("app_token",)),),
    **{target: spec.credentials for target, spec in SPECS.items()},
}
"""The ways of connecting an account, to the Portal and to each target."""

IDENTIFIER_WORDS: Final[Mapping[str, str]] = {
    "key": "id",
    **{kind.kind: kind.words for spec in SPECS.values() for kind in spec.matched_by},
}
"""What people call each kind of identifier by which a driver is recognised."""


def to_change(target: Target, desired: Profile, shown: Profile) -> tuple[str, ...]:
    """The sorted names of the fields that a target which shows this has to change, as far as they can be read back."""
    spec = SPECS[target]
    return _with_surplus(spec, differing(desired, shown, spec.unreadable), desired, shown)


def to_restate(target: Target, desired: Profile, stated: Profile) -> tuple[str, ...]:
    """The sorted names of the fields that we last stated otherwise, even if only by letter case."""
    return _with_surplus(SPECS[target], changed(desired, stated), desired, stated)


def _with_surplus(spec: TargetSpec, fields: tuple[str, ...], desired: Profile, shown: Profile) -> tuple[str, ...]:
    """These sorted names, and those of the fields that are to be taken away."""
    surplus = [field for field in spec.removable if field in shown and field not in desired]
    return tuple(sorted({*fields, *surplus})) if surplus else fields


def unreadable(target: Target, desired: Profile) -> tuple[str, ...]:
    """The sorted names of the desired fields that the target never shows."""
    return tuple(sorted(SPECS[target].unreadable & desired.keys()))
