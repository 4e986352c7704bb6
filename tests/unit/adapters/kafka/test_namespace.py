"""What belongs to us in a Kafka that another installation uses too."""

from dataclasses import replace

import pytest

from adapters.kafka.connection import StreamsMisconfigured
from adapters.kafka.consumer import Group, TopicSubscription
from adapters.kafka.topics import Namespace
from tests.unit.adapters.kafka.messages import FakeMessage, sent_by

OURS = Namespace(installation="ours")


def test_without_a_prefix_names_stay_as_they_are() -> None:
    assert Namespace().to_name("accounts.v1") == "accounts.v1"


def test_topics_and_groups_get_the_prefix_and_logs_keep_their_names() -> None:
    namespace = Namespace(prefix="east.")
    wanted = TopicSubscription(topics=["accounts.v1"], partitions=4, group=Group(name="driverlink.decider"))
    within = wanted.within(namespace)
    assert (within.topics, within.group) == (["east.accounts.v1"], Group(name="east.driverlink.decider"))
    assert namespace.to_log("east.accounts.v1") == "accounts.v1"


def test_members_of_two_installations_have_no_way_to_share_partitions_in_common() -> None:
    names = [Namespace(installation=each).to_assignors()[0].name for each in ("ours", "theirs", "ours", "")]
    assert names == ["range.ours", "range.theirs", "range.ours", "range"]


def test_our_own_records_pass() -> None:
    OURS.check([sent_by("ours"), sent_by("ours")])


def test_a_record_without_an_id_passes_as_one_from_before_there_were_ids() -> None:
    OURS.check([sent_by("")])


def test_a_record_of_another_installation_stops_with_what_to_do() -> None:
    with pytest.raises(StreamsMisconfigured) as stopped:
        OURS.check([sent_by("ours"), replace(sent_by("theirs, and Jane's"), partition=3, offset=17)])
    assert str(stopped.value) == (
        "topic accounts.v1 holds a record of another installation (partition 3, offset 17), and ours is ours: give one "
        "of the two its own DRIVERLINK_KAFKA_PREFIX, then the other one another DRIVERLINK_EPOCH"
    )


def test_who_has_no_id_checks_nothing() -> None:
    Namespace().check([sent_by("theirs")])


@pytest.mark.parametrize("values", [[None], [b"theirs", b"ours"]], ids=["no value", "more than one"])
def test_what_cannot_be_read_is_left_to_the_dead_letters(values: list[bytes | None]) -> None:
    message = sent_by("")
    OURS.check([replace(message, headers=(*message.headers, *(("ce_installation", value) for value in values)))])


def test_of_no_id_nothing_is_sent() -> None:
    def names(message: FakeMessage) -> list[str]:
        return [name for name, _ in message.headers]

    assert "ce_installation" not in names(sent_by(""))
    assert "ce_installation" in names(sent_by("ours"))
