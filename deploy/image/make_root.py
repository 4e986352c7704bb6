"""Gathers what an image needs to run into a folder: the interpreter, its libraries, certificates, and the product.

Nothing else of the base image comes along, so there is neither a shell nor a package manager, and no program that runs
with more rights than its caller's. Runs while the image is built: `make_root.py FOLDER PRODUCT`.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NOT_NEEDED = ("site-packages", "dist-packages", "ensurepip", "idlelib", "lib2to3", "test", "tkinter", "turtledemo")
"""Parts of the standard library that install or draw, and where packages of the base image lie."""

UNWANTED = {"bash", "busybox", "dash", "pip", "pip3", "sh"}
"""Names of programs and packages that an image must not have."""

LOADED_LATER = ("libgcc_s.so.1",)
"""Libraries that no file names, because they are loaded when a thread is ended."""

_USER = 10001


class Root:
    """The folder in which files have the places that they have in the base image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def at(self, path: Path) -> Path:
        """Where a file of the base image lies in the folder: behind no link."""
        return self.folder / (Path(os.path.realpath(path.parent)) / path.name).relative_to("/")

    def keep(self, path: Path) -> None:
        """A file, or a link with what it leads to."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            if not place.is_symlink():
                place.symlink_to(path.readlink())
            self.keep(path.parent / path.readlink())
        elif not place.exists():
            shutil.copy2(path, place)

    def keep_folder(self, path: Path, *but: str, follow: bool = False) -> None:
        """A folder without what has one of these names; where links are followed, each becomes what it leads to."""
        ignored = shutil.ignore_patterns(*but)
        shutil.copytree(path, self.at(path), symlinks=not follow, ignore=ignored, dirs_exist_ok=True)

    def keep_link(self, path: Path) -> None:
        """A link without what it leads to."""
        self.at(path).symlink_to(path.readlink())

    def write(self, path: str, text: str) -> None:
        """A file that the base image has otherwise."""
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "ascii")

    def files(self) -> Iterator[Path]:
        """Every file in the folder, without links."""
        yield from (path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink())


def libraries(path: Path) -> Iterator[Path]:
    """The shared libraries of the base image that a program or a library is loaded with."""
    told = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout  # noqa: S603, S607 - while an image is built
    for found in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, flags=re.MULTILINE):
        yield Path(found)


def is_loadable(path: Path) -> bool:
    """Whether it is a program or a library."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def gather(root: Root, product: Path) -> None:
    """Everything that the product needs to run."""
    for link in (Path("/lib"), Path("/lib64")):
        if link.is_symlink():
            root.keep_link(link)
    root.keep_folder(product)
    root.keep(product / "bin/python")
    root.keep_folder(Path(sysconfig.get_path("stdlib")), *NOT_NEEDED)
    root.keep_folder(Path("/etc/ssl"), "private", follow=True)
    root.keep_folder(Path("/usr/lib/ssl"), "misc", "private")
    found = {each for path in list(root.files()) if is_loadable(path) for each in libraries(path)}
    later = {each.with_name(name) for each in found for name in LOADED_LATER}
    for library in found | {each for each in later if each.exists()}:
        # What wheels bring along is found beside them, in the folder.
        if not library.is_relative_to(root.folder):
            root.keep(library)
    for name in ("/etc/ld.so.cache", "/etc/os-release"):
        root.keep(Path(name))
    root.write("/etc/passwd", f"driverlink:x:{_USER}:{_USER}::/nonexistent:/usr/sbin/nologin\n")
    root.write("/etc/group", f"driverlink:x:{_USER}:\n")
    root.write("/etc/nsswitch.conf", "hosts: files dns\n")


def main(folder: str, product: str) -> None:
    """Gather, and refuse what must not be in an image."""
    Path(folder).mkdir()
    root = Root(Path(folder))
    gather(root, Path(product))
    temporary = Path(folder, "tmp")
    temporary.mkdir()
    temporary.chmod(0o1777)
    for path in root.files():
        if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise SystemExit(f"{path} would run with more rights than its caller's")
        if UNWANTED & {*path.parts}:
            raise SystemExit(f"{path} does not belong in the image")


if __name__ == "__main__":
    main(*sys.argv[1:])
