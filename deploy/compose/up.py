"""Starts the compose set-up, waits until it is healthy, and prints its addresses: `python -m deploy.compose.up`.

Sandboxes stand in for the real targets, unless `COMPOSE_FILE` names other files.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.compose import prepare

_ROOT = Path(__file__).parents[2]
_SEEN = '[{{json (index .Config.Labels "com.docker.compose.service")}}, {{json .NetworkSettings.Ports}}]'
_BEHIND = {
    "8080/tcp": ("{service}", "/ready"),
    "8101/tcp": ("sandbox of Driveri", ""),
    "8102/tcp": ("sandbox of Motive", ""),
    "8103/tcp": ("sandbox of the Portal", ""),
}
"""For each container port: what listens there, and the path to open."""

SANDBOXED = os.pathsep.join(("docker-compose.yml", "docker-compose.sandbox.yml"))
"""The compose files that replace the real targets by sandboxes."""


def addresses(seen: Iterable[str]) -> list[str]:
    """A line for each published port, from one JSON text `[service, ports]` of the engine for each container."""
    return sorted(line for each in seen for line in _addresses(*json.loads(each)))


def _addresses(service: str, ports: dict[str, list[dict[str, str]] | None]) -> Iterator[str]:
    for port, published in ports.items():
        name, path = _BEHIND.get(port, ("{service}", ""))
        for at in published or ():
            yield f"{name.format(service=service):21}  http://{at['HostIp']}:{at['HostPort']}{path}"


def files() -> str:
    """The files that compose reads: those of `COMPOSE_FILE`, else the sandboxed ones."""
    return os.environ.get("COMPOSE_FILE") or SANDBOXED


def main() -> int:
    """The exit status: 0 once everything is healthy, else that of the docker command that failed."""
    docker = shutil.which("docker")
    if docker is None:
        print("docker is needed, with its compose plugin", file=sys.stderr)
        return 1
    prepare.main()
    try:
        _run(docker, "compose", "up", "--build", "--detach", "--wait")
        containers = _run(docker, "compose", "ps", "--quiet", is_read=True).split()
        seen = _run(docker, "inspect", "--format", _SEEN, *containers, is_read=True)
    except subprocess.CalledProcessError as failure:
        return failure.returncode
    given = f"export COMPOSE_FILE={files()}; " if "COMPOSE_FILE" not in os.environ else ""
    print(*addresses(seen.splitlines()), "", f"Commands: {given}docker compose run --rm cli --help", sep="\n")
    return 0


def commit() -> str:
    """The commit that the image is built from, for `driverlink --version`; empty where git cannot tell."""
    words = ["git", "-C", str(_ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed words
    except OSError:
        return ""


def _run(*command: str, is_read: bool = False) -> str:
    """What a command prints, where it is to be read. Raises `CalledProcessError`."""
    output = subprocess.PIPE if is_read else None
    environment = {"COMMIT": commit(), **os.environ, "COMPOSE_FILE": files()}
    return subprocess.run(command, cwd=_ROOT, env=environment, stdout=output, text=True, check=True).stdout or ""  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
