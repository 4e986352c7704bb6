"""The schema of the chart's values: each setting as the product checks it, and nothing that the chart does not read."""

from typing import Any, Final

from services.api import PREFIX
from services.runtime.serving import LONGEST_ENDING
from services.wiring.registry import SERVICES
from services.wiring.settings import DistributedSettings

Schema = dict[str, Any]

NOT_OF_A_POD: Final = {"member"}
"""Settings that pods of a Deployment cannot be given: each would need another value."""

_FILE: Final = "_file"


def values_schema() -> Schema:
    """The schema by which Helm refuses values."""
    services = (*SERVICES, "views", "api")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart driverlink",
        "$comment": "Made from docs/values_schema.py by `make docs`: edit that, not this.",
        **_object(
            {
                "global": {"type": "object"},
                "image": _object(
                    {
                        "repository": _NAME,
                        "tag": _TEXT,
                        "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                    },
                    "repository",
                ),
                "imagePullSecrets": {"type": "array", "items": _object({"name": _NAME}, "name")},
                "fullnameOverride": {"type": "string", "pattern": "^([a-z]([-a-z0-9]{0,38}[a-z0-9])?)?$"},
                "settings": _ref("settings"),
                "secrets": _ref("secrets"),
                "files": {
                    "type": "object",
                    "propertyNames": {"pattern": "^[A-Za-z0-9._-]+$"},
                    "additionalProperties": _ref("key"),
                },
                "services": _object({name: _ref("service") for name in services}, *services),
                "migration": _object(
                    {
                        "enabled": _TRUTH,
                        "deadline": _at_least(1),
                        **_OF_A_PROCESS,
                    },
                    "enabled",
                ),
                "command": {"type": "array", "items": _NAME},
                "archiveClaim": _TEXT,
                **{name: each for name, each in _OF_A_PROCESS.items() if name not in ("settings", "secrets")},
                "topologySpread": _SPREAD,
                "scratchSize": _NAME,
                "terminationGracePeriodSeconds": _at_least(int(LONGEST_ENDING) + 5),
                "strategy": _object({"maxSurge": _COUNT, "maxUnavailable": _COUNT}),
                "podDisruptionBudget": _object({"enabled": _TRUTH, "maxUnavailable": _COUNT}, "enabled"),
                "serviceAccount": _object({"create": _TRUTH, "name": _TEXT, "annotations": _TEXTS}, "create"),
                "labels": _TEXTS,
                "priorityClassName": _TEXT,
                "service": _object(
                    {
                        "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                        "port": _PORT,
                        "annotations": _TEXTS,
                    },
                ),
                "ingress": {
                    **_object(
                        {
                            "enabled": _TRUTH,
                            "className": _TEXT,
                            "annotations": _TEXTS,
                            "host": _TEXT,
                            "path": {"type": "string", "pattern": "^/"},
                            "pathType": {"enum": ["Exact", "ImplementationSpecific", "Prefix"]},
                            "tlsSecret": _TEXT,
                        },
                        "enabled",
                    ),
                    "if": {"properties": {"enabled": {"const": True}}},
                    "then": {"properties": {"host": _NAME}, "required": ["host"]},
                },
                "networkPolicy": _object(
                    {
                        "enabled": _TRUTH,
                        "api": _object({"from": {**_PEERS, "minItems": 1}}, "from"),
                        **dict.fromkeys(
                            ("dns", "database", "kafka", "outside"),
                            _object({"to": _PEERS, "ports": {"type": "array", "items": _PORT, "minItems": 1}}, "ports"),
                        ),
                    },
                    "enabled",
                ),
            },
            "image",
            "settings",
            "services",
        ),
        "$defs": {
            "settings": _object(_settings()),
            "secrets": _object({_variable(name): _ref("key") for name in _fields() if name.endswith(_FILE)}),
            "key": _object({"name": _NAME, "key": _NAME}, "name", "key"),
            "service": _object(
                {
                    "enabled": _TRUTH,
                    "replicas": _at_least(0),
                    **_OF_A_PROCESS,
                    "topologySpread": _SPREAD,
                },
                "enabled",
                "replicas",
            ),
        },
    }


def _fields() -> dict[str, Schema]:
    return {
        name: each
        for name, each in DistributedSettings.model_json_schema()["properties"].items()
        if name not in NOT_OF_A_POD and not each.get("writeOnly")
    }


def _settings() -> dict[str, Schema]:
    """Every setting but secrets and files, by its variable: its description, and what it may be."""
    settings = {_variable(name): _stated(each) for name, each in sorted(_fields().items()) if not name.endswith(_FILE)}
    # Probes have to know the port, so it cannot be any free one.
    settings[_variable("http_port")]["minimum"] = 1
    return settings


def _stated(field: Schema) -> Schema:
    """A field of pydantic's schema without what it calls it, and without None, which stands for not set."""
    kept = {name: each for name, each in field.items() if name not in ("anyOf", "default", "title")}
    return {**kept, **next((each for each in field.get("anyOf", ()) if each["type"] != "null"), {})}


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"


def _object(properties: dict[str, Schema], *required: str) -> Schema:
    """An object that has these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _at_least(least: int) -> Schema:
    return {"type": "integer", "minimum": least}


_TEXT: Final[Schema] = {"type": "string"}
_NAME: Final[Schema] = {"type": "string", "minLength": 1}
_TRUTH: Final[Schema] = {"type": "boolean"}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": _TEXT}
_PORT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 65535}
_COUNT: Final[Schema] = {"anyOf": [_at_least(0), {"type": "string", "pattern": "^(100|[1-9]?[0-9])%$"}]}
_PEERS: Final[Schema] = {
    "type": "array",
    "items": {
        **_object({name: {"type": "object"} for name in ("ipBlock", "namespaceSelector", "podSelector")}),
        "minProperties": 1,
    },
}
_SPREAD: Final[Schema] = {
    "type": "array",
    "items": _object(
        {
            "topologyKey": _NAME,
            "maxSkew": _at_least(1),
            "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
        },
        "topologyKey",
        "maxSkew",
        "whenUnsatisfiable",
    ),
}
_OF_A_PROCESS: Final[dict[str, Schema]] = {
    "settings": _ref("settings"),
    "secrets": _ref("secrets"),
    "resources": {"type": "object"},
    "annotations": _TEXTS,
    "nodeSelector": _TEXTS,
    "tolerations": {"type": "array", "items": {"type": "object"}},
    "affinity": {"type": "object"},
}
"""What one process may have of its own, in the place of what all have, or over it."""
