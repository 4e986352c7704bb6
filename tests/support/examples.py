"""How many examples of a law are tried: few in `make test`, many in `make test-long`."""

from typing import Final

from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

FEW, MANY = "few", "many"
"""The profiles of Hypothesis for the two."""

_CONSTANTS: Final = "_get_local_constants"
_of_loaded_modules = getattr(providers, _CONSTANTS)


def _constants() -> Constants:
    """The constants that are drawn besides: none where examples are few.

    Hypothesis takes those of all modules that happen to be loaded, so that the same test drew other examples beside
    other tests, and after a change of any module.
    """
    return _of_loaded_modules() if settings.get_current_profile_name() == MANY else Constants()


setattr(providers, _CONSTANTS, _constants)

settings.register_profile(FEW, derandomize=True, deadline=None, database=None, max_examples=40)
settings.register_profile(MANY, settings.get_profile(FEW), max_examples=800)


def examples(few: int, *, many: int) -> settings:
    """For a law that is too slow for the profile's number: this many."""
    return settings(max_examples=many if settings.get_current_profile_name() == MANY else few)
