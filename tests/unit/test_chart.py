"""The chart and the product fit each other; `tests/system/test_chart.py` renders it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from pydantic import SecretStr

from docs.values_schema import NOT_OF_A_POD
from services.api import PREFIX
from services.runtime.serving import LONGEST_ENDING
from services.wiring.registry import SERVICES
from services.wiring.settings import ApiSettings, DistributedSettings, EmbeddedSettings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
FACTS = yaml.safe_load((CHART / "services.yaml").read_text("utf-8"))
VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
FULL = yaml.safe_load((CHART / "ci/full-values.yaml").read_text("utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)

FIELDS = {f"{PREFIX}{name.upper()}": field for name, field in DistributedSettings.model_fields.items()}
GIVEN_AS_FILES = {name for name in FIELDS if name.endswith("_FILE")}
SECRET = {name for name, field in FIELDS.items() if field.annotation is SecretStr}
EXCEPTED = {f"{PREFIX}{name.upper()}" for name in NOT_OF_A_POD}


def _with(**values: object) -> dict[str, Any]:
    return {**VALUES, **values}


@pytest.mark.parametrize("values", [VALUES, FULL], ids=["default", "full"])
def test_the_values_keep_to_their_schema(values: dict[str, Any]) -> None:
    assert [f"{error.instance_path}: {error.message}" for error in VALIDATOR.iter_errors({**VALUES, **values})] == []


def test_every_setting_can_be_given_and_secrets_as_files_only() -> None:
    assert set(SCHEMA["$defs"]["settings"]["properties"]) == set(FIELDS) - GIVEN_AS_FILES - SECRET - EXCEPTED
    assert set(SCHEMA["$defs"]["secrets"]["properties"]) == GIVEN_AS_FILES
    assert {f"{name}_FILE" for name in SECRET} <= GIVEN_AS_FILES
    assert [*EXCEPTED] == ["DRIVERLINK_MEMBER"]


def test_the_full_values_give_every_setting_and_every_secret() -> None:
    assert set(FULL["settings"]) == set(SCHEMA["$defs"]["settings"]["properties"])
    assert set(FULL["secrets"]) == GIVEN_AS_FILES


@pytest.mark.parametrize(
    "name",
    [
        "DRIVERLINK_LOGLEVEL",
        "DRIVERLINK_MEMBER",
        "DRIVERLINK_SECRET_KEY",
        "DRIVERLINK_SECRET_KEY_FILE",
        *(
            f"{PREFIX}{name.upper()}"
            for kind in (ApiSettings, EmbeddedSettings)
            for name in kind.model_fields
            if name not in DistributedSettings.model_fields
        ),
    ],
)
def test_what_is_not_a_setting_of_a_pod_is_refused(name: str) -> None:
    assert not VALIDATOR.is_valid(_with(settings={**VALUES["settings"], name: "some"}))
    alone = {**VALUES["services"]["decider"], "settings": {name: "some"}}
    assert not VALIDATOR.is_valid(_with(services={**VALUES["services"], "decider": alone}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRIVERLINK_LOG_LEVEL", "loud"),
        ("DRIVERLINK_KAFKA_PARTITIONS", 0),
        ("DRIVERLINK_KAFKA_PARTITIONS", "twelve"),
        ("DRIVERLINK_WEBHOOKS_PRIVATE", "perhaps"),
        ("DRIVERLINK_HTTP_PORT", 0),
        ("DRIVERLINK_EPOCH", "no blanks"),
        ("DRIVERLINK_PUBLIC_URL", "example.test"),
    ],
)
def test_a_wrong_setting_is_refused_before_a_pod_starts(name: str, value: object) -> None:
    assert not VALIDATOR.is_valid(_with(settings={**VALUES["settings"], name: value}))


def test_pods_have_longer_to_end_than_the_product_needs() -> None:
    assert VALUES["terminationGracePeriodSeconds"] > LONGEST_ENDING
    assert not VALIDATOR.is_valid(_with(terminationGracePeriodSeconds=int(LONGEST_ENDING)))


def test_every_service_of_the_product_is_a_service_of_the_chart() -> None:
    commands = {spec.name: spec.command for spec in SERVICES.values()}
    commands |= {"views": "driverlink serve views", "api": "driverlink serve api"}
    assert {name: " ".join(("driverlink", *each["arguments"])) for name, each in FACTS.items()} == commands
    assert set(VALUES["services"]) == set(FULL["services"]) == set(commands)


def test_every_service_runs_unless_it_is_optional() -> None:
    off = {name for name, service in VALUES["services"].items() if not service["enabled"]}
    assert off <= {"views", *(spec.name for spec in SERVICES.values() if spec.is_optional)}


def test_every_secret_of_a_service_is_one() -> None:
    assert {name for facts in FACTS.values() for name in facts.get("secrets", ())} <= GIVEN_AS_FILES
    with_key = {name for name, facts in FACTS.items() if "DRIVERLINK_SECRET_KEY_FILE" in facts.get("secrets", ())}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    assert with_key == set(FACTS) - {"accounts"}
    assert with_key & compose.keys() == {
        name for name in FACTS if "secret_key" in compose.get(name, {}).get("secrets", ())
    }


def test_the_chart_is_of_the_products_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    product = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (chart["name"], chart["version"], chart["appVersion"]) == (
        product["name"],
        product["version"],
        product["version"],
    )
