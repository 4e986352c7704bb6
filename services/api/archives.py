"""`/v1/archives`: which parts of the logs were copied to archive files."""

from collections.abc import Mapping

from domain.hash_chain import HistoryArchived
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
    """Every archive, in the order of its log; `key` is the public key by which roots are signed, None where none is."""

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


def history_archived(accounts: Store) -> Mapping[tuple[str, int, int], HistoryArchived]:
    """The last archive of each part (log, after, through) that has one. Raises `StoreFailed`."""
    stream = archived_history_stream()
    facts = [fact for fact in accounts.histories([stream])[stream] if isinstance(fact, HistoryArchived)]
    return {(fact.log, fact.after, fact.through): fact for fact in facts}
