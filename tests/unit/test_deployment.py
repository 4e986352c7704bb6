"""The compose set-up and the image fit the product and each other, and keep what they hold to themselves.

The files are read as text, by the few shapes in which they are written; no parser of theirs is at hand.
"""

import re
import shutil
import stat
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.compose.prepare import FOR_BUILDING, NAMES, prepare
from deploy.compose.up import addresses, commit
from services.cli.app import app
from services.runtime.serving import LONGEST_ENDING
from services.wiring import registry
from services.wiring.settings import ApiSettings, DistributedSettings, EmbeddedSettings

ROOT = Path(__file__).parents[2]
PLAIN = (ROOT / "docker-compose.yml").read_text("utf-8")
SANDBOXED = (ROOT / "docker-compose.sandbox.yml").read_text("utf-8")
COMPOSE = PLAIN + SANDBOXED
UNIT = ROOT / "deploy/systemd/driverlink.service"
ANALYZE = shutil.which("systemd-analyze")
DOCKERFILE = (ROOT / "deploy/image/Dockerfile").read_text("utf-8")


def _blocks(text: str, indent: int) -> dict[str, str]:
    """What stands below each key of this indentation."""
    parts = re.split(rf"^ {{{indent}}}([a-z-]+):.*\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS = _blocks(PLAIN, 0)
SERVICES = _blocks(SECTIONS["services"], 2)


def _listed(key: str, text: str) -> list[list[str]]:
    """Every list in brackets of that key."""
    found = re.findall(rf"^ +{key}: \[(.+)\]$", text, flags=re.MULTILINE)
    return [[item.strip(' "') for item in each.split(",")] for each in found]


_SANDBOXES = _blocks(_blocks(SANDBOXED, 0)["services"], 2)["sandboxes"]
COMMANDS = {
    name: command
    for name, text in {**SERVICES, "sandboxes": _SANDBOXES}.items()
    for command in _listed("command", text)
}
COMMANDS_OF_DRIVERLINK = COMMANDS


def test_every_setting_of_the_containers_is_one() -> None:
    kinds = (DistributedSettings, ApiSettings)
    known = {f"DRIVERLINK_{name.upper()}" for kind in kinds for name in kind.model_fields}
    used = set(re.findall(r"^ +(DRIVERLINK_\w+):", COMPOSE, flags=re.MULTILINE))
    assert used
    assert used <= known


@pytest.mark.parametrize("name", sorted(COMMANDS_OF_DRIVERLINK))
def test_every_command_of_the_containers_is_one(name: str) -> None:
    shown = CliRunner().invoke(app, [*COMMANDS_OF_DRIVERLINK[name], "--help"])
    assert shown.exit_code == 0, shown.output


def test_the_way_of_a_change_is_complete() -> None:
    assert {" ".join(command) for command in COMMANDS_OF_DRIVERLINK.values()} == {
        "topics create",
        "database migrate",
        *(spec.command.removeprefix("driverlink ") for spec in registry.SERVICES.values()),
        "serve api",
        "sandbox --host 0.0.0.0",
    }


def test_every_process_that_ends_is_restarted() -> None:
    lasting = [text for text in SERVICES.values() if "<<: *service" in text]
    assert len(lasting) == len({*registry.SERVICES, "api"})
    assert "restart: unless-stopped" in SECTIONS["x-service"]
    assert not any("restart:" in text for text in lasting)
    assert f"stop_grace_period: {LONGEST_ENDING + 5:.0f}s" in SECTIONS["x-service"]


def test_systemd_restarts_the_embedded_process_however_it_ends_and_as_often_as_it_takes() -> None:
    # A key may stand there more than once.
    unit = ConfigParser(interpolation=None, delimiters="=", strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(UNIT, "utf-8")
    service = unit["Service"]
    assert (service["Restart"], unit["Unit"]["StartLimitIntervalSec"]) == ("always", "0")
    assert float(service["TimeoutStopSec"]) > LONGEST_ENDING
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/driverlink")
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0
    name, _, folder = service["Environment"].partition("=")
    assert EmbeddedSettings.model_fields[name.removeprefix("DRIVERLINK_").lower()]
    assert folder == f"/var/lib/{service['StateDirectory']}"


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit_and_finds_it_well_confined(tmp_path: Path) -> None:
    """What is left of 10 points is the network, the host's files to read, and its own settings."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text("utf-8")), "utf-8")
    for command in (["verify", str(unit)], ["security", "--offline=true", "--threshold=15", str(unit)]):
        said = subprocess.run([str(ANALYZE), *command], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr
        # Directives that it does not know are warnings.
        assert not said.stderr


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for ports in _listed("ports", COMPOSE) for port in ports]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert COMPOSE.count("ports:") - COMPOSE.count("ports: []") == len(_listed("ports", COMPOSE))


def test_the_api_is_reached_from_inside_only() -> None:
    assert "    ports: []\n" in SERVICES["api"]
    assert "DRIVERLINK_API_URL: http://api:8080" in SECTIONS["x-settings-of-commands"]


def test_kafka_and_the_database_are_reached_from_inside_only() -> None:
    assert "inside: {internal: true}" in SECTIONS["networks"]
    for name in ("kafka", "postgres"):
        assert _listed("networks", SERVICES[name]) == [["inside"]]


def test_whoever_calls_the_targets_can_get_there() -> None:
    told = [name for name, text in SERVICES.items() if "*settings-with-credentials" in text]
    for name in told:
        own = _listed("networks", SERVICES[name]) or _listed("networks", SECTIONS["x-service"])
        assert own == [["inside", "outside"]], name
    assert "api" in told


@pytest.mark.parametrize("name", ["api", "cli"])
def test_a_rehearsal_has_room_that_does_not_count_as_memory(name: str) -> None:
    assert "    tmpfs: []\n" in SERVICES[name]
    assert "scratch:/tmp" in _listed("volumes", SERVICES[name])[0]
    assert "  scratch: {}\n" in SECTIONS["volumes"]


def test_the_addresses_of_the_sandboxes_are_where_they_listen() -> None:
    ports = ["8101", "8102", "8103"]
    assert re.findall(r"http://sandboxes:(\d+)", SANDBOXED) == ports
    unless_given = re.sub(r"\$\{\w+:-(\d+)\}", r"\1", _SANDBOXES)
    assert _listed("ports", unless_given) == [[f"127.0.0.1:{port}:{port}" for port in ports]]


def test_images_from_elsewhere_are_pinned() -> None:
    images = re.findall(r"(?:KAFKA|POSTGRES|BASE)_IMAGE:-([^}]+)}", COMPOSE) + re.findall(
        r"^ARG \w+=(\S+)$", DOCKERFILE, flags=re.MULTILINE
    )
    assert set(re.findall(r"^ +image: (.+)$", COMPOSE, flags=re.MULTILINE)) == {
        '"${DRIVERLINK_IMAGE:-driverlink:local}"',
        "*postgres-image",
        '&postgres-image "${DRIVERLINK_POSTGRES_IMAGE:-postgres:17.10-bookworm}"',
        '"${DRIVERLINK_KAFKA_IMAGE:-apache/kafka:4.3.1}"',
    }
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)) == {"${BASE_IMAGE}", "scratch"}
    elsewhere = set(images)
    assert len(elsewhere) == 3
    assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+[a-z0-9.-]*", image) for image in elsewhere)


def test_the_image_says_what_it_is() -> None:
    product = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', DOCKERFILE))
    assert labels == {
        "title": "Driver Sync",
        "description": product["description"],
        "version": product["version"],
        "revision": "${COMMIT}",
        "licenses": product["license"],
    }


def test_the_image_has_nothing_of_the_base_image_but_what_was_gathered() -> None:
    *_, last = re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)
    assert last.startswith("FROM scratch\n")
    assert re.findall(r"^COPY (.+)$", last, flags=re.MULTILINE) == ["--from=build /root-of-image /"]
    assert 'RUN ["python", "make_root.py", "/root-of-image", "/opt/driverlink"]' in DOCKERFILE


def test_the_image_does_not_run_as_root() -> None:
    assert re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, flags=re.MULTILINE) == [("10001", "10001")]


def test_the_image_installs_nothing_that_is_not_pinned() -> None:
    installing = [line for line in DOCKERFILE.splitlines() if '"install"' in line]
    assert len(installing) == 3
    assert all('"--no-deps"' in line for line in installing)
    assert all('":all:", "--require-hashes"' in line or '"--no-index"' in line for line in installing)
    assert [line for line in DOCKERFILE.splitlines() if '"check"' in line] == [
        'RUN ["/opt/build/bin/pip", "check"]',
        'RUN ["/opt/build/bin/pip", "--python", "/opt/driverlink/bin/python", "check"]',
    ]


def test_the_image_is_built_with_the_tools_of_development() -> None:
    built_with, developed_with = (
        set(re.findall(r"^\S+==\S+|--hash=\S+", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE))
        for name in ("deploy/image/build-requirements.txt", "requirements-dev.txt")
    )
    assert "hatchling" in {each.split("==")[0] for each in built_with}
    assert built_with <= developed_with


def test_the_image_is_told_its_commit() -> None:
    assert '        COMMIT: "${COMMIT:-}"\n' in SERVICES["database"]
    assert re.fullmatch("([0-9a-f]{40})?", commit())


def test_the_image_is_made_of_files_that_are_let_through() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert "*" in rules
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)


def test_the_secrets_that_are_mounted_are_those_that_are_made() -> None:
    mounted = re.findall(r"^  (\w+): \{file: \./deploy/compose/secrets/(\w+)\}$", COMPOSE, flags=re.MULTILINE)
    assert sorted(mounted) == [(name, name) for name in sorted((*NAMES, *FOR_BUILDING))]
    assert (ROOT / "deploy/compose/.gitignore").read_text("utf-8").splitlines() == ["/secrets/"]


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert prepare(folder) == list(NAMES)
    made = {path.name: path.read_text("ascii") for path in folder.iterdir() if path.name in NAMES}
    assert prepare(folder) == []
    assert {name: (folder / name).read_text("ascii") for name in NAMES} == made
    assert sorted(made) == sorted(NAMES)
    assert len(set(made.values())) == len(NAMES)
    assert all(len(secret) >= 32 for secret in made.values())


def test_a_secret_that_somebody_gave_is_kept(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("given", "ascii")
    assert prepare(tmp_path) == [name for name in NAMES if name != "secret_key"]
    assert (tmp_path / "secret_key").read_text("ascii") == "given"


def test_only_the_owner_gets_to_the_secrets(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in NAMES} == {0o444}


def test_what_a_build_may_need_is_empty_until_somebody_fills_it(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert {(tmp_path / name).read_text("ascii") for name in FOR_BUILDING} == {""}
    (tmp_path / "pip_config").write_text("[global]", "ascii")
    prepare(tmp_path)
    assert (tmp_path / "pip_config").read_text("ascii") == "[global]"


def test_addresses_are_those_that_the_engine_published() -> None:
    seen = [
        '["sandboxes", {"8101/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8101"}]}]',
        '["decider", {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8131"}]}]',
        '["kafka", {"9092/tcp": null}]',
    ]
    assert [line.split("  ")[0] for line in addresses(seen)] == ["decider", "sandbox of Driveri"]
    assert [line.split()[-1] for line in addresses(seen)] == ["http://127.0.0.1:8131/ready", "http://127.0.0.1:8101"]
