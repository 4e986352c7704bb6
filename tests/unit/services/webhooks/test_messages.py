"""Messages: one for each endpoint that wants it, in order for each link, tried until their end, each endpoint alone."""

from collections.abc import Iterator
from datetime import timedelta
from json import loads
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from domain.ports import WebhookAnswer
from domain.webhooks import RETRY_SCHEDULE, MessageType
from services.webhooks.endpoints import EndpointRefused, UnknownEndpoint
from services.webhooks.messages import KEPT, SLOTS
from services.webhooks.read_models import EndpointId, MessageRow, NamedLinkRow
from tests.unit.services.webhooks.webhooks_stand import (
    FAILED,
    FORMER,
    NOW,
    OK,
    SECRET,
    WebhooksStand,
    confirmed,
    held,
    noted,
    parked,
)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[WebhooksStand]:
    made = WebhooksStand(tmp_path)
    yield made
    made.store.close()


def test_each_endpoint_gets_the_types_that_it_chose_of_its_own_account(stand: WebhooksStand) -> None:
    everything = stand.add()
    renames = stand.add(types=[MessageType.RENAMED])
    other = stand.add(account="other")
    stand.happen(confirmed("417", 1, "D1"), confirmed("417", 2, "D2"), parked("9", 1), held("8", 1))
    stand.send()
    assert [row.type for row in stand.rows(renames)] == ["driver.renamed"]
    assert stand.rows(other) == []
    assert sorted(row.type for row in stand.rows(everything)) == [
        "driver.held",
        "driver.linked",
        "driver.needs_person",
        "driver.needs_person",
        "driver.parked",
        "driver.renamed",
    ]
    assert set(stand.states(everything)) == {"delivered"}


def test_a_message_has_ids_keys_the_reason_and_the_explanation_and_no_personal_data(stand: WebhooksStand) -> None:
    stand.add()
    stand.happen(parked("4 17", 1))
    (parking, *_) = stand.begin()
    fact = parked("4 17", 1)
    assert loads(parking.body) == {
        "type": "driver.parked",
        "timestamp": fact.at.isoformat(),
        "data": {
            "account": "acme",
            "target": "driveri",
            "driver": "4 17",
            "key": None,
            "former_key": None,
            "reason": "unkeyed",
            "event": f"{fact.originator_id}/1",
            "explanation": "https://sync.test/console/accounts/acme/drivers/4%2017",
        },
    }
    assert b"Jane" not in parking.body


def test_while_a_secret_is_rotated_a_message_is_signed_by_both(stand: WebhooksStand) -> None:
    stand.add(former=FORMER)
    stand.happen(confirmed("417", 1, "D1"))
    ((send),) = stand.begin()
    signatures = send.headers["webhook-signature"].split(" ")
    expected = [Webhook(secret).sign(send.message, NOW, send.body.decode()) for secret in (SECRET, FORMER)]
    assert signatures == expected
    stand.messages.end([(send, FAILED)])
    stand.wait(seconds=61)
    (again,) = stand.begin()
    assert len(again.headers["webhook-signature"].split(" ")) == 1
    assert again.message == send.message
    with pytest.raises(WebhookVerificationError):
        Webhook(FORMER).verify(again.body, dict(again.headers))


