"""What a broker is asked for in a session. Source: KIP-227."""

from inspect import signature
from io import BytesIO

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v6, FetchRequest_v11, FetchResponse_v11

from adapters.kafka.consumer import FetchSession, SessionRequest

Offsets = dict[str, dict[int, int]]

_MOST = 1000


class Broker:
    """Answers each fetch of a session as it is told to."""

    def __init__(self) -> None:
        self.session = FetchSession()

    def asked(self, offsets: Offsets) -> tuple[int, int, Offsets, dict[str, list[int]]]:
        """A fetch from these offsets as it is sent: the session and its epoch, what it names, and what it drops."""
        topics = [(topic, [(number, at, _MOST) for number, at in each.items()]) for topic, each in offsets.items()]
        self.sent = SessionRequest(FetchRequest(500, 1, 5000, 0, topics), self.session).build(FetchRequest_v11)
        read = FetchRequest_v11.decode(self.sent.encode())
        named = {topic: {each[0]: each[2] for each in partitions} for topic, partitions in read.topics}
        return read.session_id, read.session_epoch, named, dict(read.forgotten_topics_data)

    def answer(self, session_id: int, error: int = 0) -> None:
        """Answer what was asked last."""
        answer = FetchResponse_v11(0, error, session_id, [])
        assert self.sent.RESPONSE_TYPE.decode(BytesIO(answer.encode())) == answer


def test_the_first_fetch_names_everything_and_the_next_only_what_is_otherwise() -> None:
    broker = Broker()
    assert broker.asked({"a": {0: 5, 1: 6}, "b": {0: 7}}) == (0, 0, {"a": {0: 5, 1: 6}, "b": {0: 7}}, {})
    broker.answer(77)
    assert broker.asked({"a": {0: 5, 1: 9}, "b": {0: 7}}) == (77, 1, {"a": {1: 9}}, {})
    broker.answer(77)
    assert broker.asked({"a": {0: 5, 1: 9}, "b": {0: 7}}) == (77, 2, {}, {})


def test_a_partition_that_pauses_is_dropped_and_named_again_when_it_goes_on() -> None:
    broker = Broker()
    broker.asked({"a": {0: 5, 1: 6}})
    broker.answer(77)
    assert broker.asked({"a": {1: 6}}) == (77, 1, {}, {"a": [0]})
    broker.answer(77)
    assert broker.asked({"a": {0: 5, 1: 6}}) == (77, 2, {"a": {0: 5}}, {})


def test_a_broker_that_has_forgotten_the_session_is_asked_for_everything_in_a_new_one() -> None:
    broker = Broker()
    broker.asked({"a": {0: 5, 1: 6}})
    broker.answer(77)
    broker.asked({"a": {0: 8, 1: 6}})
    broker.answer(0, error=70)
    assert broker.asked({"a": {0: 8, 1: 6}}) == (77, 0, {"a": {0: 8, 1: 6}}, {})
    broker.answer(78)
    assert broker.asked({"a": {0: 8, 1: 7}}) == (78, 1, {"a": {1: 7}}, {})


def test_a_fetch_without_an_answer_is_followed_by_one_that_names_everything() -> None:
    broker = Broker()
    broker.asked({"a": {0: 5, 1: 6}})
    broker.answer(77)
    broker.asked({"a": {0: 5, 1: 9}})
    assert broker.asked({"a": {0: 5, 1: 9}}) == (77, 0, {"a": {0: 5, 1: 9}}, {})


def test_a_broker_that_keeps_no_session_is_always_asked_for_everything() -> None:
    broker = Broker()
    for _ in range(2):
        assert broker.asked({"a": {0: 5}}) == (0, 0, {"a": {0: 5}}, {})
        broker.answer(0)


def test_a_broker_that_knows_no_sessions_is_asked_as_the_library_does() -> None:
    whole = FetchRequest(500, 1, 5000, 0, [("a", [(0, 5, _MOST)])])
    made = SessionRequest(whole, FetchSession()).build(FetchRequest_v6)
    assert made.encode() == whole.build(FetchRequest_v6).encode()


def test_the_library_fetches_by_what_is_replaced_in_it() -> None:
    assert "Fetcher" in AIOKafkaConsumer.start.__code__.co_names
    assert [*signature(Fetcher._proc_fetch_request).parameters] == ["self", "assignment", "node_id", "request"]
    assert "_proc_fetch_request" in Fetcher._fetch_requests_routine.__code__.co_names
