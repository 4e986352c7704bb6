"""The AsyncAPI document says what is really sent."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.kafka.topics import asyncapi
from domain.account import AccountEvent
from domain.outcomes import ReportEvent
from domain.portal import PortalDriverEvent
from domain.store import Event
from tests.golden.samples import SAMPLES
from tests.unit.adapters.kafka.messages import message

TOPICS: dict[str, type[Event]] = {
    "portal.driver-changes.v1": PortalDriverEvent,
    "accounts.v1": AccountEvent,
    "targets.outcomes.v1.driveri": ReportEvent,
    "targets.outcomes.v1.motive": ReportEvent,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi(TOPICS, version="1")


def schema_of(document: Mapping[str, Any], event: Event) -> Mapping[str, Any]:
    """What the document says of the value of such an event."""
    schemas: Mapping[str, Mapping[str, Any]] = document["components"]["schemas"]
    return next(schema for schema in schemas.values() if schema["title"] == event.TOPIC)


def test_it_is_the_same_for_the_same_code(document: dict[str, Any]) -> None:
    turned = {topic: TOPICS[topic] for topic in reversed(TOPICS)}
    assert json.dumps(asyncapi(turned, version="1")) == json.dumps(document)


def test_each_topic_is_a_channel(document: dict[str, Any]) -> None:
    assert {channel["address"] for channel in document["channels"].values()} == set(TOPICS)


@pytest.mark.parametrize("event", [each for each in SAMPLES.values() if isinstance(each, tuple(TOPICS.values()))])
def test_the_value_of_each_event_has_the_fields_that_are_said(document: dict[str, Any], event: Event) -> None:
    schema, value = schema_of(document, event), message(event).value
    assert value is not None
    assert set(json.loads(value)) == set(schema["properties"]) == set(schema["required"])


def test_the_headers_are_those_that_are_said(document: dict[str, Any]) -> None:
    said = document["components"]["messages"]["accounts.v1.Message"]["headers"]
    assert {
        name for name, _ in message(SAMPLES["Account.SyncTurnedOn"], installation="ours", epoch="1").headers
    } == set(said["required"])
    assert {
        name for name, _ in message(SAMPLES["DriverLink.CreateDecided"], installation="ours", epoch="1").headers
    } == set(said["properties"])


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        part = document
        for step in reference.split("/"):
            part = part[step]