def test_messages_about_one_link_arrive_in_order_and_others_do_not_wait_for_them(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"), confirmed("1", 2, "A2"), confirmed("2", 1, "B1"))
    stand.happen(confirmed("1", 3, "A3"))
    started = stand.begin()
    assert [loads(each.body)["data"]["key"] for each in started] == ["A1", "B1"]
    (first, other) = started
    stand.messages.end([(first, FAILED), (other, OK)])
    assert stand.begin() == []
    stand.wait(seconds=6)
    assert stand.send() == ["driver.linked", "driver.renamed", "driver.renamed"]
    assert stand.sent == ["A1", "A2", "A3"]
    assert [row.body["data"]["key"] for row in stand.rows(to)] == ["A1", "A2", "B1", "A3"]


def test_what_comes_again_is_not_a_second_message(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    stand.happen(confirmed("1", 1, "A1"))
    stand.send()
    assert stand.states(to) == ["delivered"]


def test_what_was_started_before_a_kill_is_sent_again_under_the_same_id(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"), confirmed("1", 2, "A2"))
    (killed,) = stand.begin()
    again = stand.reopened()
    (resent,) = again.begin()
    assert (resent.message, resent.body) == (killed.message, killed.body)
    again.messages.end([(killed, FAILED)] if killed.started != resent.started else [])
    again.messages.end([(resent, OK)])
    assert again.send() == ["driver.renamed"]
    first = again.rows(to)[0]
    assert [each["status"] for each in first.attempts] == [0, 200]
    stand.store = again.store


def test_an_endpoint_that_fails_is_tried_alone_and_ever_more_rarely_while_others_get_theirs(
    stand: WebhooksStand,
) -> None:
    bad, good = stand.add(), stand.add(account="good")
    drivers = [str(number) for number in range(20)]
    stand.happen(*(confirmed(driver, 1, f"D{driver}") for driver in drivers))
    stand.happen(*(confirmed(driver, 1, f"D{driver}", "good") for driver in drivers))
    tried = 0
    for _ in range(30):
        sends = stand.begin()
        tried += sum(send.to == bad for send in sends)
        stand.messages.end([(send, FAILED if send.to == bad else OK) for send in sends])
    assert set(stand.states(good)) == {"delivered"}
    assert tried == SLOTS
    stand.wait(minutes=10)
    assert len(stand.begin()) == 1


def test_a_receiver_that_asks_for_time_gets_nothing_meanwhile(stand: WebhooksStand) -> None:
    stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    (refused,) = stand.begin()
    stand.messages.end([(refused, WebhookAnswer(status=429, retry_after=120.0))])
    stand.happen(confirmed("2", 1, "B1"))
    stand.wait(seconds=119)
    assert stand.send() == []
    stand.wait(seconds=1)
    assert stand.send() == ["driver.linked"] * 2


def test_a_message_that_fails_to_the_end_is_parked_and_can_be_sent_again(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    (refused,) = stand.begin()
    stand.messages.end([(refused, FAILED)])
    for number, wait in enumerate(RETRY_SCHEDULE):
        stand.happen(confirmed(f"other {number}", 1, "B"))
        assert stand.send() == ["driver.linked"]
        stand.wait(seconds=wait * 1.1 + 1)
        stand.send(FAILED, most=1)
    assert [row.state for row in stand.rows(to) if row.message == refused.message] == ["parked"]
    assert stand.endpoints.all("acme")[0].ended == ""
    stand.endpoints.resend(to, refused.message, noted())
    assert stand.send() == ["driver.linked"]
    assert set(stand.states(to)) == {"delivered"}


def test_an_endpoint_that_never_answers_well_is_ended_and_goes_on_where_it_was_when_it_is_enabled(
    stand: WebhooksStand,
) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"), confirmed("1", 2, "A2"))
    for wait in (0.0, *RETRY_SCHEDULE):
        stand.wait(seconds=wait * 1.1 + 1)
        assert stand.send(FAILED) == ["driver.linked"]
    assert stand.states(to) == ["parked", "waiting"]
    (known,) = stand.endpoints.all("acme")
    assert known.ended
    stand.wait(days=1)
    stand.happen(confirmed("2", 1, "B1"))
    assert stand.send() == []
    with pytest.raises(EndpointRefused, match="is off"):
        stand.endpoints.ping(to, "msg_ping", noted())
    stand.endpoints.turn(to, noted(), on=True)
    assert stand.send() == ["driver.renamed"]
    assert stand.endpoints.all("acme")[0].ended == ""


def test_a_receiver_that_says_it_is_gone_ends_its_endpoint_at_once(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    stand.send(WebhookAnswer(status=410))
    assert (stand.states(to), stand.endpoints.all("acme")[0].ended) == (["parked"], "it answered 410: gone for good")


def test_nothing_goes_to_an_endpoint_that_is_off_and_what_waits_goes_when_it_is_on(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    stand.endpoints.turn(to, noted(), on=False)
    assert stand.send() == []
    stand.happen(confirmed("2", 1, "B1"))
    stand.wait(minutes=1)
    stand.endpoints.turn(to, noted(), on=True)
    stand.happen(confirmed("3", 1, "C1"))
    assert stand.send() == ["driver.linked"]
    assert [row.body["data"]["key"] for row in stand.rows(to)] == ["A1"]


def test_what_was_before_an_endpoint_is_not_sent_to_it(stand: WebhooksStand) -> None:
    stand.wait(hours=1)
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    assert stand.rows(to) == []


def test_a_deleted_endpoint_leaves_nothing_and_an_answer_that_comes_later_changes_nothing(
    stand: WebhooksStand,
) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"), confirmed("2", 1, "B1"))
    sends = stand.begin()
    stand.endpoints.delete(to, noted())
    stand.messages.end([(send, FAILED) for send in sends])
    stand.wait(days=1)
    assert stand.send() == []
    assert stand.store.select(MessageRow) == []
    with pytest.raises(UnknownEndpoint, match="driverlink webhooks list acme"):
        stand.endpoints.show(to)


def test_a_ping_arrives_and_one_that_waits_is_not_sent_again(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.endpoints.ping(to, "msg_ping", noted())
    stand.messages.take_requests()
    with pytest.raises(EndpointRefused, match="anyway"):
        stand.endpoints.resend(to, "msg_ping", noted())
    with pytest.raises(UnknownEndpoint, match="has no message msg_other"):
        stand.endpoints.resend(to, "msg_other", noted())
    assert stand.send() == ["webhook.ping"]


def test_without_a_secret_a_message_waits_for_one(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.credentials.keep_signing_secrets(*to, None)
    stand.happen(confirmed("1", 1, "A1"))
    (send,) = stand.begin()
    assert (send.trouble, send.headers) == ("the endpoint has no secret: rotate it", {})


def test_messages_are_kept_for_thirty_days(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    stand.send()
    stand.now += KEPT - timedelta(hours=1)
    assert stand.messages.forget_old() == 0
    stand.now += timedelta(hours=2)
    assert stand.messages.forget_old() == 1
    assert stand.rows(to) == []


def test_an_account_has_a_bounded_number_of_endpoints(stand: WebhooksStand) -> None:
    for _ in range(10):
        stand.add()
    with pytest.raises(EndpointRefused, match="delete one first"):
        stand.add()


def test_nothing_is_sent_for_an_account_that_has_gone_to_another_process(stand: WebhooksStand) -> None:
    to = stand.add()
    stand.happen(confirmed("1", 1, "A1"))
    stand.assignment.hold(())
    assert stand.send() == []
    assert stand.states(to) == ["waiting"]
    stand.assignment.hold((0,))
    stand.messages.resume()
    assert stand.send() == ["driver.linked"]


def test_the_keys_of_links_do_not_depend_on_how_facts_are_divided_into_batches(
    stand: WebhooksStand, tmp_path: Path
) -> None:
    facts = [confirmed("1", 1, "A1"), confirmed("2", 1, "B1"), confirmed("1", 2, "A2"), confirmed("2", 2, None)]
    (tmp_path / "whole").mkdir()
    whole = WebhooksStand(tmp_path / "whole")
    whole.happen(*facts)
    for fact in facts:
        stand.happen(fact)
    assert [*stand.store.scan(NamedLinkRow)] == [*whole.store.scan(NamedLinkRow)]
    whole.store.close()


def test_an_endpoint_of_another_account_is_unknown(stand: WebhooksStand) -> None:
    to = stand.add()
    with pytest.raises(UnknownEndpoint):
        stand.endpoints.show(EndpointId("other", to.endpoint))
