"""The compose set-up and the image fit the product and each other, and keep what they hold to themselves.

The files are read as text, by the few shapes in which they are written; no parser of theirs is at hand.
"""

import asyncio
import re
import socket
import stat
from asyncio import StreamReader, StreamWriter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.compose.door import open_door
from deploy.compose.prepare import NAMES, prepare
from deploy.compose.up import addresses
from services.cli.app import app
from services.distributed.settings import DistributedSettings

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy/image/Dockerfile").read_text("utf-8")


def _blocks(text: str, indent: int) -> dict[str, str]:
    """What stands below each key of this indentation."""
    parts = re.split(rf"^ {{{indent}}}([a-z-]+):.*\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SECTIONS = _blocks(COMPOSE, 0)
SERVICES = _blocks(SECTIONS["services"], 2)


def _listed(key: str, text: str) -> list[list[str]]:
    """Every list in brackets of that key."""
    found = re.findall(rf"^ +{key}: \[(.+)\]$", text, flags=re.MULTILINE)
    return [[item.strip(' "') for item in each.split(",")] for each in found]


COMMANDS = {name: command for name, text in SERVICES.items() for command in _listed("command", text)}
COMMANDS_OF_DRIVERLINK = {name: command for name, command in COMMANDS.items() if "entrypoint" not in SERVICES[name]}


def test_every_setting_of_the_containers_is_one() -> None:
    known = {f"DRIVERLINK_{name.upper()}" for name in DistributedSettings.model_fields}
    used = set(re.findall(r"DRIVERLINK_\w+", COMPOSE))
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
        "serve accounts",
        "serve intake",
        "serve decider",
        "serve projector --target driveri",
        "serve projector --target motive",
        "sandbox",
    }


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for ports in _listed("ports", COMPOSE) for port in ports]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert COMPOSE.count("ports:") == len(_listed("ports", COMPOSE))


def test_every_container_is_without_privileges() -> None:
    contained = SECTIONS["x-contained"]
    assert "cap_drop: [ALL]" in contained
    assert 'security_opt: ["no-new-privileges:true"]' in contained
    assert "read_only: true" in contained
    assert "<<: *contained" in SECTIONS["x-driverlink"]
    assert "<<: *driverlink" in SECTIONS["x-service"]
    for name, text in SERVICES.items():
        assert re.match(r"    <<: \*(contained|driverlink|service)\n", text), name
    assert not re.search(r"privileged|cap_add|read_only: false|docker\.sock|network_mode: host|user: root", COMPOSE)


def test_every_container_has_a_limit_of_memory() -> None:
    assert "mem_limit: 400m" in SECTIONS["x-driverlink"]
    for name, text in SERVICES.items():
        assert "<<: *contained" not in text or "mem_limit: " in text, name


def test_kafka_and_the_database_are_reached_from_inside_only() -> None:
    assert "inside: {internal: true}" in SECTIONS["networks"]
    for name in ("kafka", "postgres"):
        assert _listed("networks", SERVICES[name]) == [["inside"]]


def test_whoever_is_told_where_the_targets_are_can_get_there() -> None:
    told = [name for name, text in SERVICES.items() if "*settings-with-credentials" in text]
    for name in told:
        own = _listed("networks", SERVICES[name]) or _listed("networks", SECTIONS["x-service"])
        assert own == [["inside", "outside"]], name
    assert "cli" in told


@pytest.mark.parametrize("name", ["decider", "cli"])
def test_a_rehearsal_has_room_that_does_not_count_as_memory(name: str) -> None:
    assert "    tmpfs: []\n" in SERVICES[name]
    assert "scratch:/tmp" in _listed("volumes", SERVICES[name])[0]
    assert "  scratch: {}\n" in SECTIONS["volumes"]


def test_the_addresses_of_the_sandboxes_are_those_of_the_door() -> None:
    doors = [pair.split(":")[0] for pair in COMMANDS["sandbox-door"]]
    assert re.findall(r"http://sandbox-door:(\d+)", COMPOSE) == doors
    assert [port.rsplit(":", 1)[1] for port in _listed("ports", SERVICES["sandbox-door"])[0]] == doors


def test_images_from_elsewhere_are_pinned() -> None:
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, flags=re.MULTILINE)
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    elsewhere = set(images) - {"driverlink:local"}
    assert len(elsewhere) == 3
    assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+[a-z0-9.-]*", image) for image in elsewhere)


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
    assert sorted(mounted) == [(name, name) for name in sorted(NAMES)]
    assert (ROOT / "deploy/compose/.gitignore").read_text("utf-8").splitlines() == ["/secrets/"]


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert prepare(folder) == list(NAMES)
    made = {path.name: path.read_text("ascii") for path in folder.iterdir()}
    assert prepare(folder) == []
    assert {path.name: path.read_text("ascii") for path in folder.iterdir()} == made
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
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o444}


def test_addresses_are_those_that_the_engine_published() -> None:
    seen = [
        '["sandbox-door", {"9101/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8101"}]}]',
        '["decider", {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8131"}]}]',
        '["kafka", {"9092/tcp": null}]',
    ]
    assert [line.split("  ")[0] for line in addresses(seen)] == ["decider", "sandbox of Driveri"]
    assert [line.split()[-1] for line in addresses(seen)] == ["http://127.0.0.1:8131/ready", "http://127.0.0.1:8101"]


def test_the_door_passes_both_ways_until_both_have_ended() -> None:
    async def hear_all(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"heard " + await reader.read())
        writer.close()

    async def talk() -> bytes:
        async with await asyncio.start_server(hear_all, "127.0.0.1", 0) as inside:
            return await _said_at_a_door_to(inside.sockets[0].getsockname()[1], b"something")

    assert asyncio.run(talk()) == b"heard something"


def test_the_door_lets_nobody_wait_for_sandboxes_that_are_not_there() -> None:
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        assert asyncio.run(_said_at_a_door_to(not_listening.getsockname()[1], b"something")) == b""


async def _said_at_a_door_to(inner: int, words: bytes) -> bytes:
    """The answer to these words, at a door to that port."""
    async with await open_door(0, inner, "127.0.0.1") as door:
        reader, writer = await asyncio.open_connection(*door.sockets[0].getsockname()[:2])
        writer.write(words)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer
