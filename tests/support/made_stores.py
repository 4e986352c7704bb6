"""Empty stores as a first start leaves them, copied: to make them takes several times as long."""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from services.wiring.embedded import open_embedded
from services.wiring.settings import EmbeddedSettings


def put_stores(folder: Path) -> None:
    """Have every service's store in this folder, unless there are some."""
    if not any(folder.glob("*.sqlite")):
        shutil.copytree(_made(), folder, dirs_exist_ok=True)


@cache
def _made() -> Path:
    folder = Path(mkdtemp(prefix="driverlink-stores-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_embedded(EmbeddedSettings(data=folder)).close()
    return folder
