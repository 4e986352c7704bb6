"""Copies what is old in the logs to archive files, each under one signed root; nothing is removed from the stores.

It can be killed anywhere, and goes on when it is run again: a part counts as archived once its file is on the disk and
`HistoryArchived` is stored.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import structlog

from adapters.archives import (
    Archive,
    ArchivedLine,
    ArchivedPart,
    ArchiveFailed,
    archive_with,
    remove_archive,
    remove_former,
    remove_unfinished,
    write_archive,
)
from adapters.signing import is_signed
from domain.hash_chain import ArchiveDeleted, ChainedEvent, ChainedStore, HistoryArchived, Leaf, RootsSigned, root_of
from domain.identity import archived_history_stream
from domain.store import HistoryHead, Record, Resubmission, StoreFailed, Stream, Unit
from services.api.archives import Part, archives_deleted, history_archived
from services.api.as_of import mark_at
from services.api.installation import Signer
from services.api.signed_roots import (
    ChainedLogs,
    InclusionProof,
    present_roots,
    proof_of,
    roots_reach,
    signed_roots,
    to_signed,
)
from services.wiring.erasing import ERASURE_KEEPS
from services.wiring.rebuild import Stores
from services.wiring.registry import SERVICES

_PAGE: Final = 5_000
"""Events that are read at a time."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePart:
    """A part of a log that is old enough and not archived, with its `events`; a root has to be signed first or not."""

    log: str
    after: int
    through: int
    events: int
    is_signed: bool


def due_parts(stores: Stores, folder: Path, before: datetime) -> Sequence[DuePart]:
    """What is to be archived of events up to this moment. Raises `StoreFailed`."""
    logs, marks = _chained(stores), _marks(stores, before)
    signed = signed_roots(logs)
    reached = roots_reach(signed)
    due = [
        DuePart(log=log, after=after, through=through, events=root["events"], is_signed=True)
        for (log, after, through), (root, _) in _missing(stores, folder, signed, marks).items()
    ]
    for log, mark in marks.items():
        after = reached.get(log, 0)
        if events := sum(1 for _ in _leaves(logs[log], after, mark)):
            due.append(DuePart(log=log, after=after, through=mark, events=events, is_signed=False))
    return due


def archive_history(
    stores: Stores,
    signer: Signer | None,
    folder: Path,
    before: datetime,
    now: datetime,
    on_step: Callable[[HistoryArchived], None] = lambda _: None,
) -> Sequence[HistoryArchived]:
    """Archive the events up to this moment that are not archived yet; what was.

    Of each log that are whole roots; where the last one is older, another one is signed first. A file that is not there
    any more is written again. Raises `StoreFailed`, `ArchiveFailed`.
    """
    logs, marks = _chained(stores), _marks(stores, before)
    remove_unfinished(folder)
    _sign(stores, signer, marks, now)
    archived, former = list[HistoryArchived](), history_archived(stores["accounts"])
    for key, (root, signed) in _missing(stores, folder, signed_roots(logs), marks).items():
        log, after, through = key
        part = ArchivedPart(
            log=log,
            after=after,
            through=through,
            root=root["root"],
            statement=signed.statement,
            key=signed.key,
            signature=signed.signature,
        )
        archived.append(_store(stores, folder, part, _stored_lines(logs[log], part), now, former.get(key)))
        on_step(archived[-1])
    _remove_former(stores, folder)
    return archived


def deletable_archives(stores: Stores, before: datetime) -> Sequence[HistoryArchived]:
    """The archives of which every event is from before this moment. Raises `StoreFailed`."""
    marks = _marks(stores, before)
    return [fact for fact in history_archived(stores["accounts"]).values() if fact.through <= marks[fact.log]]


def delete_archives(stores: Stores, folder: Path, before: datetime, now: datetime) -> Sequence[HistoryArchived]:
    """Delete the archives of which every event is from before this moment; which. Raises as `archive_history`."""
    _remove_former(stores, folder)
    deleted = deletable_archives(stores, before)
    for fact in deleted:
        remove_archive(folder, fact.file)
        gone = ArchiveDeleted(
            **_next(stores, now), log=fact.log, after=fact.after, through=fact.through, file=fact.file
        )
        stores["accounts"].commit(Unit(events=[gone]))
    return deleted


