"""Makes the secrets of the compose set-up, once: `python -m deploy.compose.prepare`."""

import os
import secrets
from pathlib import Path

SECRETS = Path(__file__).parent / "secrets"
NAMES = ("database_password", "postgres_password", "secret_key", "admin_key")
FOR_BUILDING = ("pip_config", "build_certificates")
"""Files for people to fill, where packages come from an index of their own; empty ones change nothing."""

_BYTES = 32


def prepare(folder: Path = SECRETS) -> list[str]:
    """The names of the secrets that were not there and have been made; all others are kept as they are.

    Only the folder's owner gets into it. Its files are readable inside it, because a container
    reads them as another user than the one who made them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in FOR_BUILDING:
        (folder / name).touch(0o600)
    return [name for name in NAMES if _is_made(folder / name)]


def _is_made(path: Path) -> bool:
    if path.exists():
        return False
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(_BYTES))
    beside.chmod(0o444)
    beside.replace(path)
    return True


def main() -> None:
    """Make what is missing, and say so."""
    for name in prepare():
        print(f"made {SECRETS.name}/{name}")


if __name__ == "__main__":
    main()
