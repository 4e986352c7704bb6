"""`driverlink` commands in this process, on a deployment of a test."""

import io
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest

from services.cli.app import main


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON
        """The JSON that it has printed. It must have ended well."""
        assert self.status == 0, self.err
        return json.loads(self.out)


def command(variables: Mapping[str, str], *arguments: str) -> Ended:
    """Run a command with these variables in its environment, and without contexts, one at a time."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["driverlink", *arguments])
        for name, value in {"XDG_CONFIG_HOME": "/nowhere", **variables}.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ended(status=status, out=out.getvalue(), err=err.getvalue())