def forget_in_archives(stores: Stores, folder: Path | None, account: str, now: datetime) -> None:
    """Leave nothing of an account in the archives but positions and hashes. Raises `StoreFailed`, `ArchiveFailed`.

    Each file that has something of it is written again without that, and takes the place of the former one.
    """
    for fact in history_archived(stores["accounts"]).values():
        archive = _opened(folder, fact, account)
        lines = map(_without(account), archive.lines())
        if sum(isinstance(line, Leaf) for line in lines) > fact.erased:
            lines = map(_without(account), archive.lines())
            _store(stores, archive.folder, archive.part, lines, now, fact)
            _log.warning("archive is erased", file=fact.file, account=account)
    if folder:
        _remove_former(stores, folder)


def _remove_former(stores: Stores, folder: Path) -> None:
    """Remove the files that were replaced by a process that was killed before it removed them."""
    present = history_archived(stores["accounts"])
    remove_former(folder, {part: (fact.file, fact.root) for part, fact in present.items()})


def _opened(folder: Path | None, fact: HistoryArchived, account: str) -> Archive:
    """The file of an archive that has to be there, and to be as it was written."""
    what_to_do = f"put it back, or let `driverlink archives create` write it again; then {account} can be erased"
    if folder is None:
        raise ArchiveFailed(f"the archive {fact.file} may have events of {account}: set DRIVERLINK_ARCHIVE_FOLDER")
    if not (folder / fact.file).is_file():
        raise ArchiveFailed(f"the archive {fact.file} is not in {folder}: {what_to_do}")
    archive = Archive(folder / fact.file)
    if archive.digest() != fact.sha256:
        raise ArchiveFailed(
            f"the archive {fact.file} in {folder} is not as it was written: remove it, and {what_to_do}"
        )
    return archive


def _without(account: str) -> Callable[[ArchivedLine], ArchivedLine]:
    def without(line: ArchivedLine) -> ArchivedLine:
        if isinstance(line, Leaf) or line.topic in ERASURE_KEEPS:
            return line
        return line.leaf if json.loads(line.state).get("account") == account else line

    return without


def _chained(stores: Stores) -> ChainedLogs:
    return {spec.log_title: stores[name] for name, spec in SERVICES.items()}


def _marks(stores: Stores, before: datetime) -> Mapping[str, int]:
    return {spec.log_title: mark_at(stores[name].log, before) for name, spec in SERVICES.items()}


def _sign(stores: Stores, signer: Signer | None, marks: Mapping[str, int], now: datetime) -> None:
    """Let roots cover the logs up to these positions."""
    logs = _chained(stores)
    while any(
        next(_leaves(logs[log], roots_reach(signed_roots(logs)).get(log, 0), mark), None) for log, mark in marks.items()
    ):
        if signer is None:
            raise StoreFailed("no root can be signed without a secret key: set DRIVERLINK_SECRET_KEY_FILE")
        stores["accounts"].commit(Unit(events=[to_signed(logs, signed_roots(logs), signer, now, marks)]))


def _leaves(store: ChainedStore, after: int, through: int) -> Iterator[Leaf]:
    while page := store.leaves(after, through, _PAGE):
        yield from page
        after = page[-1].position


def _missing(
    stores: Stores, folder: Path, signed: Sequence[RootsSigned], marks: Mapping[str, int]
) -> dict[Part, tuple[Mapping[str, Any], RootsSigned]]:
    """The roots up to these positions that have no archive, and all whose archive is not in the folder."""
    known, deleted = history_archived(stores["accounts"]), archives_deleted(stores["accounts"])
    found = dict[Part, tuple[Mapping[str, Any], RootsSigned]]()
    for root, each in present_roots(_chained(stores), signed):
        key = (root["log"], root["after"], root["through"])
        fact = known.get(key)
        is_due = key not in deleted and root["through"] <= marks.get(root["log"], 0)
        if not (folder / fact.file).is_file() if fact else is_due:
            found[key] = (root, each)
    return found


