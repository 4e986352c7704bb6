"""Where the sample fleet is: in the repository, or beside this module once installed."""

from pathlib import Path

_IN_REPOSITORY = Path(__file__).parents[2] / "deploy" / "sandbox"
_INSTALLED = Path(__file__).parent / "sample"

SAMPLE = _INSTALLED if _INSTALLED.is_dir() else _IN_REPOSITORY
"""The folder with `portal-drivers.csv`, `driveri.json`, `motive.json` and `portal.json`."""
