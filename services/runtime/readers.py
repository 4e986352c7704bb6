"""The stores as people ask them: read in a thread of their own, so that a query keeps no service waiting.

Tables read page by page, so that no question loads a whole fleet.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from domain.identity import Target
from domain.store import Row, Store, Value, Where
from services.runtime.service import P, T, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Every service's store, only to be read.

    Where the services run in the same process these are stores of their own on the same files, with connections of
    their own; one thread reads all of them. `must_close` says that they are: else the services close theirs.
    """

    accounts: Store
    intake: Store
    decider: Store
    projectors: Mapping[Target, Store]
    must_close: bool = False
    _worker: Worker = field(default_factory=lambda: Worker("asking"))

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read something, after whatever is being read now. Raises what that does, and `WorkerClosed` after `close`."""
        return await self._worker.call(work, *args, **kwargs)

    def of(self, service: str) -> Store:
        """The store of the service of this name."""
        others = {f"projector-{target}": store for target, store in self.projectors.items()}
        return {"accounts": self.accounts, "intake": self.intake, "decider": self.decider, **others}[service]

    def close(self) -> None:
        """End after what is being read."""
        self._worker.close()
        for store in (self.accounts, self.intake, self.decider, *self.projectors.values()) if self.must_close else ():
            store.close()


_PAGE = 500

R = TypeVar("R", bound=Row)


def pages(store: Store, row: type[R], where: Where, order_by: str) -> Iterator[list[R]]:
    """The rows that match, in pages; the column in `order_by` tells them apart. Raises `StoreFailed`."""
    after: Value | None = None
    while page := store.select(row, where, order_by=order_by, after=after, limit=_PAGE):
        yield page
        after = getattr(page[-1], order_by)
