"""The image as an engine builds it: what is in it, and that it runs with nothing but that.

It needs a Docker daemon with BuildKit. Where the base image cannot be pulled, `DRIVERLINK_BASE_IMAGE` names another one
with Python 3.11; an index behind a mirror is given as for `make up`, in `deploy/compose/secrets`.
"""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.compose.prepare import FOR_BUILDING, SECRETS
from deploy.compose.up import commit

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TAG = "driverlink:test"
CONTAINED = (
    "--rm",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=none",
)


def _docker(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    command = ["docker", *arguments]  # as people find it
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=1800, check=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("docker") is None or _docker("info").returncode != 0:
        pytest.skip("NOT TESTED: no Docker daemon answers")
    base = os.environ.get("DRIVERLINK_BASE_IMAGE")
    nothing = tmp_path_factory.mktemp("build") / "nothing"
    nothing.touch()
    built = _docker(
        "build",
        "--file=deploy/image/Dockerfile",
        f"--tag={TAG}",
        f"--build-arg=COMMIT={commit()}",
        *([f"--build-arg=BASE_IMAGE={base}"] if base else ()),
        *(
            f"--secret=id={name},src={found if (found := SECRETS / name).exists() else nothing}"
            for name in FOR_BUILDING
        ),
        ".",
    )
    assert built.returncode == 0, built.stderr.decode()[-3000:]
    return TAG


@pytest.fixture(scope="module")
def files(image: str) -> dict[str, tarfile.TarInfo]:
    """Everything in the image, by its path."""
    container = _docker("create", image).stdout.decode().strip()
    exported = _docker("export", container).stdout
    _docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        return {member.name: member for member in archive.getmembers()}


def _in_a_container(image: str, *command: str) -> Iterator[str]:
    done = _docker("run", *CONTAINED, "--entrypoint", command[0], image, *command[1:])
    assert done.returncode == 0, done.stderr.decode()
    yield from done.stdout.decode().splitlines()


def test_there_is_no_shell_no_pip_and_no_program_with_rights_of_its_own(files: dict[str, tarfile.TarInfo]) -> None:
    assert [name for name, file in files.items() if file.mode & 0o6000] == []
    programs = {Path(name).name for name, file in files.items() if file.mode & 0o111 and not file.isdir()}
    assert not programs & {"sh", "bash", "dash", "busybox", "su", "mount", "apt", "apt-get", "dpkg", "perl", "ldd"}
    assert [name for name in files if "pip" in Path(name).parts or "ensurepip" in Path(name).parts] == []
    assert "opt/driverlink/bin/driverlink" in files


def test_it_runs_contained_and_as_nobody_in_particular(image: str) -> None:
    script = "import os; from services.wiring import distributed, embedded; print(os.getuid(), os.getgid())"
    assert list(_in_a_container(image, "python", "-c", script)) == ["10001 10001"]


def test_every_library_that_it_may_need_is_there(image: str) -> None:
    script = (
        "import bz2, ctypes, lzma, sqlite3, ssl, threading, zlib; import cryptography, psycopg, uvloop; "
        "import services.sandbox.serving; "
        "print(ssl.create_default_context().cert_store_stats()['x509_ca'] > 100, psycopg.pq.__impl__)"
    )
    assert list(_in_a_container(image, "python", "-c", script)) == ["True binary"]


def test_it_says_what_it_is(image: str) -> None:
    (said,) = _in_a_container(image, "driverlink", "--version")
    labels = json.loads(_docker("inspect", "--format={{json .Config.Labels}}", image).stdout)
    version = labels["org.opencontainers.image.version"]
    assert said == f"driverlink {version} (commit {commit()[:12]})"
    assert labels["org.opencontainers.image.revision"] == commit()


def test_the_sample_fleet_is_where_people_find_it(image: str) -> None:
    script = "from pathlib import Path; print(sorted(each.name for each in Path('/sample').glob('*.csv')))"
    assert list(_in_a_container(image, "python", "-c", script)) == [
        "['portal-drivers-semicolon.csv', 'portal-drivers.csv']"
    ]
