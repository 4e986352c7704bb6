"""`/v1/archives`: which parts of the logs were copied to archive files."""

from domain.hash_chain import ArchiveDeleted, HistoryArchived
from domain.identity import archived_history_stream
from domain.store import Store
from services.api.installation import Installation
from services.api.routing import Installed, new_router
from services.api.schema import Moment, ResponseBody

router = new_router("archives", prefix="/archives")


class ArchivedHistory(ResponseBody):
    """The file of a part of a log: behind the position `after` and up to `through`, under the signed `root`.

    It has `events` whole; of those that were `erased` only positions and hashes. `sha256` is of its bytes; it and the
    root are hexadecimal.
    """

    log: str
    after: int
    through: int
    root: str
    events: int
    erased: int
    file: str
    sha256: str
    at: Moment


class Archives(ResponseBody):
    """Every archive that there is, in the order of its log; `key` is the public one that signs roots, if one does."""

    archives: tuple[ArchivedHistory, ...]
    key: str | None


@router.get("")
async def list_archives(installation: Installed) -> Archives:
    """List the archive files that were written of the logs."""
    return await installation.readers.call(_archives, installation)


def _archives(installation: Installation) -> Archives:
    found = history_archived(installation.readers.accounts)
    shown = (
        ArchivedHistory(
            log=fact.log,
            after=fact.after,
            through=fact.through,
            root=fact.root,
            events=fact.events,
            erased=fact.erased,
            file=fact.file,
            sha256=fact.sha256,
            at=fact.at,
        )
        for _, fact in sorted(found.items())
    )
    return Archives(archives=tuple(shown), key=installation.signer.key if installation.signer else None)


Part = tuple[str, int, int]
"""A part of a log: its name, the position behind which it begins, and its last one."""


def history_archived(accounts: Store) -> dict[Part, HistoryArchived]:
    """The last archive of each part that has one. Raises `StoreFailed`."""
    return {part: fact for part, fact in _last(accounts).items() if isinstance(fact, HistoryArchived)}


def archives_deleted(accounts: Store) -> set[Part]:
    """The parts whose archives were deleted, and are not written again. Raises `StoreFailed`."""
    return {part for part, fact in _last(accounts).items() if isinstance(fact, ArchiveDeleted)}


def _last(accounts: Store) -> dict[Part, HistoryArchived | ArchiveDeleted]:
    stream = archived_history_stream()
    facts = accounts.histories([stream])[stream]
    return {
        (fact.log, fact.after, fact.through): fact
        for fact in facts
        if isinstance(fact, HistoryArchived | ArchiveDeleted)
    }
