"""How many examples of a law are tried: few in `make test`, many in `make test-long`."""

from hypothesis import settings

FEW, MANY = "few", "many"
"""The profiles of Hypothesis for the two."""

settings.register_profile(FEW, derandomize=True, deadline=None, database=None, max_examples=80)
settings.register_profile(MANY, settings.get_profile(FEW), max_examples=800)


def examples(few: int, *, many: int) -> settings:
    """For a law that is too slow for the profile's number: this many, which begin with the same ones."""
    return settings(max_examples=many if settings.get_current_profile_name() == MANY else few)
