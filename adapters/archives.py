"""Archive files: what one signed root covers, as compressed lines of JSON.

The first line says which part of which log it is, and has the signed root. Then comes a line for each event, with all
that is stored of it; of an event that was erased only its position and hash. The same part makes the same bytes.
"""

import gzip
import json
import os
import re
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from domain.failures import ClearFailure
from domain.hash_chain import ChainedEvent, Leaf

_FORMAT: Final = "driverlink archive 1"

_NAME = re.compile(r"(?P<log>[a-z-]+)-(?P<first>\d{12})-(?P<through>\d{12})-[0-9a-f]{16}\.jsonl\.gz")
_PART: Final = ".part"

_READ_AT_ONCE: Final = 2**20


class ArchiveFailed(ClearFailure):
    """An archive file cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedPart:
    """Which part of a log an archive has: behind `after` and up to `through`, with the signed `root` over it.

    `statement`, `key` and `signature` are those of the `RootsSigned` that has the root.
    """

    log: str
    after: int
    through: int
    root: str
    statement: str
    key: str
    signature: str


ArchivedLine = ChainedEvent | Leaf
"""An event; or what stays of one that was erased."""


class Archive:
    """An archive file to read."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises `ArchiveFailed`."""
        self.name = path.name
        self.folder = path.parent
        self._path = path
        with closing(self._parsed()) as lines:
            self.part = _to_part(next(lines, None), self.name)

    def digest(self) -> str:
        """SHA-256 over its bytes. Raises `ArchiveFailed`."""
        return digest_of(self._path)

    def lines(self) -> Iterator[ArchivedLine]:
        """What it has of each event, in the order of the log. Raises `ArchiveFailed`."""
        with closing(self._parsed()) as lines:
            next(lines)
            for line in lines:
                yield _to_line(line, self.name)

    def _parsed(self) -> Generator[Any, None, None]:
        try:
            with gzip.open(self._path, "rb") as file:
                for line in file:
                    yield json.loads(line)
        except (OSError, EOFError, zlib.error, ValueError) as failure:
            raise ArchiveFailed(f"the archive {self.name} cannot be read: {failure}") from failure


def digest_of(path: Path) -> str:
    """SHA-256 over the bytes of a file, in hexadecimal digits. Raises `ArchiveFailed`."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while some := file.read(_READ_AT_ONCE):
                digest.update(some)
    except OSError as failure:
        raise ArchiveFailed(f"the archive {path.name} cannot be read: {failure.strerror}") from failure
    return digest.hexdigest()


def write_archive(folder: Path, part: ArchivedPart, lines: Iterable[ArchivedLine]) -> tuple[str, str]:
    """Write a part of a log to the folder, which is made where there is none: the name of its file, and its SHA-256.

    It is written beside, and gets its name once it is on the disk; the same file may be there already. Raises
    `ArchiveFailed`.
    """
    stem = f"{part.log}-{part.after + 1:012}-{part.through:012}"
    beside = folder / f".{stem}{_PART}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            _write_lines(file, part, lines)
            file.flush()
            os.fsync(file.fileno())
        digest = digest_of(beside)
        name = f"{stem}-{digest[:16]}.jsonl.gz"
        beside.rename(folder / name)
        sync_folder(folder)
    except OSError as failure:
        raise ArchiveFailed(f"no archive can be written to {folder}: {failure.strerror}") from failure
    return name, digest


def remove_archive(folder: Path, name: str) -> None:
    """Remove a file, where it is there. Raises `ArchiveFailed`."""
    try:
        (folder / name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            sync_folder(folder)
    except OSError as failure:
        raise ArchiveFailed(f"no archive can be removed from {folder}: {failure.strerror}") from failure


def remove_former(folder: Path, present: Mapping[tuple[str, int, int], tuple[str, str]]) -> None:
    """Remove the other files of these parts, which are given with the present file and the root of each.

    A process was killed before it removed them. Raises `ArchiveFailed`.
    """
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as failure:
        raise ArchiveFailed(f"the archives in {folder} cannot be listed: {failure.strerror}") from failure
    for path in paths:
        if found := _NAME.fullmatch(path.name):
            part = (found["log"], int(found["first"]) - 1, int(found["through"]))
            file, root = present.get(part, (path.name, ""))
            # A file with another root is not ours, wherever it comes from.
            if path.name != file and Archive(path).part.root == root:
                remove_archive(folder, path.name)


def remove_unfinished(folder: Path) -> None:
    """Remove what a process left that was killed as it wrote. Raises `ArchiveFailed`."""
    try:
        for path in folder.glob(f".*{_PART}"):
            path.unlink()
    except OSError as failure:
        raise ArchiveFailed(f"no archive can be removed from {folder}: {failure.strerror}") from failure


def archive_with(folder: Path, log: str, position: int) -> Archive | None:
    """The archive that has this position of a log; None where the folder has none. Raises `ArchiveFailed`."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            found = _NAME.fullmatch(path.name)
            if found and found["log"] == log and int(found["first"]) <= position <= int(found["through"]):
                return Archive(path)
    return None


def sync_folder(folder: Path) -> None:
    """Bring the names of files to the disk. Raises `OSError`."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _write_lines(file: BinaryIO, part: ArchivedPart, lines: Iterable[ArchivedLine]) -> None:
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(_to_json({"format": _FORMAT, **asdict(part)}))
        for line in lines:
            packed.write(_to_json(_to_fields(line)))


def _to_json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _to_fields(line: ArchivedLine) -> dict[str, Any]:
    if isinstance(line, Leaf):
        return {"position": line.position, "hash": line.hash.hex()}
    return {
        "position": line.position,
        "history": line.history,
        "version": line.version,
        "topic": line.topic,
        "state": line.state.decode(),
        "previous": line.previous.hex(),
        "hash": line.hash.hex(),
    }


def _to_part(document: Any, name: str) -> ArchivedPart:  # noqa: ANN401 - whatever the file says
    try:
        if document["format"] != _FORMAT:
            raise ArchiveFailed(f"{name} is of another form than archives of this version")
        return ArchivedPart(**{field: kind(document[field]) for field, kind in ArchivedPart.__annotations__.items()})
    except (KeyError, TypeError, ValueError) as failure:
        raise ArchiveFailed(f"the archive {name} does not begin as an archive does") from failure


def _to_line(document: Any, name: str) -> ArchivedLine:  # noqa: ANN401 - as above
    try:
        leaf = Leaf(position=int(document["position"]), hash=bytes.fromhex(document["hash"]))
        if "state" not in document:
            return leaf
        return ChainedEvent(
            position=leaf.position,
            history=str(document["history"]),
            version=int(document["version"]),
            topic=str(document["topic"]),
            state=document["state"].encode(),
            previous=bytes.fromhex(document["previous"]),
            hash=leaf.hash,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as failure:
        raise ArchiveFailed(f"the archive {name} has a line that is none of an archive") from failure
