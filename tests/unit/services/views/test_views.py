"""Views follow from logs: the state of each link as its history has it, and logs with nothing personal in them."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.events import new_mapper, to_record
from adapters.kafka.cloud_events import Outgoing, to_outgoing, to_outgoing_state
from domain.driver_link import Confirmed
from domain.identity import Target
from domain.store import Event, Misconfigured, Record, Store, StoreFailed
from services.decider.read_models import LinkRow
from services.views.link_states import STATES, key_of_link
from services.views.relays import StatesRelay, request_all_states, without_personal_data
from tests.golden.samples import SAMPLES
from tests.support.stepped_services import ACME, SteppedServices, both_targets, person
from tests.support.travelling_time import run


class Enough(Misconfigured):
    """Everything was sent."""


class Mine:
    """It is always our turn, until there is nothing left to send."""

    def take(self) -> bool:
        return True

    def wait(self, seconds: float) -> None:
        assert seconds > 0
        raise Enough

    def close(self) -> None:
        """Nothing to leave."""


class Compacted:
    """A topic that keeps the last record of each key; before or after it takes the records of a turn it can fail."""

    def __init__(self, *failures: str) -> None:
        self.kept: dict[bytes, Record] = {}
        self.sent: list[Record] = []
        self._failures = list(failures)

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        assert topic == STATES
        failure = self._failures.pop(0) if self._failures else ""
        if failure == "before":
            raise StoreFailed("killed before it was sent")
        for record in records:
            assert record.key is not None
            self.kept[record.key] = record
            self.sent.append(record)
        if failure == "after":
            raise StoreFailed("killed after it was sent")

    async def keys(self, topic: str) -> Collection[bytes]:
        assert topic == STATES
        return [key for key, record in self.kept.items() if record.body]

    async def close(self) -> None:
        """Nothing to let go of."""

    @property
    def states(self) -> dict[bytes, dict[str, Any]]:
        """What a consumer knows who begins now."""
        return {key: json.loads(record.body) for key, record in self.kept.items() if record.body}


def relay(decider: Store, topic: Compacted, epoch: str = "1") -> None:
    """A process relays what there is, after a kill another one."""
    relaying = StatesRelay(decider, epoch=epoch, leader_lock=Mine(), opening=lambda: topic)
    with pytest.raises(Enough):
        run(relaying.run())


def as_status_says(decider: Store) -> dict[bytes, tuple[str, str, str, int]]:
    """Every link that has not ended, from the rows that `status` counts."""
    return {
        key_of_link(row.account, row.target, row.driver): (row.state, row.reason, row.key, row.version)
        for row in decider.select(LinkRow)
        if row.state != "ended"
    }


def as_topic_says(topic: Compacted) -> dict[bytes, tuple[str, str, str, int]]:
    return {
        key: (each["state"], each["reason"], each["key"] or "", each["version"]) for key, each in topic.states.items()
    }


@pytest.fixture
def services(tmp_path: Path) -> Iterator[SteppedServices]:
    """A fleet of three, synchronised."""
    services = SteppedServices(tmp_path, both_targets())
    services.add()
    for number in (1, 2, 3):
        services.state(f"p{number}", person(number))
    services.run()
    yield services
    services.close()


def go_on(services: SteppedServices) -> None:
    """One leaves, two want one id, one gets another name."""
    services.delete("p3")
    services.state("p2", person(2, driveri_driver_id="D1"))
    services.state("p1", person(1, last_name="Roe"))
    services.run()


def test_the_topic_says_of_every_link_what_status_says(services: SteppedServices) -> None:
    topic, decider = Compacted(), services.decider_store.behind
    relay(decider, topic)
    go_on(services)
    relay(decider, topic)
    found = as_topic_says(topic)
    assert found == as_status_says(decider)
    assert {state for state, *_ in found.values()} >= {"in_sync", "parked"}


def test_a_record_has_the_ids_and_when_the_target_confirmed_it_last(services: SteppedServices) -> None:
    topic, decider = Compacted(), services.decider_store.behind
    relay(decider, topic)
    stated = topic.states[key_of_link(ACME, Target.MOTIVE, "p1")]
    (row,) = decider.select(LinkRow, {"account": str(ACME), "target": "motive", "driver": "p1"})
    confirmed = [each.event for each in decider.log.read(0, 500) if isinstance(each.event, Confirmed)]
    last = [each for each in confirmed if (each.driver, each.target) == ("p1", "motive")][-1]
    assert stated == {
        "account": "acme",
        "target": "motive",
        "driver": "p1",
        "state": "in_sync",
        "reason": "",
        "key": row.key,
        "external_ids": {"portal_driver_id": "p1", "driveri_driver_id": "D1"},
        "version": row.version,
        "at": last.at.isoformat(),
        "confirmed_version": last.originator_version,
        "confirmed_at": last.at.isoformat(),
    }


def test_a_link_that_has_ended_has_a_tombstone(services: SteppedServices) -> None:
    topic = Compacted()
    relay(services.decider_store.behind, topic)
    services.delete("p3")
    services.run()
    relay(services.decider_store.behind, topic)
    gone = {key_of_link(ACME, target, "p3") for target in Target}
    assert {key for key, record in topic.kept.items() if not record.body} == gone


@pytest.mark.parametrize("failures", [["before"], ["after"], ["after", "before", "after"], ["", "after"]])
def test_after_a_kill_anywhere_the_topic_is_right(services: SteppedServices, failures: list[str]) -> None:
    topic, decider = Compacted(*failures), services.decider_store.behind
    relay(decider, topic)
    go_on(services)
    topic._failures = list(failures)
    relay(decider, topic)
    assert as_topic_says(topic) == as_status_says(decider)


def test_what_was_sent_is_not_sent_again(services: SteppedServices) -> None:
    topic = Compacted()
    relay(services.decider_store.behind, topic)
    sent = len(topic.sent)
    relay(services.decider_store.behind, topic)
    assert len(topic.sent) == sent == len(topic.kept) == 6


def test_on_request_every_state_is_sent_again_and_what_is_not_there_gets_a_tombstone(
    services: SteppedServices,
) -> None:
    topic, decider = Compacted(), services.decider_store.behind
    relay(decider, topic)
    lost, record = topic.kept.popitem()
    erased = key_of_link("gone", "motive", "p9")
    topic.kept[erased] = record
    request_all_states(decider)
    relay(decider, topic)
    assert not topic.kept[erased].body
    assert topic.kept[lost].body
    assert as_topic_says(topic) == as_status_says(decider)


def test_in_another_epoch_every_state_is_sent_again_once(services: SteppedServices) -> None:
    topic, decider = Compacted(), services.decider_store.behind
    relay(decider, topic)
    topic.sent.clear()
    relay(decider, topic, epoch="2")
    relay(decider, topic, epoch="2")
    assert len(topic.sent) == 6


def test_a_state_is_in_the_partition_of_its_account_under_a_key_of_its_own(services: SteppedServices) -> None:
    topic = Compacted()
    relay(services.decider_store.behind, topic)
    sent = to_outgoing_state(topic.kept[key_of_link(ACME, Target.DRIVERI, "p1")], "decider", "ours")
    headers = {name: value.decode() for name, value in sent.headers}
    assert (sent.key, sent.account) == (b'["acme","driveri","p1"]', "acme")
    assert headers["ce_type"] == "DriverLink.State"
    assert (headers["ce_target"], headers["ce_subject"], headers["ce_installation"]) == ("driveri", "p1", "ours")


def test_nothing_in_a_state_is_personal(services: SteppedServices) -> None:
    topic = Compacted()
    relay(services.decider_store.behind, topic)
    names = [value for field, value in person(1).items() if field not in ("ref_id", "driveri_driver_id")]
    assert names
    assert not [name for name in names if any(name.encode() in record.body for record in topic.sent)]


_MAPPER = new_mapper()


def logged_and_seen(event: Event) -> tuple[Outgoing, Outgoing]:
    """The record of an event as its log has it, and as the view has it."""
    record = to_record(_MAPPER, 7, _MAPPER.to_stored_event(event))
    (seen,) = without_personal_data([record])
    return to_outgoing(record, "decider"), to_outgoing(seen, "decider")


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_a_view_without_personal_data_differs_from_its_log_in_nothing_else(event: Event) -> None:
    logged, seen = logged_and_seen(event)
    assert logged.value is not None
    assert seen.value is not None
    stated = json.loads(logged.value)
    for name in ("profile", "former", "by", "authenticated", "note"):
        stated.pop(name, None)
    assert json.loads(seen.value) == stated
    assert (seen.key, seen.headers, seen.account) == (logged.key, logged.headers, logged.account)
