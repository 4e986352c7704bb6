"""Adds the golden files that are missing: `python -m tests.golden`. It never touches one that is there."""

import sys

from tests.golden.forms import add
from tests.golden.samples import SAMPLES

for sample in SAMPLES.values():
    if path := add(sample):
        sys.stdout.write(f"added {path.name}\n")
