"""What faults need to know of a vendor's API."""

from typing import Protocol

from starlette.responses import Response
from starlette.types import Scope

from services.sandbox.faults.rule import Served


class FaultyVendor(Protocol):
    """The vendor's side of a fault."""

    def served(self, scope: Scope) -> Served:
        """The call, as rules look at it."""
        ...

    def refusal(self, scope: Scope, status: int, headers: dict[str, str]) -> Response:
        """How the vendor says no, as far as it is not the API that does."""
        ...

    def expire_token(self, scope: Scope) -> None:
        """End the access token that the call carries, if it is one that can end."""
        ...

    def take_tokens(self, scope: Scope) -> None:
        """Issue tokens of the call's API key to somebody else, as many as there may be."""
        ...
