"""One record of every kind of poison among 1,000 good ones: none of them stops or hides another, and none is lost."""

import asyncio
import json
import signal
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.kafka.cloud_events import SUBSTITUTE
from adapters.kafka.topics import partition_of
from domain.driver_link import CreateDecided
from domain.identity import AccountId, PortalDriverId, Target
from domain.portal import PortalDriver, Statement
from domain.store import DeadLetter
from services.api.installation import Installation
from services.runtime.context import CHANGES
from services.sandbox.demo import Stage
from tests.support.acme import acme_sandboxes, open_account, turn_on
from tests.support.backlog import Backlog
from tests.support.distributed import Deployment, every_service, running
from tests.support.exactly_once import events_of
from tests.support.patience import commanded
from tests.support.poison import POISONS, Message, good, send
from tests.support.servers import Kafka, Postgres
from tests.support.stated import whole
from tests.unit.adapters.kafka.batches import UNREADABLE

ACCOUNT = "acme"
GOOD = 1_000

_BEFORE = 430
"""How many of the good ones come before the poison, so that it lies in the middle of a batch."""

_SECONDS = 300.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What became of it: by kind the letter in the store, and what the API showed of it; and who was decided when."""

    names: Mapping[str, str]
    kept: Mapping[str, DeadLetter]
    listed: Sequence[str]
    shown: Mapping[str, Json]
    left: Sequence[str]
    before: Mapping[Target, set[str]]
    after: Mapping[Target, set[str]]


class Poisoning:
    """An account in the mode observe, its good drivers, the poison among them, and the decider that gets it all."""

    def __init__(self, deployment: Deployment, stage: Stage, installation: Installation) -> None:
        self._deployment = deployment
        self._stage = stage
        self._installation = installation
        self._backlog = Backlog(installation, deployment.settings)
        self._partition = partition_of(ACCOUNT, deployment.partitions)

    async def go_through(self) -> Aftermath:
        """All of it: the poison is delivered, shown, mended and submitted again."""
        services = every_service(self._deployment, each=1)
        decider = next(each for each in services if each.service == ("decider",))
        async with running(services):
            await self._open_account()
            decider.tell(signal.SIGTERM)
            decider.ended()
            names = await self._deliver()
            decider.start()
            await self._backlog.until_quiet()
            before, kept = self._decided(), self._kept(names)
            listed = await self._listed()
            shown = {kind: await self._stage.get("/dead-letters/letter", name=name) for kind, name in names.items()}
            for kind, name in names.items():
                submitted = {"name": name, "mended": json.dumps(mended(shown[kind], kind))}
                await self._stage.post("/dead-letters/resubmission", submitted)
            await self._backlog.until_quiet()
            left = await self._listed()
        return Aftermath(
            names=names,
            kept=kept,
            listed=listed,
            shown=shown,
            left=left,
            before=before,
            after=self._decided(),
        )

    async def _open_account(self) -> None:
        await open_account(self._stage)
        for target in Target:
            mode = {"by": "maria", "target": str(target), "mode": "observe"}
            await self._stage.post(f"/accounts/{ACCOUNT}/mode", mode)
        await turn_on(self._stage)
        await self._backlog.until_quiet()

    async def _deliver(self) -> dict[str, str]:
        """Let intake relay the good ones, with the poison among them; the names that its letters will have."""
        await self._take(range(_BEFORE))
        await self._backlog.until_relayed()
        spoiled = [sent(kind) for kind in POISONS]
        offsets = await send(self._deployment.settings, CHANGES, self._partition, spoiled)
        await self._take(range(_BEFORE, GOOD))
        await self._backlog.until_relayed()
        return {kind: f"decider/{self._stream}/{offset + 1}" for kind, offset in zip(POISONS, offsets, strict=True)}

    async def _take(self, numbers: Sequence[int]) -> None:
        """The Portal lists these drivers."""
        lines = [{"line": number, "driver": str(number), "profile": profile(number)} for number in numbers]
        await self._stage.post(f"/accounts/{ACCOUNT}/lists", {"lines": lines})

    async def _listed(self) -> list[str]:
        """The names of all dead letters."""
        return [letter["name"] for letter in (await self._stage.get("/dead-letters"))["letters"]]

    def _kept(self, names: Mapping[str, str]) -> dict[str, DeadLetter]:
        letters = self._installation.decider_service.store.select(DeadLetter)
        by_name = {f"decider/{letter.stream}/{letter.position}": letter for letter in letters}
        return {kind: by_name[name] for kind, name in names.items()}

    def _decided(self) -> dict[Target, set[str]]:
        """The drivers for which a create was decided, by target."""
        events = events_of(self._installation.logs["decisions"])
        created = [event for event in events if isinstance(event, CreateDecided)]
        return {target: {event.driver for event in created if event.target == target} for target in Target}

    @property
    def _stream(self) -> str:
        return f"{self._deployment.settings.epoch}/{CHANGES}/{self._partition}"


def profile(number: int) -> dict[str, str]:
    """The profile of a driver unlike any other."""
    return {
        "first_name": "Robin",
        "last_name": f"Quill {number}",
        "driveri_driver_id": f"Q-{number}",
        "email": f"robin.quill.{number}@fleet.example",
    }


def driver(kind: str) -> str:
    """The portal driver whose change is spoiled in this way."""
    return f"lost-{list(POISONS).index(kind)}"


def unspoiled(kind: str) -> Message:
    """The message of that change, as it should be."""
    place = GOOD + list(POISONS).index(kind)
    unknown = PortalDriver(account=AccountId(ACCOUNT), driver=PortalDriverId(driver(kind)))
    (event,) = Statement(at=datetime(2026, 11, 20, 8, tzinfo=UTC), source="export").present(
        unknown, whole(profile(place))
    )
    return good(event, 10_000 + place)


def sent(kind: str) -> Message:
    """The message of that change, as it is."""
    return POISONS[kind].spoiled(unspoiled(kind))


def mended(document: Json, kind: str) -> Json:
    """The document of a letter as a person gives it back who knows what it should be."""
    message = unspoiled(kind)
    said = {name: (value or b"").decode() for name, value in message.headers}
    kept = {name: value for name, value in document.items() if name != "body_base64"}
    facts = {"id": said["ce_id"], "type": said["ce_type"], "sequence": int(said["ce_sequence"])}
    return {**kept, **facts, "body": json.loads(message.value or b"")}


async def _gone_through(kafka: str, database: str, folder: Path) -> Aftermath:
    async with asyncio.timeout(_SECONDS), acme_sandboxes() as targets:
        deployment = Deployment(
            kafka=kafka, database=database, targets=targets, folder=folder, partitions=2, prefix="poison."
        )
        await asyncio.to_thread(deployment.prepare)
        async with commanded(deployment.settings) as (client, installation):
            return await Poisoning(deployment, Stage(client), installation).go_through()


@pytest.fixture(scope="module")
def aftermath(kafka: Kafka, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    database = postgres.database()
    yield asyncio.run(_gone_through(kafka.servers, database, tmp_path_factory.mktemp("poison")))
    postgres.drop(database)


@pytest.mark.parametrize("target", list(Target))
def test_every_good_record_is_decided(aftermath: Aftermath, target: Target) -> None:
    assert aftermath.before[target] == {str(number) for number in range(GOOD)}


def test_each_poison_and_nothing_else_is_a_dead_letter(aftermath: Aftermath) -> None:
    assert aftermath.listed == list(aftermath.names.values())


@pytest.mark.parametrize("kind", POISONS)
def test_a_dead_letter_keeps_every_byte(aftermath: Aftermath, kind: str) -> None:
    letter, message = aftermath.kept[kind], sent(kind)
    headers = [(name, b64decode(value)) for name, value in letter.headers]
    # Kafka's client gives no bytes of a name, so its length is what is left of it.
    substitute = SUBSTITUTE * len(UNREADABLE)
    assert headers == [(name.replace(UNREADABLE, substitute), value or b"") for name, value in message.headers]
    assert b64decode(letter.body) == (message.value or b"")


@pytest.mark.parametrize("kind", POISONS)
def test_a_dead_letter_is_shown_with_its_reason_and_what_it_says(aftermath: Aftermath, kind: str) -> None:
    document, message = aftermath.shown[kind], sent(kind)
    assert POISONS[kind].reason in document["reason"]
    assert "Quill" not in document["reason"]
    assert [_header(each) for each in document["headers"]] == [value or b"" for _, value in message.headers]
    if isinstance(document.get("body"), dict):
        assert document["body"] == json.loads(message.value or b"")
    else:
        assert _body(document) == (message.value or b"")


@pytest.mark.parametrize("kind", POISONS)
def test_what_is_mended_is_decided(aftermath: Aftermath, kind: str) -> None:
    assert [driver(kind) in aftermath.after[target] for target in Target] == [True, True]


def test_no_dead_letter_is_left_when_all_are_mended(aftermath: Aftermath) -> None:
    assert aftermath.left == []


def _body(document: Json) -> bytes:
    return b64decode(document["body_base64"]) if "body_base64" in document else document["body"].encode()


def _header(shown: Json) -> bytes:
    return b64decode(shown["value_base64"]) if "value_base64" in shown else shown["value"].encode()
