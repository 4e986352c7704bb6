"""What the domain knows of each target: one `TargetSpec`, from which matching, comparing and explaining follow.

A third target is one more member of `Target` and one more `TargetSpec` here; nothing else in the domain names a target.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from domain.identity import Target
from domain.licence_states import state_mark
from domain.profile import Profile, changed, differing


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
    number, state = profile.get("licence_number", ""), state_mark(profile.get("licence_state", ""))
    bare = "".join(filter(str.isalnum, number)) or number
    return f"{bare}/{state}" if number and state else ""


EXTERNAL_ID: Final = IdentifierKind(kind="portal", words="external id", fields=("portal_driver_id",))
REF_ID: Final = IdentifierKind(kind="ref", words="RefID", fields=("ref_id",), temporary="{}")
# An address that nobody can have: the domain is reserved by RFC 2606.
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
class TargetSpec:
    """What is particular to one target.

    Keys: `key_fields` are the fields of the Portal that give the desired key, the first that is not blank; empty where
    the target assigns keys itself. `key_words` is what people call a key.

    Fields: `owned` are those that we compare and write. A desired field in `unreadable` is never shown by the target;
    one in `removable` is taken away where it is shown and not desired; those in `written_together` are written whole
    or not at all.

    Matching: by the key, then by each kind in `matched_by`, the strongest first. A value of the kind `unique` is
    another that only one driver can have; nobody is recognised by it, and a driver can do without it for a while.
    `deleted_keep_identifiers`: a driver that the target keeps as deleted still has its identifiers for itself.

    `delete_verb` and `deleted_words` say what happens to a deleted driver there.
    """

    name: str
    key_words: str
    key_fields: tuple[str, ...]
    owned: tuple[str, ...]
    unreadable: frozenset[str] = frozenset()
    removable: frozenset[str] = frozenset()
    written_together: tuple[str, ...] = ()
    matched_by: tuple[IdentifierKind, ...] = ()
    unique: IdentifierKind | None = None
    deleted_keep_identifiers: bool
    delete_verb: str
    deleted_words: str

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
        written_together=("licence_number", "licence_state", "licence_country"),
        deleted_keep_identifiers=True,
        delete_verb="delete",
        deleted_words="deleted",
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
        written_together=("licence_number", "licence_state"),
        matched_by=(EXTERNAL_ID, REF_ID, EMAIL, LICENCE),
        unique=DRIVER_ID,
        deleted_keep_identifiers=False,
        delete_verb="deactivate",
        deleted_words="deactivated",
    ),
}

IDENTIFIER_WORDS: Final[Mapping[str, str]] = {
    "key": "id",
    **{kind.kind: kind.words for spec in SPECS.values() for kind in spec.matched_by},
}
"""What people call each kind of identifier by which a driver is recognised."""


def to_change(target: Target, desired: Profile, shown: Profile) -> tuple[str, ...]:
    """The sorted names of the fields that a target which shows this has to change, as far as they can be read back."""
    spec = SPECS[target]
    surplus = spec.removable & (shown.keys() - desired.keys())
    return tuple(sorted({*differing(desired, shown, spec.unreadable), *surplus}))


def to_restate(target: Target, desired: Profile, stated: Profile) -> tuple[str, ...]:
    """The sorted names of the fields that we last stated otherwise, even if only by letter case."""
    surplus = SPECS[target].removable & (stated.keys() - desired.keys())
    return tuple(sorted({*changed(desired, stated), *surplus}))


def unreadable(target: Target, desired: Profile) -> tuple[str, ...]:
    """The sorted names of the desired fields that the target never shows."""
    return tuple(sorted(SPECS[target].unreadable & desired.keys()))