def _store(
    stores: Stores,
    folder: Path,
    part: ArchivedPart,
    lines: Iterable[ArchivedLine],
    now: datetime,
    former: HistoryArchived | None,
) -> HistoryArchived:
    """Write an archive and store that it is there; then remove a former one of the same part."""
    counted = _Counted(lines, part)
    file, digest = write_archive(folder, part, counted)
    fact = HistoryArchived(
        **_next(stores, now),
        log=part.log,
        after=part.after,
        through=part.through,
        root=part.root,
        events=counted.events,
        erased=len(counted.leaves) - counted.events,
        file=file,
        sha256=digest,
    )
    if not former or former.sha256 != digest:
        stores["accounts"].commit(Unit(events=[fact]))
    if former and former.file != file:
        remove_archive(folder, former.file)
    return fact


def _next(stores: Stores, now: datetime) -> dict[str, Any]:
    """What the next fact about archives begins with."""
    stream = archived_history_stream()
    head = next(iter(stores["accounts"].select(HistoryHead, {"history": stream.hex})), None)
    version = head.version + 1 if head else 1
    return {"originator_id": stream, "originator_version": version, "at": now, "account": ""}


class _Counted:
    """The lines of a part, which must be those under its root."""

    def __init__(self, lines: Iterable[ArchivedLine], part: ArchivedPart) -> None:
        self._lines = lines
        self._part = part
        self.events = 0
        self.leaves: list[Leaf] = []

    def __iter__(self) -> Iterator[ArchivedLine]:
        """Each of them. Raises `ArchiveFailed` at the end, or at an event that is not as it was stored."""
        for line in self._lines:
            if isinstance(line, ChainedEvent):
                if not line.is_whole:
                    raise ArchiveFailed(f"{line.id} in {self._part.log} is not as it was stored: `driverlink verify`")
                self.events += 1
            self.leaves.append(_leaf(line))
            yield line
        if not self.leaves or root_of(self.leaves)[0].hex() != self._part.root:
            part = f"positions {self._part.after + 1} to {self._part.through} of {self._part.log}"
            raise ArchiveFailed(f"{part} are not as their signed root says: look at `driverlink verify`")


def _leaf(line: ArchivedLine) -> Leaf:
    return line.leaf if isinstance(line, ChainedEvent) else line


def _stored_lines(store: ChainedStore, part: ArchivedPart) -> Iterator[ArchivedLine]:
    """What the store has of a part: the events, and the positions and hashes of those that were erased."""
    after = part.after
    while page := store.leaves(after, part.through, _PAGE):
        events = {each.position: each for each in store.chained_events(after, page[-1].position, _PAGE)}
        yield from (events.get(leaf.position, leaf) for leaf in page)
        after = page[-1].position


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedArchive:
    """An archive file that was checked: what is wrong with it, or nothing."""

    file: str
    events: int
    problem: str


def check_archives(folder: Path, facts: Sequence[Mapping[str, Any]], key: str) -> Iterator[CheckedArchive]:
    """Check the files of these `HistoryArchived`, as the API shows them, one by one; `key` is the public one."""
    reached: dict[str, int] = {}
    for fact in facts:
        if fact["after"] > reached.get(fact["log"], fact["after"]):
            gap = f"positions {reached[fact['log']] + 1} to {fact['after']} of {fact['log']} are in no archive"
            yield CheckedArchive(file=fact["file"], events=0, problem=gap)
        reached[fact["log"]] = fact["through"]
        try:
            problem = _problem(folder / fact["file"], fact, key)
        except ArchiveFailed as failure:
            problem = str(failure)
        yield CheckedArchive(file=fact["file"], events=fact["events"], problem=problem)


def _problem(path: Path, fact: Mapping[str, Any], key: str) -> str:
    if not path.is_file():
        return "is missing"
    archive = Archive(path)
    part, leaves, erased = archive.part, list[Leaf](), 0
    for line in archive.lines():
        if isinstance(line, ChainedEvent) and not line.is_whole:
            return f"event {line.id}, at position {line.position}, is not as it was stored"
        erased += isinstance(line, Leaf)
        leaves.append(_leaf(line))
    place = (part.log, part.after, part.through, part.root)
    if place != (fact["log"], fact["after"], fact["through"], fact["root"]):
        return "is of another part of a log"
    if part.key != key or not is_signed(part.statement, part.signature, key):
        return "has a root that this installation has not signed"
    roots = [(root["log"], root["after"], root["root"]) for root in json.loads(part.statement)["roots"]]
    if (part.log, part.after, part.root) not in roots or not leaves or root_of(leaves)[0].hex() != part.root:
        return "has another root: events were altered, moved, added or removed"
    if erased != fact["erased"] or archive.digest() != fact["sha256"]:
        return "is not as it was written"
    return ""


def proof_in(folder: Path, log: str, position: int) -> InclusionProof:
    """The proof of an event that an archive has. Raises `ArchiveFailed`."""
    archive = archive_with(folder, log, position)
    if archive is None:
        raise ArchiveFailed(f"no archive in {folder} has position {position} of {log}")
    lines = [*archive.lines()]
    event = next((each for each in lines if each.position == position), None)
    if not isinstance(event, ChainedEvent):
        raise ArchiveFailed(
            f"{archive.name} has no event at position {position}: {'it was erased' if event else 'none'}"
        )
    return proof_of(archive.part, log, event, [*map(_leaf, lines)])


class ArchivedLog:
    """A log of which as much is read from archives as these have, and only the rest from the store."""

    def __init__(self, log: Stream, folder: Path, facts: Sequence[HistoryArchived]) -> None:
        """The `facts` are those of this log, in its order."""
        self.name = log.name
        self._log = log
        self._folder = folder
        self._facts = facts
        self._through = facts[-1].through if facts else 0
        self._records: Iterator[Record] = iter(())
        self._at = -1

    def end(self) -> int:
        """The position of the last record."""
        return self._log.end()

    def again(self, resubmission: Resubmission) -> Record:
        """The record that a resubmission stands for."""
        return self._log.again(resubmission)

    def read(self, after: int, limit: int) -> Sequence[Record]:
        """The records behind this position, in order. Raises `StoreFailed`, `ArchiveFailed`."""
        if after >= self._through:
            return self._log.read(after, limit)
        if after != self._at:
            self._records = self._behind(after)
        page = [*islice(self._records, limit)]
        self._at = page[-1].position if page else self._through
        return page or self._log.read(self._through, limit)

    def _behind(self, after: int) -> Iterator[Record]:
        for fact in self._facts:
            if fact.through > after:
                yield from self._stored(after, fact.after)
                after = max(after, fact.after)
                yield from (record for record in self._archived(fact) if record.position > after)
                after = fact.through

    def _stored(self, after: int, through: int) -> Iterator[Record]:
        """What stands in front of the first archive: those of it were deleted."""
        while after < through and (page := self._log.read(after, _PAGE)):
            yield from (record for record in page if record.position <= through)
            after = page[-1].position

    def _archived(self, fact: HistoryArchived) -> Iterator[Record]:
        archive = Archive(self._folder / fact.file)
        if archive.digest() != fact.sha256:
            raise ArchiveFailed(f"the archive {fact.file} is not as it was written: look at `verify --archive`")
        for line in archive.lines():
            if isinstance(line, ChainedEvent):
                # The store's log reads it, because it knows how what is stored there is to be read.
                stored = Resubmission(
                    stream=self.name,
                    position=line.position,
                    log_position=line.position,
                    id=line.id,
                    topic=line.topic,
                    body=b64encode(line.state).decode(),
                )
                yield self._log.again(stored)


def archived_logs(stores: Stores, folder: Path) -> Mapping[str, Stream]:
    """By service its log, as much as there is of it from archives. Raises `StoreFailed`."""
    facts = history_archived(stores["accounts"])
    return {
        name: ArchivedLog(
            stores[name].log, folder, [fact for (log, _, _), fact in sorted(facts.items()) if log == spec.log_title]
        )
        for name, spec in SERVICES.items()
    }
