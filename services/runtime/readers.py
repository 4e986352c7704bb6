"""The stores as people ask them: read in a thread of their own, so that whoever asks keeps no service waiting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from domain.identity import Target
from domain.storing import Store
from services.runtime.worker import P, T, Worker


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
