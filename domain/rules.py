"""The rules by which links are decided that can be otherwise: what a backtest asks about.

They are values, so that the same code decides by those in force and by others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from domain.guard import DELETE_LIMIT, DeleteLimit
from domain.identity import Target
from domain.profile import SPECS, TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What each target owns and matches drivers by, and how many deletes go out."""

    specs: Mapping[Target, TargetSpec] = field(default_factory=lambda: SPECS)
    delete_limit: DeleteLimit = DELETE_LIMIT


RULES: Final = Rules()
"""The rules in force."""
