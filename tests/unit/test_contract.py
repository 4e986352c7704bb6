"""The schemas and the AsyncAPI document say what is really stored and sent."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import pytest

from docs.contract import TOPICS, asyncapi, kinds_of, schemas
from docs.generate import DOCS
from domain.account import ErasureBegan
from domain.store import Event
from tests.golden.samples import SAMPLES
from tests.support.lifelike import histories
from tests.unit.adapters.kafka.messages import message

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi("1")


def value_of(event: Event) -> Json:
    value: Json = json.loads(message(event).value or b"")
    return value


def unannounced(schema: Mapping[str, Any], value: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401 - JSON
    """The fields of a value that its schema does not have, and the words that are not among those it announces."""
    match schema:
        case {"anyOf": [{"enum": words}, *_]} if value not in words:
            yield f"{place}: {value}"
        case {"properties": properties} if isinstance(value, dict):
            for name, each in value.items():
                if name in properties:
                    yield from unannounced(properties[name], each, f"{place}.{name}")
                elif "additionalProperties" not in schema:
                    yield f"{place}.{name}"


@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_the_stored_value_of_each_event_is_as_its_schema_says(topic: str) -> None:
    schema, value = schemas()[topic], value_of(SAMPLES[topic])
    jsonschema_rs.Draft7Validator(schema, validate_formats=True).validate(value)
    assert set(value) == set(schema["properties"]) >= set(schema["required"])


def test_whatever_happens_to_a_fleet_is_in_the_schemas_with_every_word() -> None:
    validators = {topic: jsonschema_rs.Draft7Validator(schema) for topic, schema in schemas().items()}
    seen = set[str]()
    for event in (event for history in histories().values() for event in history):
        value = value_of(event)
        validators[event.TOPIC].validate(value)
        assert list(unannounced(schemas()[event.TOPIC], value, event.TOPIC)) == []
        seen.add(event.TOPIC)
    assert seen == {kind.TOPIC for kind in kinds_of(TOPICS["driver-links.decisions.v1"]) if "Link" in kind.TOPIC}


def test_there_is_a_file_for_each_event_and_no_other() -> None:
    assert {path.stem for path in (DOCS / "reference" / "schemas").glob("*.json")} == set(Event.BY_TOPIC)


def test_each_topic_is_a_channel_with_a_message_for_each_type_of_event(document: Json) -> None:
    assert {channel["address"] for channel in document["channels"].values()} == set(TOPICS)
    in_topics = {name for channel in document["channels"].values() for name in channel["messages"]}
    assert in_topics == set(Event.BY_TOPIC)
    for channel in document["channels"].values():
        assert ErasureBegan.TOPIC in channel["messages"]


@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_the_headers_are_those_that_are_said_and_tell_the_messages_apart(document: Json, topic: str) -> None:
    said = document["components"]["messages"][topic]["headers"]
    sent = {
        name: (value or b"").decode() for name, value in message(SAMPLES[topic], installation="ours", epoch="1").headers
    }
    assert set(sent) == set(said["required"]) == set(said["properties"])
    assert said["properties"]["ce_type"]["const"] == topic == sent["ce_type"]
    jsonschema_rs.Draft7Validator(said, validate_formats=True).validate(sent)


def test_every_reference_leads_somewhere(document: Json) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        part = document
        for step in reference.split("/"):
            part = part[step]


@pytest.mark.parametrize(
    ("topic", "path", "word"),
    [
        ("DriverLink.CreateDecided", "target", "motive"),
        ("Account.ModeSet", "mode", "observe"),
        ("DriverLink.Parked", "reason", "conflict"),
        ("DriverLink.Refused", "reason", "taken_elsewhere"),
        ("Report.CallAnswered", "outcome", "deferred"),
        ("DriverLink.Parked", "rationale.situation", "CONFLICT"),
        ("DriverLink.Parked", "rationale.trigger", "scan"),
    ],
)
def test_words_are_enumerated(topic: str, path: str, word: str) -> None:
    schema = schemas()[topic]
    for name in path.split("."):
        schema = schema["properties"][name]
    assert word in (schema["anyOf"][0] if "anyOf" in schema else schema)["enum"]
