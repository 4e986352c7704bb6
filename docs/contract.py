"""What others rely on: each event as a JSON Schema, and the topics as AsyncAPI, made from the domain.

Words that may become more are stated as an `enum` beside any text, so that a reader takes a new one as text.
"""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from enum import StrEnum
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints, is_typeddict

from adapters.kafka.cloud_events import EPOCH, INSTALLATION, JSON, SPECIFICATION, TARGET
from domain.account import AccountEvent, ErasureBegan, Mode, Role, Tier
from domain.driver_link import EXISTS, REFUSED, UNDONE, UNSETTLED
from domain.driver_link import MISSING as MISSING_THERE
from domain.failures import Reason
from domain.hash_chain import ArchiveDeleted, HistoryArchived, RootsSigned
from domain.identity import Target
from domain.outcomes import Outcome, ReportEvent
from domain.portal import PortalDriverEvent
from domain.profile import FIELDS
from domain.situations import Situation
from domain.store import DeciderEvent, Event
from domain.undoing import Ending, Obstacle
from services.runtime.context import ACCOUNTS, CHANGES, DECISIONS, OUTCOMES

Schema = dict[str, Any]

TOPICS: Final[Mapping[str, type[Event]]] = {
    ACCOUNTS: AccountEvent,
    CHANGES: PortalDriverEvent,
    DECISIONS: DeciderEvent,
    **dict.fromkeys(OUTCOMES, ReportEvent),
}
"""Each topic by what its events have in common."""

DRAFT: Final = "http://json-schema.org/draft-07/schema#"

_IN_HEADERS: Final = ("originator_id", "originator_version")
"""Fields of every event that are in `ce_id`, and not in the value."""


def _closed(words: type[StrEnum]) -> Schema:
    return {"type": "string", "enum": [str(word) for word in words]}


def _open(words: Collection[str]) -> Schema:
    return {"anyOf": [{"enum": [str(word) for word in words]}, {"type": "string"}]}


_PARKED: Final = {
    "unkeyed": "the Portal gives neither a Driveri DriverID nor a RefID",
    "conflict": "another driver has claimed an identifier that it needs, or several target drivers match",
    "mode": "the mode `upsert` lets no deletes out",
    REFUSED: "the target refused the call, or it was given up; why is in the `Refused` before",
    UNSETTLED: "the target said several times in a row that it is not as it had said before",
    UNDONE: "a person undid what was decided, until the Portal changes the driver or a person asks for a retry",
}
_PARKED_WORDS: Final = " ".join(f"`{word}`: {meaning}." for word, meaning in _PARKED.items())

_TRIGGERS: Final = {
    "change": "the Portal changed the driver; `ref` is the sequence of that",
    "scan": "the target's whole roster was scanned; `ref` is the number of the scan",
    "hint": "the target hinted that a driver of its changed; `ref` is the key",
    "answer": "the target's answer to a call; `ref` names the decision",
    "freed": "an identifier that the link waited for came free",
    "reached": "the target can be reached again",
    "approval": "a person approved a set of held deletes; `ref` is its hash",
    "retry": "a person asked to look again; `ref` is the version of the account",
    "undo": "a person had decisions undone; `ref` is the version of the account",
    "reconciliation": "a person asked for a reconciliation of this driver; `ref` is the version of the account",
}

_PERSONAL: Final = {"x-personal-data": True}

_RATIONALE: Final[Mapping[str, Schema]] = {
    "trigger": {
        **_open(_TRIGGERS),
        "description": "What made us look. " + " ".join(f"`{word}`: {what}." for word, what in _TRIGGERS.items()),
    },
    "ref": {"type": "string", "description": "Which one of these it was."},
    "reconciliation": {
        "type": "integer",
        "description": "The number of the reconciliation in which it was decided; absent where it was in none.",
    },
    "situation": {
        **_open([*map(str, Situation)]),
        "description": "Where the driver stood on the target: a row of docs/reference/situations.md.",
    },
    "mode": {**_closed(Mode), "description": "How far the account let us go at the target then."},
    "evidence": {
        "type": "object",
        "description": "What the target's roster showed: `linked` is the linked target driver, `found` the one that "
        "matches what is desired, each with `key`, `active`, and `seen`, the time of that; `conflict` says `by` which "
        "identifier, how many `candidates`, and the `holder`, a portal driver.",
    },
    "guard": {
        "type": "object",
        "additionalProperties": {"type": "integer"},
        "description": "The guard's figures for a delete, within 24 hours: the `limit`, how many were `deleted`, and "
        "how many are `held`.",
    },
}
"""The fields of a rationale, each of which may be absent."""

_REASONS: Final[Mapping[str, Schema]] = {
    "DriverLink.Parked": {**_open(_PARKED), "description": f"Why nothing is written for now. {_PARKED_WORDS}"},
    "DriverLink.Released": {**_open(_PARKED), "description": f"Why it had been parked. {_PARKED_WORDS}"},
    "DriverLink.Refused": {
        **_open([EXISTS, MISSING_THERE, *Reason]),
        "description": f"Why. `{EXISTS}` and `{MISSING_THERE}`: the target is not as it had shown, so it is decided "
        "once more; the others are the target's own reason.",
    },
    "DriverLink.UndoRefused": {
        **_open([*map(str, Obstacle)]),
        "description": "Why it was not undone; `detail` says it in words.",
    },
    "Account.RetryRequested": {
        **_open(["", *_PARKED, *Reason]),
        "description": "Of which reason the parked links are to be looked at again; empty means any.",
    },
}

_SEALED: Final[Mapping[str, Schema]] = {
    "key": {"type": "string", "description": "The id of the driver's key, by which the API gives it."},
    "sealed": {
        "type": "string",
        "contentEncoding": "base64",
        "description": "12 bytes of nonce, and what AES-256-GCM makes of the profile as JSON; the associated data is "
        "the event's `ce_id`.",
    },
    "erased": {"type": "string", "description": "Nothing is known of the driver any more."},
}
"""What stands in place of a profile; with `sealed` the driver's own fields are within it."""

_FIELDS: Final[Mapping[str, Schema]] = {
    "at": {"type": "string", "format": "date-time", "description": "When it happened, as RFC 3339."},
    "account": {"type": "string", "description": "The account: the record's key as well."},
    "driver": {"type": "string", "description": "The portal driver's id, which never changes."},
    "target": {**_open([*map(str, Target)]), "description": "The system that mirrors the Portal."},
    "tier": {**_closed(Tier), "description": "What the customer has bought of the Portal."},
    "mode": {**_closed(Mode), "description": "How far the synchronisation with the target may go."},
    "modes": {"type": "object", "additionalProperties": _closed(Mode), "description": "The mode at each target."},
    "role": {**_open([*map(str, Role)]), "description": "In what role they did it."},
    "outcome": {**_closed(Outcome), "description": "How the call ended."},
    "reason": {**_open(["", *map(str, Reason)]), "description": "Why; empty where nothing went wrong."},
    "statement": {
        "type": "string",
        "description": "JSON: for each log with new events its Merkle root over those behind the position `after` and "
        "up to `through`; and `previous`, the signature before.",
    },
    "signature": {"type": "string", "description": "Of the statement, by Ed25519, in hexadecimal digits."},
    "detail": {"type": "string", "description": "The same in words for people, without personal data."},
    "rationale": {"type": "object", "properties": dict(_RATIONALE), "description": "Why this was decided."},
    "profile": {
        "type": "object",
        "properties": {**_SEALED, **{name: {"type": "string"} for name in FIELDS}},
        "additionalProperties": {"type": "string"},
        "description": "The driver's personal data. It is sealed where it has `sealed`, and the driver is erased where "
        "it has `erased`; else it is plain, as it is where it is empty, and was before profiles were sealed. A field "
        "that is absent is blank.",
        **_PERSONAL,
    },
    "exchanges": {
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {
                "method": {"type": "string"},
                "route": {"type": "string", "description": "The path with names in place of ids."},
                "status": {"type": "integer", "description": "Of the answer; 0 where there was none."},
                "code": {"type": "string", "description": "The vendor's own code of an error; empty for none."},
                "milliseconds": {"type": "integer", "description": "How long it took."},
            },
        },
        "description": "The requests that were made for it, in order; without anything about anybody.",
    },
    "former": {
        "anyOf": [{"type": "object", "additionalProperties": {"type": "string"}}, {"type": "null"}],
        "description": "What the target driver had in the `fields` before, as far as it was known. It is sealed as "
        "`profile` is, but the associated data is the event's `ce_id`, followed by `/former`.",
        **_PERSONAL,
    },
    "ending": {**_open([*map(str, Ending)]), "description": "What becomes of the link and the target driver."},
    "sequence": {"type": "integer", "description": "The number of the Portal's change that it follows from."},
    "decision": {
        "type": "integer",
        "description": "The version of the link at which the decision stands that it is about; 0 if it is about none.",
    },
    "by": {"type": "string", "description": "The person who did it, as they are known here.", **_PERSONAL},
    "authenticated": {
        "type": "string",
        "description": "Who proved to be there, where they acted in the name of `by`; else empty.",
        **_PERSONAL,
    },
    "note": {"type": "string", "description": "Why, in their own words; empty if they gave no reason.", **_PERSONAL},
    "master_user": {"type": "string", "description": "The account's Master User.", **_PERSONAL},
    "account_manager": {"type": "string", "description": "Who manages the account; may be empty.", **_PERSONAL},
}
"""What a field of this name is in every event, as far as its type does not say it; `_REASONS` goes before."""


def schemas() -> dict[str, Schema]:
    """The JSON Schema of the stored value of each event, by its type."""
    return {topic: {"$schema": DRAFT, **schema_of(kind)} for topic, kind in sorted(Event.BY_TOPIC.items())}


def schema_of(kind: type[Event]) -> Schema:
    """What the stored value of such an event is; a field that came later, and has a default, may be absent."""
    hints = get_type_hints(kind)
    stored = [each for each in fields(kind) if each.name not in _IN_HEADERS]
    properties = {each.name: _field(kind, each.name, hints[each.name]) for each in stored}
    if form := getattr(kind, "class_version", 0):
        properties["class_version"] = {"const": form}
    has_default = {each.name for each in stored if each.default is not MISSING or each.default_factory is not MISSING}
    return {
        "title": kind.TOPIC,
        "description": _text(kind),
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in has_default],
    }


def _field(kind: type[Event], name: str, hint: object) -> Schema:
    stated = _REASONS[kind.TOPIC] if name == "reason" and kind.TOPIC in _REASONS else _FIELDS.get(name)
    return dict(stated) if stated else _typed(hint)


_PLAIN: Final[Mapping[object, str]] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    NoneType: "null",
    datetime: "string",
}


def _typed(hint: Any) -> Schema:  # noqa: ANN401 - an annotation
    if isinstance(hint, UnionType):
        return {"type": [_PLAIN[part] for part in get_args(hint)]}
    if get_origin(hint) is list:
        return {"type": "array", "items": _typed(get_args(hint)[0])}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _typed(get_args(hint)[1])}
    return {"type": "object"} if is_typeddict(hint) else {"type": _PLAIN[hint]}


def _text(kind: type) -> str:
    """Its description, each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in cleandoc(kind.__doc__ or "").split("\n\n"))


_HEADERS: Final[Mapping[str, Schema]] = {
    "ce_specversion": {"type": "string", "const": SPECIFICATION},
    "ce_id": {
        "type": "string",
        "description": "The history, and the event's version in it from 1 on, with a slash between: what comes twice "
        "has the same id.",
    },
    "ce_source": {"type": "string", "description": "The service that wrote it: `/driverlink/<service>`."},
    "ce_type": {"type": "string"},
    "ce_subject": {"type": "string", "description": "The portal driver that it is about."},
    "ce_time": {"type": "string", "format": "date-time", "description": "When it happened."},
    "ce_sequence": {
        "type": "string",
        "pattern": "^[1-9][0-9]*$",
        "description": "Its position in the log of its service: it rises within a partition, with gaps. What comes "
        "with one that is not above the last one, in the same epoch, was sent before.",
    },
    TARGET: {"type": "string", "description": "The only target that it concerns."},
    INSTALLATION: {"type": "string", "description": "The id of the installation that wrote it."},
    EPOCH: {"type": "string", "description": "In which epoch it was sent: in another one the whole log comes again."},
    "content-type": {"type": "string", "const": JSON},
}

_KEY: Final[Schema] = {
    "type": "string",
    "description": "The account, in UTF-8; its partition is by murmur2, as Kafka's own clients do it.",
}

_TEXT: Final = (
    "The topics of Driver Sync: CloudEvents 1.0 in Kafka's binary mode. The header `ce_type` says which of the "
    "messages a record is; leave out messages and fields that you do not know, and take words that you do not know as "
    "text. How to read them is in docs/how-to/consuming.md."
)


def kinds_of(common: type[Event]) -> list[type[Event]]:
    """The events in the topic whose events have this in common, by their types."""
    besides = {ErasureBegan, RootsSigned, HistoryArchived, ArchiveDeleted} if common is AccountEvent else {ErasureBegan}
    return [kind for _, kind in sorted(Event.BY_TOPIC.items()) if issubclass(kind, common) or kind in besides]


def asyncapi(version: str) -> Schema:
    """The topics as AsyncAPI 3.0, with one message for each type of event."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Driver Sync", "version": version, "description": _TEXT, "license": {"name": "Apache-2.0"}},
        "defaultContentType": JSON,
        "channels": {topic: _channel(topic, common) for topic, common in sorted(TOPICS.items())},
        "operations": {
            f"send.{topic}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{topic}"},
                "messages": [{"$ref": f"#/channels/{topic}/messages/{kind.TOPIC}"} for kind in kinds_of(common)],
            }
            for topic, common in sorted(TOPICS.items())
        },
        "components": {
            "messages": {topic: _message(kind) for topic, kind in sorted(Event.BY_TOPIC.items())},
            "schemas": {topic: schema_of(kind) for topic, kind in sorted(Event.BY_TOPIC.items())},
        },
    }


def _channel(topic: str, common: type[Event]) -> Schema:
    return {
        "address": topic,
        "description": _text(common),
        "messages": {kind.TOPIC: {"$ref": f"#/components/messages/{kind.TOPIC}"} for kind in kinds_of(common)},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _message(kind: type[Event]) -> Schema:
    names = {each.name for each in fields(kind)}
    absent = {
        *(() if "driver" in names else ("ce_subject",)),
        *(() if issubclass(kind, DeciderEvent) else (TARGET,)),
    }
    headers = {name: stated for name, stated in _HEADERS.items() if name not in absent}
    return {
        "name": kind.TOPIC,
        "title": kind.TOPIC,
        "summary": _text(kind).partition("\n")[0],
        "contentType": JSON,
        "headers": {
            "type": "object",
            "properties": {**headers, "ce_type": {"type": "string", "const": kind.TOPIC}},
            "required": [*headers],
        },
        "payload": {"$ref": f"#/components/schemas/{kind.TOPIC}"},
        "bindings": {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}},
    }
