"""Dead letters that were submitted again: taken over, or kept with the new reason; never lost, and never twice."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.store import DeadLetter, StoreConflict, StoreFailed, Unit
from services.runtime.service import Notifier, Service
from tests.contract.stands import fact
from tests.support.examples import examples
from tests.unit.services.runtime.consumer_stand import NOW, FollowingStand, Heard, raising, readable

LATER = NOW + timedelta(hours=1)


@pytest.fixture(params=[False, True], ids=["topic", "in place"])
def stand(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FollowingStand]:
    with closing(FollowingStand(tmp_path / "follower.sqlite", is_in_place=request.param)) as stand:
        yield stand


@pytest.fixture
def broken(stand: FollowingStand) -> DeadLetter:
    """Of driver a the second fact cannot be read; the first was taken over, and so was driver b."""
    stand.tell(("a", 1))
    stand.tell_broken("a", 2)
    stand.tell(("b", 1))
    stand.run()
    stand.now = LATER
    (letter,) = stand.letters
    return letter


@pytest.fixture
def unhandled(stand: FollowingStand) -> DeadLetter:
    """The second fact of driver a can be read, but not handled."""
    stand.failing = {("a", 2): LookupError("no such thing")}
    stand.tell(("a", 1), ("a", 2), ("b", 1))
    stand.run()
    stand.now = LATER
    (letter,) = stand.letters
    return letter


def test_a_mended_record_is_handled_and_its_letter_goes(stand: FollowingStand, broken: DeadLetter) -> None:
    before = stand.store.committed
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2)))
    assert sorted(stand.told) == [("a", 1), ("a", 2), ("b", 1)]
    assert (stand.letters, stand.submitted) == ([], [])
    assert stand.store.committed == before + 2


def test_a_letter_whose_own_version_was_wrong_goes_too(stand: FollowingStand, broken: DeadLetter) -> None:
    unit = Unit()
    unit.keep([replace(broken, id=broken.id.partition("/")[0] + "/0")])
    stand.store.commit(unit)
    stand.follower = stand.new_follower()
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2)))
    assert (stand.letters, ("a", 2) in stand.told) == ([], True)


def test_a_letter_of_a_former_epoch_is_handled(stand: FollowingStand, broken: DeadLetter) -> None:
    stand.stream.name = "7/upstream.v1/0"
    stand.follower = stand.new_follower()
    stand.tell(("a", 3))
    stand.run()
    assert [letter.overtaken_by for letter in stand.letters] == [3]
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2)))
    assert (stand.letters, ("a", 2) in stand.told) == ([], False)


def test_a_record_is_handled_as_it_was_when_it_can_be_by_now(stand: FollowingStand, unhandled: DeadLetter) -> None:
    stand.failing = {}
    stand.follower.take_again(stand.submit(unhandled))
    assert stand.told == [("a", 1), ("a", 2), ("b", 1)]
    assert (stand.letters, stand.submitted) == ([], [])


def test_a_record_keeps_its_place_in_the_log_that_it_is_from(stand: FollowingStand, broken: DeadLetter) -> None:
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2), log_position=4711))
    assert stand.store.select(Heard, {"version": 2}) == [Heard(position=4711, driver="a", version=2)]


def test_a_resubmission_moves_no_position(stand: FollowingStand, broken: DeadLetter) -> None:
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2)))
    assert stand.position == stand.stream.end()
    stand.tell(("b", 2))
    stand.run()
    assert stand.told[-1] == ("b", 2)


@pytest.mark.parametrize(
    ("mended", "reason"),
    [
        ({}, "missing or of another type"),
        ({"topic": "PortalDriver.DriverPraised"}, "unknown type 'PortalDriver.DriverPraised'"),
        ({"id": "nobody"}, "'nobody' is not the id of an event"),
        ({"body": "no base64"}, "cannot be read"),
    ],
)
def test_what_still_cannot_be_read_stays_as_it_came_with_the_new_reason(
    stand: FollowingStand, broken: DeadLetter, mended: dict[str, str | int], reason: str
) -> None:
    stand.follower.take_again(stand.submit(broken, **mended))
    (letter,) = stand.letters
    assert letter.reason.startswith("submitted again: ")
    assert reason in letter.reason
    assert letter == replace(broken, reason=letter.reason, at=LATER.isoformat())
    assert stand.submitted == []
    assert ("a", 2) not in stand.told


@pytest.mark.parametrize("lacking", ["id", "topic"])
def test_a_record_that_does_not_say_what_it_is_keeps_its_first_reason(
    stand: FollowingStand, broken: DeadLetter, lacking: str
) -> None:
    told = {"id": broken.id, "topic": broken.topic, lacking: ""}
    stranger = replace(broken, id=told["id"], topic=told["topic"], reason=f"the header 'ce_{lacking}' is missing")
    unit = Unit()
    unit.keep([stranger])
    stand.store.commit(unit)
    for _ in range(2):
        stand.follower.take_again(stand.submit(stranger))
        (letter,) = stand.letters
        assert letter.reason == f"submitted again: the header 'ce_{lacking}' is missing"
    stand.follower.take_again(stand.submit(stranger, id=broken.id, topic=broken.topic, body=readable("a", 2)))
    assert (stand.letters, sorted(stand.told)) == ([], [("a", 1), ("a", 2), ("b", 1)])


def test_what_still_cannot_be_handled_stays_with_the_new_reason(stand: FollowingStand, unhandled: DeadLetter) -> None:
    stand.failing = {("a", 2): ValueError("neither this")}
    for _ in range(2):
        stand.follower.take_again(stand.submit(unhandled))
    expected = replace(unhandled, reason="submitted again: ValueError: neither this", at=LATER.isoformat())
    assert (stand.letters, stand.submitted) == ([expected], [])


def test_what_no_store_can_hold_stays_with_the_new_reason(stand: FollowingStand, unhandled: DeadLetter) -> None:
    stand.failing = {}
    stand.odd = {"a"}
    stand.follower.take_again(stand.submit(unhandled))
    (letter,) = stand.letters
    assert letter.reason.startswith("submitted again: UnicodeEncodeError: ")
    assert (stand.submitted, stand.told) == ([], [("a", 1), ("b", 1)])


def test_a_reason_that_no_store_can_hold_is_kept_nevertheless(stand: FollowingStand, unhandled: DeadLetter) -> None:
    stand.failing = {("a", 2): ValueError("half a pair \ud800, and \0")}
    stand.follower.take_again(stand.submit(unhandled))
    assert stand.letters[0].reason == "submitted again: ValueError: half a pair \\ud800, and \\x00"


def test_what_failed_again_does_not_count_as_consumed(stand: FollowingStand, unhandled: DeadLetter) -> None:
    stand.follower.take_again(stand.submit(unhandled))
    stand.failing = {}
    stand.follower.take_again(stand.submit(unhandled))
    assert (stand.told, stand.letters) == ([("a", 1), ("a", 2), ("b", 1)], [])


@pytest.mark.parametrize("failure", [StoreConflict("version 3 is taken"), StoreFailed("the disk is full")])
def test_a_store_that_cannot_commit_leaves_all_as_it_was(
    stand: FollowingStand, broken: DeadLetter, failure: Exception
) -> None:
    submitted = stand.submit(broken, body=readable("a", 2))
    stand.store.before = [raising(failure)]
    with pytest.raises(type(failure)):
        stand.follower.take_again(submitted)
    assert (stand.letters, stand.submitted, stand.told) == ([broken], [submitted], [("a", 1), ("b", 1)])
    stand.follower.take_again(submitted)
    assert (stand.letters, stand.submitted) == ([], [])
    assert ("a", 2) in stand.told


def test_a_conflict_met_by_the_handler_is_not_blamed_on_the_record(
    stand: FollowingStand, unhandled: DeadLetter
) -> None:
    stand.failing = {("a", 2): StoreConflict("version 3 is taken")}
    submitted = stand.submit(unhandled)
    with pytest.raises(StoreConflict):
        stand.follower.take_again(submitted)
    assert (stand.letters, stand.submitted) == ([unhandled], [submitted])


def test_an_older_version_than_was_consumed_meanwhile_is_dropped_and_its_letter_goes(
    stand: FollowingStand, broken: DeadLetter
) -> None:
    stand.tell(("a", 3))
    stand.run()
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2)))
    assert (stand.letters, stand.submitted) == ([], [])
    assert stand.told == [("a", 1), ("b", 1), ("a", 3)]


@pytest.mark.parametrize("is_readable", [False, True])
def test_a_version_that_was_overtaken_in_its_own_batch_is_dropped_too(
    stand: FollowingStand, *, is_readable: bool
) -> None:
    stand.failing = {("a", 1): ValueError("no")}
    if is_readable:
        stand.tell(("a", 1))
    else:
        stand.tell_broken("a", 1)
    stand.tell(("a", 2), ("b", 1))
    stand.run()
    stand.failing = {}
    stand.follower.take_again(stand.submit(stand.letters[0], body=readable("a", 1)))
    assert (stand.letters, stand.told) == ([], [("a", 2), ("b", 1)])


def test_a_version_that_another_letter_overtook_is_handled(stand: FollowingStand, broken: DeadLetter) -> None:
    stand.failing = {("a", 3): ValueError("no")}
    stand.tell(("a", 3))
    stand.run()
    stand.follower.take_again(stand.submit(broken, body=readable("a", 2)))
    assert ("a", 2) in stand.told
    assert [letter.id for letter in stand.letters] == [f"{fact('a').originator_id}/3"]


def test_a_letter_that_was_discarded_is_not_made_again(stand: FollowingStand, unhandled: DeadLetter) -> None:
    submitted = stand.submit(unhandled)
    unit = Unit()
    unit.remove(DeadLetter, {"position": unhandled.position})
    stand.store.commit(unit)
    stand.follower.take_again(submitted)
    assert (stand.letters, stand.submitted) == ([], [])


@pytest.fixture
def service(stand: FollowingStand) -> Service:
    made = Service(
        "ears", store=stand.store, clock=lambda: LATER, notifier=Notifier(), handlers={"upstream.v1": stand.handle}
    )
    made.follow([stand.stream])
    return made


def test_a_service_takes_what_was_submitted_in_the_order_of_the_stream(stand: FollowingStand, service: Service) -> None:
    stand.tell_broken("a", 1)
    stand.tell_broken("a", 2)
    service.step()
    for letter in reversed(stand.letters):
        version = int(letter.id.partition("/")[2])
        stand.submit(letter, body=readable("a", version))
    assert service.step() == 2
    assert (stand.told, stand.letters, service.step()) == ([("a", 1), ("a", 2)], [], 0)


def test_a_service_leaves_what_is_of_a_stream_that_it_does_not_follow(
    stand: FollowingStand, service: Service, broken: DeadLetter
) -> None:
    submitted = stand.submit(broken, body=readable("a", 2))
    service.leave([stand.stream.name])
    assert (service.step(), stand.submitted) == (0, [submitted])
    service.follow([stand.stream])
    assert (service.step(), stand.submitted, stand.letters) == (1, [], [])


def test_a_service_that_meets_a_conflict_takes_it_at_its_next_step(
    stand: FollowingStand, service: Service, broken: DeadLetter
) -> None:
    stand.submit(broken, body=readable("a", 2))
    stand.store.before = [raising(StoreConflict("version 3 is taken"))]
    assert service.step() == 1
    assert stand.letters == [broken]
    service.step()
    assert stand.letters == []


class Troubles:
    """Drivers whose facts come one by one; some of them cannot be read, or not handled, until they are mended."""

    def __init__(self, stand: FollowingStand, troubled: set[tuple[str, int]]) -> None:
        self.stand = stand
        self.sent: Counter[str] = Counter()
        self._troubled = troubled
        stand.failing = dict.fromkeys(troubled, ValueError("no"))

    def tell(self, drivers: list[str]) -> None:
        """The next fact about each of these."""
        for driver in drivers:
            self.sent[driver] += 1
            told = driver, self.sent[driver]
            if told in self._troubled and told[1] % 2:
                self.stand.tell_broken(*told)
            else:
                self.stand.tell(*[told])
        self.stand.run()

    def mend(self, letters: list[DeadLetter]) -> None:
        """Submit these again, mended."""
        drivers = {str(fact(driver).originator_id): driver for driver in self.sent}
        for letter in letters:
            originator, _, version = letter.id.partition("/")
            self.stand.failing.pop((drivers[originator], int(version)), None)
            body = readable(drivers[originator], int(version))
            self.stand.follower.take_again(self.stand.submit(letter, body=body))


drivers = st.sampled_from("abc")
rounds = st.tuples(st.lists(drivers, max_size=6), st.sets(st.integers(0, 3)))


@examples(15, many=300)
@given(
    sent=st.lists(rounds, max_size=5),
    troubled=st.sets(st.tuples(drivers, st.integers(1, 6)), max_size=8),
    is_in_place=st.booleans(),
)
@example(sent=[(["a", "a"], set()), (["a"], {0})], troubled={("a", 1), ("a", 2)}, is_in_place=False)
def test_whenever_letters_are_submitted_no_history_ever_goes_back(
    *, sent: list[tuple[list[str], set[int]]], troubled: set[tuple[str, int]], is_in_place: bool
) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(FollowingStand(Path(folder) / "follower.sqlite", is_in_place=is_in_place)) as stand,
    ):
        troubles = Troubles(stand, troubled)
        for told, mended in sent:
            troubles.tell(told)
            troubles.mend([letter for number, letter in enumerate(stand.letters) if number in mended])
        troubles.mend(stand.letters)
        assert stand.letters == []
        for driver, last in troubles.sent.items():
            versions = [version for name, version in stand.taken if name == driver]
            assert versions == sorted(set(versions))
            assert versions[-1] == last
