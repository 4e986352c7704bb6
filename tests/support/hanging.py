"""When a test counts as hanging, so that it ends with a failure; no test measures how fast something is."""

from typing import Final

HANGS: Final = 600.0
"""Seconds, which pass on no machine that tests run on at all: what waits for longer would wait for ever."""
