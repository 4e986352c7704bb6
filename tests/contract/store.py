"""The contract of `Store`; its log has to keep the contract of `Stream` besides."""

from tests.contract.chaining import Chaining
from tests.contract.committing import Committing
from tests.contract.histories import Histories
from tests.contract.lasting import Lasting
from tests.contract.tables import Tables, TablesBeside


class StoreContract(Committing, Histories, Chaining, Tables, TablesBeside, Lasting):
    """Inherit it, and give a fixture `stand` that is a `StoreStand`, a `RebuildableStand` and a `ChainedStand`."""
