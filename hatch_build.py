"""Writes the commit that a wheel is built from into it, for `driverlink --version`."""

import os
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Takes the commit from the variable COMMIT or from git; without either nothing is written."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See `BuildHookInterface.initialize`; an editable install is a checkout, which asks git itself."""
        commit = (os.environ.get("COMMIT") or self._asked()).strip()[:12]
        if version == "editable" or not commit:
            return
        written = Path(mkdtemp(prefix="driverlink-build-")) / "commit.txt"
        written.write_text(f"{commit}\n", "ascii")
        build_data["force_include"][str(written)] = "services/api/commit.txt"

    def _asked(self) -> str:
        if not (Path(self.root) / ".git").exists():
            return ""
        words = ["git", "-C", self.root, "rev-parse", "HEAD"]
        try:
            asked = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
        except OSError:
            return ""
        return asked.stdout
