"""What the Portal says of a driver in a test: some fields, or all of them."""

from domain.profile import FIELDS, Profile, StatedProfile


def said(**fields: str) -> StatedProfile:
    """A statement of these fields, which says nothing of any other."""
    return StatedProfile(fields=fields)


def whole(profile: Profile) -> StatedProfile:
    """A statement of every field: what is not in the profile is said to be blank."""
    return StatedProfile(fields={**dict.fromkeys(FIELDS, ""), **profile})
