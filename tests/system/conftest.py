import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.cli.app import main

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a `driverlink` command, from now on with these settings: status, standard output, standard error."""

    def run(*arguments: str, **settings: str | Path) -> tuple[int, str, str]:
        for name, value in settings.items():
            monkeypatch.setenv(f"DRIVERLINK_{name.upper()}", str(value))
        monkeypatch.setattr(sys, "argv", ["driverlink", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run
