"""The installation of an earlier version, as it was left in the middle of its work."""

import json
import lzma
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from adapters.store.postgres_connection import connect

_AT: Final = Path(__file__).parent / "at_69357e9"

TARGETS: Final[dict[str, Any]] = json.loads((_AT / "targets.json").read_text("utf-8"))
"""What the targets held then, as documents of their sandboxes."""

ACCOUNT: Final[dict[str, Any]] = json.loads((_AT / "account.json").read_text("utf-8"))
"""What that version itself came to from there: every link, and what the targets held."""


def unpack(folder: Path) -> None:
    """Put the data folder there."""
    with tarfile.open(_AT / "folder.tar.xz") as tar:
        tar.extractall(folder, filter="tar")


def load(url: str) -> None:
    """Fill an empty database."""
    with closing(connect(url, "")) as connection:
        connection.execute(lzma.decompress((_AT / "database.sql.xz").read_bytes()))
