"""Our topics as an AsyncAPI 3.0 document, by FastStream's own specification."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import reduce
from operator import or_
from typing import Annotated, Any, get_type_hints, is_typeddict

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel, ConfigDict, Field, create_model

from adapters.streams.cloud_events import INSTALLATION, JSON, SPECIFICATION
from domain.event import Event

_IN_HEADERS = ("originator_id", "originator_version")
"""Fields of every event that are in `ce_id`, and not in the value."""

_HEADERS = {
    "ce_specversion": {"const": SPECIFICATION},
    "ce_id": {"type": "string", "description": "The history and the version of the event in it, with a slash between."},
    "ce_source": {"type": "string", "description": "The service that wrote it: `/driverlink/<service>`."},
    "ce_type": {"type": "string", "description": "Under which name the event is stored."},
    "ce_subject": {"type": "string", "description": "The portal driver that it is about; absent where there is none."},
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_sequence": {"type": "string", "description": "Its position in the log of its service: a number that rises."},
    INSTALLATION: {"type": "string", "description": "The id of the installation that wrote it."},
    "content-type": {"const": JSON},
}

_KEY = {
    "type": "string",
    "description": "The account, in UTF-8; its partition is by murmur2, as Kafka's clients do it.",
}


class Moment(BaseModel):
    """A moment as it is stored."""

    model_config = ConfigDict(title="Moment")

    type_: str = Field(alias="_type_", json_schema_extra={"const": "datetime_iso"})
    data_: str = Field(alias="_data_", json_schema_extra={"format": "date-time"})


def asyncapi(topics: Mapping[str, type[Event]], *, version: str) -> dict[str, Any]:
    """The document of these topics, each by what its events have in common; the same for the same code."""
    broker = KafkaBroker("localhost:9092")
    publishers = [
        broker.publisher(topic, title=topic, description=kind.__doc__, schema=_schema(kind))
        for topic, kind in topics.items()
    ]
    made = AsyncAPI(broker, title="Driver Sync", version=version).to_specification().to_jsonable()
    del publishers, made["servers"]
    # FastStream puts a colon into names, which AsyncAPI has not among its letters.
    document: dict[str, Any] = json.loads(json.dumps(made, sort_keys=True).replace(":Message", ".Message"))
    for channel in document["channels"].values():
        del channel["servers"]
    for message in document["components"]["messages"].values():
        _complete(message)
    return document


def _complete(message: dict[str, Any]) -> None:
    """Say what FastStream does not know: our headers and our key."""
    del message["correlationId"]
    message["headers"] = {
        "type": "object",
        "properties": _HEADERS,
        "required": [name for name in _HEADERS if name != "ce_subject"],
    }
    message["bindings"] = {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}}


def _schema(kind: type[Event]) -> Any:  # noqa: ANN401 - a union of models
    kinds = [event for event in Event.BY_TOPIC.values() if issubclass(event, kind)]
    return reduce(or_, map(_to_model, kinds))


def _to_model(event: type[Event]) -> type[BaseModel]:
    hints = get_type_hints(event)
    told: dict[str, Any] = {each.name: _plain(hints[each.name]) for each in fields(event)}
    told = {name: (hint, ...) for name, hint in {**told, "at": Moment}.items() if name not in _IN_HEADERS}
    if form := getattr(event, "class_version", 0):
        told["class_version"] = Annotated[int, Field(json_schema_extra={"const": form})], ...
    return create_model(event.TOPIC, __doc__=event.__doc__, **told)


def _plain(hint: Any) -> Any:  # noqa: ANN401 - an annotation
    """The annotation as a model can hold it."""
    return dict[str, Any] if is_typeddict(hint) else hint
