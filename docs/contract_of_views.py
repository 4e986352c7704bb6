"""What others rely on in the topics that are made from logs: the state of each link, and logs without personal data."""

from typing import Any, Final

from adapters.kafka.cloud_events import JSON
from domain.identity import Target
from services.runtime.context import CHANGES, DECISIONS
from services.views.link_states import STATES, TYPE
from services.views.relays import PERSONAL

Schema = dict[str, Any]

_IDS: Final = ".ids"
"""What the names of these topics, and of what is in them, end in."""

_STATES: Final = (
    "The state of each link, one record per link: the topic is compacted. A record without a value is a tombstone, "
    "because the link has ended or was erased. How to read it is in docs/how-to/views.md."
)


def with_views(document: Schema) -> Schema:
    """The AsyncAPI document of the logs, which has the views of them too."""
    for log in (CHANGES, DECISIONS):
        _add_ids(document, log)
    _add_states(document)
    for part in ("channels", "operations"):
        document[part] = dict(sorted(document[part].items()))
    return document


def _add_ids(document: Schema, log: str) -> None:
    topic, messages, schemas = f"{log}{_IDS}", document["components"]["messages"], document["components"]["schemas"]
    named: dict[str, str] = {}
    for name in document["channels"][log]["messages"]:
        schema, named[name] = schemas[name], name
        if not PERSONAL & schema["properties"].keys():
            continue
        named[name] = f"{name}{_IDS}"
        schemas[named[name]] = {
            **schema,
            "title": named[name],
            "properties": {field: each for field, each in schema["properties"].items() if field not in PERSONAL},
            "required": [field for field in schema["required"] if field not in PERSONAL],
        }
        messages[named[name]] = {
            **messages[name],
            "title": named[name],
            "payload": {"$ref": f"#/components/schemas/{named[name]}"},
        }
    _add_channel(document, topic, f"The same records as in `{log}`, without the fields that hold personal data.", named)


def _add_states(document: Schema) -> None:
    messages, schemas = document["components"]["messages"], document["components"]["schemas"]
    like = messages["DriverLink.CreateDecided"]
    headers = {**like["headers"]["properties"], "ce_type": {"type": "string", "const": TYPE}}
    optional = ("ce_time", "ce_id", "ce_sequence", "content-type")
    messages[TYPE] = {
        "name": TYPE,
        "title": TYPE,
        "summary": "How a link stands now.",
        "contentType": JSON,
        "headers": {
            "type": "object",
            "properties": {name: each for name, each in headers.items() if name != "ce_time"},
            "required": [name for name in headers if name not in optional],
        },
        "payload": {"$ref": f"#/components/schemas/{TYPE}"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "description": "A JSON list of account, target and driver; the partition is that of the account.",
                },
                "bindingVersion": "0.5.0",
            }
        },
    }
    properties = _state_fields()
    schemas[TYPE] = {
        "title": TYPE,
        "description": "How a link stands now; nothing in it is personal.",
        "type": "object",
        "properties": properties,
        "required": [*properties],
    }
    _add_channel(document, STATES, _STATES, {TYPE: TYPE})


def _state_fields() -> dict[str, Schema]:
    text, number, moment = {"type": "string"}, {"type": "integer"}, {"type": ["string", "null"], "format": "date-time"}
    states = ["in_sync", "pending", "parked", "held", "kept"]
    return {
        "account": text,
        "target": {"anyOf": [{"enum": [str(target) for target in Target]}, text]},
        "driver": {**text, "description": "The portal driver's id, which never changes."},
        "state": {"anyOf": [{"enum": states}, text], "description": "As `driverlink status` counts it."},
        "reason": {**text, "description": "Why it is parked; empty if it is not."},
        "key": {"type": ["string", "null"], "description": "How the target names the driver; null while none is."},
        "external_ids": {
            "type": "object",
            "additionalProperties": text,
            "description": "The ids that the target keeps for us, as it confirmed them last.",
        },
        "version": {**number, "description": "The version of the link's newest event."},
        "at": {**moment, "description": "When that happened."},
        "confirmed_version": {
            **number,
            "description": "The version of the event by which the target last confirmed the link; 0: it never has.",
        },
        "confirmed_at": {**moment, "description": "When that happened."},
    }


def _add_channel(document: Schema, topic: str, description: str, messages: dict[str, str]) -> None:
    document["channels"][topic] = {
        "address": topic,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{each}"} for name, each in messages.items()},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }
    document["operations"][f"send.{topic}"] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in messages],
    }
