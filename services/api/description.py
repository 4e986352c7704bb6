"""The description of the API as OpenAPI 3.1: what FastAPI writes of the routes, and what it cannot know of them."""

from typing import Any, Final

from fastapi import FastAPI

from services.api.idempotency import KEPT
from services.api.permissions import PERMISSIONS, Scope

_HOURS = int(KEPT.total_seconds() // 3600)

_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": r'^"[ !#-\[\]-~]{16,255}"$'},
    "description": "A UUID, or another text that is used for no other command, in quotes: the same request with the "
    f"same key, within {_HOURS} hours, is answered the same and changes nothing.",
}

_SECURITY: Final[dict[str, Any]] = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
}

PROBLEM_TYPE: Final = "application/problem+json"

_REFUSED: Final[dict[str, Any]] = {
    "description": "Refused; `detail` says why, and what to do.",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class DescribedApp(FastAPI):
    """An application whose description says what holds for all routes."""

    def openapi(self) -> dict[str, Any]:
        """The description."""
        if self.openapi_schema is None:
            described = super().openapi()
            described["components"]["securitySchemes"] = _SECURITY
            for methods in described["paths"].values():
                for method, operation in methods.items():
                    _complete(method, operation)
        return super().openapi()


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Say of an operation how it is refused, who may ask it, and that a command takes a key."""
    operation["responses"]["default"] = _REFUSED
    if PERMISSIONS[operation["operationId"]].scope is Scope.PUBLIC:
        return
    operation["security"] = [{"key": []}]
    if method != "get":
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
