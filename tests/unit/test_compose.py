"""What the compose files are together, as compose merges them: for real targets, and with sandboxes in their place."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.wiring.settings import DistributedSettings

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/how-to/containers.md").read_text("utf-8")

Config = dict[str, Any]

_REPLACED = {"command", "entrypoint", "test"}
"""Lists that a later file replaces; it adds to all others."""


def _merged(under: Any, over: Any, key: str = "") -> Any:  # noqa: ANN401 - YAML
    """Two files by compose's rules, for the shapes in which ours and the documented one are written."""
    if isinstance(under, dict) and isinstance(over, dict):
        return {name: _merged(under.get(name), over.get(name), name) for name in {**under, **over}}
    if isinstance(under, list) and isinstance(over, list) and key not in _REPLACED:
        return under + [each for each in over if each not in under]
    return under if over is None else over


def _files(*names: str) -> Config:
    merged: Config = {}
    for name in names:
        merged = _merged(merged, yaml.safe_load((ROOT / name).read_text("utf-8")))
    return merged


REAL = _files("docker-compose.yml")
SANDBOXED = _files("docker-compose.yml", "docker-compose.sandbox.yml")
DOCUMENTED = [_merged(REAL, yaml.safe_load(text)) for text in re.findall(r"```yaml\n(.*?)```", DOCS, flags=re.DOTALL)]
"""The plain file with each override that the documentation gives."""

CALLING = ["api", "intake", "projector-driveri", "projector-motive"]
"""The services that call a target or the Portal."""


def _settings(config: Config, service: str) -> dict[str, str]:
    return {name: str(value) for name, value in config["services"][service].get("environment", {}).items()}


def _of_targets(settings: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if re.search("(DRIVERI|MOTIVE|PORTAL)_", name)}


@pytest.mark.parametrize("config", [REAL, *DOCUMENTED])
def test_for_real_targets_no_setting_of_the_sandboxes_is_left(config: Config) -> None:
    assert not re.search("sandbox", yaml.safe_dump(config).lower())
    for service in config["services"]:
        for name, value in _of_targets(_settings(config, service)).items():
            default = DistributedSettings.model_fields[name.removeprefix("DRIVERLINK_").lower()].default
            assert name.endswith(("_PER_SECOND", "_AT_ONCE")), name
            assert float(value) <= default, name


def test_the_documentation_gives_an_override() -> None:
    assert DOCUMENTED


def test_with_sandboxes_every_address_and_every_limit_is_theirs() -> None:
    for service in CALLING:
        told = _of_targets(_settings(SANDBOXED, service))
        kinds = ("URL", "CALLS_PER_SECOND", "CALLS_AT_ONCE")
        assert set(told) == {f"DRIVERLINK_{who}_{kind}" for who in ("DRIVERI", "MOTIVE", "PORTAL") for kind in kinds}
        assert {value for name, value in told.items() if name.endswith("URL")} == {
            f"http://sandboxes:{port}" for port in (8101, 8102, 8103)
        }


def test_the_sandboxes_change_nothing_else() -> None:
    assert set(SANDBOXED["services"]) - set(REAL["services"]) == {"sandboxes"}
    for name, service in REAL["services"].items():
        without = {**SANDBOXED["services"][name], "environment": None}
        assert without == {**service, "environment": None}, name
        assert _settings(REAL, name).items() <= _settings(SANDBOXED, name).items()


@pytest.mark.parametrize("config", [REAL, SANDBOXED], ids=["real", "sandboxed"])
def test_every_container_is_contained(config: Config) -> None:
    for name, service in config["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert not {"privileged", "cap_add", "network_mode"} & set(service), name
    assert not re.search(r"docker\\.sock|user: root", yaml.safe_dump(config))


def test_nothing_of_the_repository_is_mounted_but_secrets() -> None:
    for name, service in SANDBOXED["services"].items():
        assert all(not volume.startswith((".", "/")) for volume in service.get("volumes", [])), name
    assert "configs" not in SANDBOXED


def test_no_container_needs_another_one_for_its_network() -> None:
    assert all("network_mode" not in service for service in SANDBOXED["services"].values())


def test_jobs_run_before_the_services_and_in_their_order() -> None:
    def before(name: str) -> Iterator[str]:
        for other in SANDBOXED["services"][name].get("depends_on", {}):
            yield other
            yield from before(other)

    assert list(before("database")) == ["roles", "postgres"]
    for service in ("accounts", "intake", "decider", "projector-driveri", "projector-motive", "webhooks", "api"):
        assert {"database", "roles", "postgres", "topics", "kafka"} == set(before(service))


def test_roles_can_be_made_again_and_again() -> None:
    (script,) = SANDBOXED["services"]["roles"]["command"]
    assert "ON_ERROR_STOP=1" in script
    creating = [line for line in script.splitlines() if "CREATE" in line]
    assert len(creating) == 2
    assert all(line.lstrip().startswith("SELECT") for line in creating)
    assert script.count("WHERE NOT EXISTS") == script.count("gexec") == 2


def test_what_a_build_needs_of_its_surroundings_is_given_and_does_not_stay() -> None:
    build = SANDBOXED["services"]["database"]["build"]
    assert build["secrets"] == ["pip_config", "build_certificates"]
    assert set(build["args"]) == {"BASE_IMAGE", "COMMIT"}
    dockerfile = (ROOT / "deploy/image/Dockerfile").read_text("utf-8")
    assert set(re.findall(r"^ARG (\w+)", dockerfile, flags=re.MULTILINE)) == {"BASE_IMAGE", "COMMIT"}
    mounted = "RUN --mount=type=secret,id=pip_config,target=/etc/pip.conf --mount=type=secret,id=build_certificates"
    fetching = re.findall(r"^(.*)\\\n.*--only-binary", dockerfile, flags=re.MULTILINE)
    assert [line.strip() for line in fetching] == [mounted] * 2
    for secret in build["secrets"]:
        assert all(secret not in str(service.get("secrets")) for service in SANDBOXED["services"].values())


class _Resetting(yaml.SafeLoader):
    """Reads what compose takes away as a word."""


_Resetting.add_constructor("!reset", lambda _loader, _node: "taken away")


def test_from_outside_every_process_gets_the_same_addresses_and_none_waits_for_what_is_not_there() -> None:
    external = yaml.load((ROOT / "docker-compose.external.yml").read_text("utf-8"), _Resetting)  # noqa: S506 - a safe one
    away = {name for name, service in external["services"].items() if service == "taken away"}
    assert away == {"kafka", "postgres", "roles"}
    assert set(external["services"]) == set(REAL["services"])
    for name, service in REAL["services"].items():
        if name not in away:
            over = external["services"][name]
            assert over["environment"] == external["x-outside"], name
            assert set(external["x-outside"]) <= {
                f"DRIVERLINK_{field.upper()}" for field in DistributedSettings.model_fields
            }
            waits = away & set(service.get("depends_on", {}))
            assert (over.get("depends_on") == "taken away") == bool(waits), name
            assert "outside" in [*service["networks"], *over.get("networks", ())], name
    used = {secret for name, service in REAL["services"].items() if name not in away for secret in service["secrets"]}
    assert set(external["secrets"]) == {"postgres_password"}
    assert not used & set(external["secrets"])
