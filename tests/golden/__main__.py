"""Adds the golden files and records that are missing: `python -m tests.golden`. It never touches one that is there."""

import sys

from tests.golden import forms, wire_forms
from tests.golden.samples import SAMPLES

for sample in SAMPLES.values():
    for add in (forms.add, wire_forms.add):
        if path := add(sample):
            sys.stdout.write(f"added {path.parent.name}/{path.name}\n")
