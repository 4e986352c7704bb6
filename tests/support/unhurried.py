"""The pace at which tests and benchmarks call sandboxes, which have no limits of their own."""

from typing import Final

UNHURRIED: Final = {
    "driveri_calls_per_second": "10000",
    "driveri_calls_at_once": "32",
    "motive_calls_per_second": "10000",
    "motive_calls_at_once": "32",
}
"""The settings of projectors, by name."""
