"""Whatever is sent, by anyone: no failure of ours, and every answer is as the published description says."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import ASGIApp

from domain.account import Role
from services.api.app import openapi
from services.api.authentication import at_local_socket
from services.api.permissions import EVERYWHERE, PERMISSIONS, Scope
from tests.support.examples import examples
from tests.support.reached_twins import reached_twins
from tests.unit.services.api.api_stand import ApiStand, letter, name

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KNOWN: Final = {"account": "acme", "driver": "1", "sender": "portal", "name": name()}
"""What many requests name, so that they come further than to what there is not."""

FEW: Final = {"operator": 3, "admin": 1, "stranger": 1}
"""How many requests of each operation are made in `make test`, by who makes them."""

OPERATIONS: Final = [
    (path, method, operation["operationId"])
    for path, methods in openapi()["paths"].items()
    for method, operation in methods.items()
]
PUBLIC: Final = {route for route, permission in PERMISSIONS.items() if permission.scope is Scope.PUBLIC}


class Asked:
    """The API as the operator, the holder of an admin's key, and a stranger ask it."""

    def __init__(self, stand: ApiStand) -> None:
        self.apps: dict[str, ASGIApp] = dict.fromkeys(("admin", "stranger"), stand.app)
        self.apps["operator"] = at_local_socket(stand.app)
        self.key = stand.key({EVERYWHERE: frozenset({Role.ADMIN})})
        self.schema = schemathesis.openapi.from_dict(openapi())

    def check(self, who: str, case: Any) -> int:  # noqa: ANN401 - schemathesis' own
        """Send this; the status. Raises where the answer is not as described."""
        headers = {"authorization": f"Bearer {self.key}"} if who == "admin" else {}
        response = case.call(app=self.apps[who], base_url="http://driverlink", headers=headers)
        case.validate_response(response, checks=CHECKS)
        return int(response.status_code)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("DRIVERLINK_PORTAL_URL", "http://127.0.0.1:9")
        reached_twins(patched)
        stand = ApiStand(tmp_path_factory.mktemp("data"))
        asyncio.run(stand.set_some_aside())
        stand.keep(letter(), *(letter(position) for position in range(2, 5)))
        yield Asked(stand)
        stand.close()


def with_known(case: Any, known: set[str]) -> Any:  # noqa: ANN401 - schemathesis' own
    """The same request, of something that there is."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict):
            place.update({each: KNOWN[each] for each in known & place.keys()})
    return case


@pytest.mark.parametrize("who", FEW)
@pytest.mark.parametrize(("path", "method", "route"), OPERATIONS, ids=[route for _, _, route in OPERATIONS])
def test_every_answer_is_as_described(asked: Asked, who: str, path: str, method: str, route: str) -> None:
    operation = asked.schema[path][method.upper()]

    @settings(examples(FEW[who], many=300), suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), known=st.sets(st.sampled_from(sorted(KNOWN))))
    def ask(case: Any, known: set[str]) -> None:  # noqa: ANN401 - schemathesis' own
        if route == "remove_account":
            known.discard("account")
        status = asked.check(who, with_known(case, known))
        assert who != "stranger" or route in PUBLIC or status == HTTPStatus.UNAUTHORIZED

    ask()
