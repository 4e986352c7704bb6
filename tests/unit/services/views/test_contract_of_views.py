"""The AsyncAPI document says what is really in the topics that are made from logs."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import pytest

from docs.contract import TOPICS, asyncapi, kinds_of
from docs.contract_of_views import with_views
from domain.driver_link import Confirmed, apply, unlinked
from domain.identity import PortalDriverId, Target
from domain.store import Event
from services.runtime.context import CHANGES, DECISIONS
from services.views.link_states import STATES, TYPE, LinkSnapshot
from services.views.relays import PERSONAL
from services.wiring.registry import VIEWS
from tests.golden.samples import SAMPLES
from tests.support.decider_in_memory import ACCOUNT
from tests.unit.services.views.test_views import logged_and_seen

LOGS = (CHANGES, DECISIONS)
IN_VIEWS = {
    topic: (log, event) for log in LOGS for topic, event in SAMPLES.items() if type(event) in kinds_of(TOPICS[log])
}


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    return with_views(asyncapi("1"))


def schema_in(document: Mapping[str, Any], channel: str, message: str) -> Mapping[str, Any]:
    """What the document says of the value of such a message in a channel."""
    step = document["channels"][channel]["messages"][message]["$ref"].rpartition("/")[2]
    payload = document["components"]["messages"][step]["payload"]["$ref"].rpartition("/")[2]
    found: Mapping[str, Any] = document["components"]["schemas"][payload]
    return found


def test_every_view_is_a_channel(document: Mapping[str, Any]) -> None:
    assert {view.topic for view in VIEWS} == set(document["channels"]) - set(TOPICS)


@pytest.mark.parametrize(("log", "event"), IN_VIEWS.values(), ids=IN_VIEWS)
def test_the_value_of_each_event_is_as_its_view_is_described(
    document: Mapping[str, Any], log: str, event: Event
) -> None:
    schema, (_, seen) = schema_in(document, f"{log}.ids", event.TOPIC), logged_and_seen(event)
    value = json.loads(seen.value or b"")
    jsonschema_rs.Draft7Validator({**schema, "additionalProperties": False}).validate(value)


def test_what_is_marked_as_personal_is_what_views_leave_out(document: Mapping[str, Any]) -> None:
    for log in LOGS:
        for message in document["channels"][log]["messages"]:
            properties = schema_in(document, log, message)["properties"]
            marked = {name for name, each in properties.items() if each.get("x-personal-data")}
            assert marked == PERSONAL & properties.keys(), message


def test_the_state_of_a_link_is_as_it_is_described(document: Mapping[str, Any]) -> None:
    event = SAMPLES["DriverLink.Confirmed"]
    assert isinstance(event, Confirmed)
    link = unlinked(ACCOUNT, Target(event.target), PortalDriverId(event.driver))
    confirmed = LinkSnapshot(link=apply(link, event), at=event.at, confirmed_version=7, confirmed_at=event.at)
    stated = confirmed.to_json()
    schema = schema_in(document, STATES, TYPE)
    jsonschema_rs.Draft7Validator({**schema, "additionalProperties": False}).validate(stated)
