"""The stores as people ask them: read in a thread of their own, page by page, so that a query delays no service."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar

from domain.identity import Target
from domain.store import Row, Store, Value, Where
from services.runtime.service import P, T, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Every service's store, by the service's name, only to be read.

    Where the services run in the same process these are stores of their own on the same files, with connections of
    their own; one thread reads all of them. `must_close` says that they are: else the services close theirs.
    """

    stores: Mapping[str, Store]
    must_close: bool = False
    _worker: Worker = field(default_factory=lambda: Worker("queries"))

    @property
    def accounts(self) -> Store:
        """The store of the accounts."""
        return self.stores["accounts"]

    @property
    def intake(self) -> Store:
        """The store of intake."""
        return self.stores["intake"]

    @property
    def decider(self) -> Store:
        """The store of the decider."""
        return self.stores["decider"]

    @property
    def projectors(self) -> Mapping[Target, Store]:
        """The store of each target's projector."""
        return {target: self.stores[f"projector-{target}"] for target in Target}

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read something, after whatever is being read now. Raises what that does, and `WorkerClosed` after `close`."""
        return await self._worker.call(work, *args, **kwargs)

    def close(self) -> None:
        """End after what is being read."""
        self._worker.close()
        for store in self.stores.values() if self.must_close else ():
            store.close()


_PAGE = 500

R = TypeVar("R", bound=Row)


def pages(
    store: Store, row: type[R], where: Where, order_by: str, *, after: Value | None = None, limit: int | None = None
) -> Iterator[list[R]]:
    """The rows that match, in pages, from behind this value of the column in `order_by`, which distinguishes them.

    Raises `StoreFailed`.
    """
    while page := store.select(row, where, order_by=order_by, after=after, limit=limit or _PAGE):
        yield page
        after = getattr(page[-1], order_by)


_MOST_COMPARED = 2000
"""Names that are compared, so that a slip of the pen costs little."""


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """`; did you mean x or y?`, by the names that are most alike in any letter case; empty if none is."""
    known = {name.casefold(): name for name in islice(names, _MOST_COMPARED)}
    alike = [known[each] for each in get_close_matches(text.casefold()[:200], known, 3)]
    return f"; did you mean {' or '.join(alike)}?" if alike else ""
