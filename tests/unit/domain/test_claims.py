"""What holds across the links of an account: who has claimed what, and who waits in a circle."""

from dataclasses import replace

from domain.account import Mode
from domain.claims import Batch
from domain.driver_link import (
    Confirmed,
    CreateDecided,
    DeleteDecided,
    DriverLink,
    LinkEvent,
    in_sequence,
    replay,
    unlinked,
)
from domain.identity import Key, PortalDriverId, Target
from domain.matching import ObservedDriver, Roster
from tests.support.scenario import BOB, CAROL, DRIVERI, JANE, MOTIVE, why

CREATED = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7")
MOVED = DRIVERI.said(CreateDecided, why("ABSENT"), profile={**JANE, "driveri_driver_id": "D-8"}, desired_key="D-8")


def _link(*facts: LinkEvent) -> DriverLink:
    return replay(DRIVERI.nothing, in_sequence(DRIVERI.nothing, facts))


def test_a_driver_of_whom_nothing_was_decided_claims_nothing() -> None:
    link = unlinked(DRIVERI.nothing.account, Target.DRIVERI, DRIVERI.driver)
    assert link == DRIVERI.nothing
    assert link.claims == frozenset()
    assert replay(link, DRIVERI.linked()).id == DRIVERI.nothing.id


def test_a_link_claims_what_is_on_its_way_and_what_is_confirmed() -> None:
    assert _link().claims == frozenset()
    assert _link(CREATED).claims == {"key:d-7"}
    assert _link(*DRIVERI.linked()).claims == {"key:d-7"}
    assert _link(*DRIVERI.linked(), MOVED).claims == {"key:d-7", "key:d-8"}


def test_what_is_withdrawn_is_claimed_until_the_answer() -> None:
    withdrawn = DRIVERI.said(DeleteDecided, why("ORPHANED"), desired_key=None, profile={})
    ended = DRIVERI.fact(Confirmed, decision=2, key=None, profile={})
    assert _link(CREATED, withdrawn).claims == _link(CREATED, withdrawn).claimable == {"key:d-7"}
    assert _link(CREATED, withdrawn, ended).claims == frozenset()


def test_what_is_withdrawn_where_nothing_is_sent_is_not_claimed() -> None:
    withdrawn = DRIVERI.said(DeleteDecided, why("ORPHANED", mode=Mode.OBSERVE), desired_key=None, profile={})
    assert _link(CREATED, withdrawn).claims == frozenset()


def test_what_a_superseded_decision_may_still_bring_is_claimable_but_not_claimed() -> None:
    link = _link(CREATED, MOVED)
    assert link.claims == {"key:d-8"}
    assert link.claimable == {"key:d-7", "key:d-8"}


def test_the_first_driver_that_claims_an_identifier_keeps_it_until_it_comes_free() -> None:
    batch = Batch(Target.DRIVERI)
    jane, bob = _link(CREATED), replace(_link(CREATED), driver=BOB)
    assert batch.record(DRIVERI.nothing, jane, ()) == frozenset()
    assert batch.record(replace(DRIVERI.nothing, driver=BOB), bob, ()) == frozenset()
    assert batch.holder("key:d-7") == "jane"
    assert batch.record(bob, replace(DRIVERI.nothing, driver=BOB), ()) == frozenset()
    assert batch.record(jane, DRIVERI.nothing, ()) == {"key:d-7"}
    assert batch.holder("key:d-7") is None


def test_an_identifier_that_came_free_is_claimed_with_the_next_fact_of_a_driver_who_desires_it() -> None:
    batch, bob = Batch(Target.DRIVERI, claimed={"key:d-7": BOB}), replace(_link(CREATED), driver=BOB)
    jane = _link(CREATED)
    batch.record(DRIVERI.nothing, jane, ())
    batch.record(bob, replace(DRIVERI.nothing, driver=BOB), ())
    assert batch.holder("key:d-7") is None
    batch.record(jane, replace(jane, version=jane.version + 1), ())
    assert batch.holder("key:d-7") == DRIVERI.driver


def test_a_key_goes_to_the_link_that_has_it_and_those_who_wait_for_it_look_again() -> None:
    batch = Batch(Target.DRIVERI, claimed={"key:d-7": BOB})
    confirmed = _link(CREATED, DRIVERI.fact(Confirmed, decision=1, key="D-7", profile={}))
    assert batch.record(_link(CREATED), confirmed, ()) == {"key:d-7"}
    assert batch.is_linked_elsewhere(BOB, Key("d-7"))
    assert not batch.is_linked_elsewhere(DRIVERI.driver, Key("D-7"))


def test_a_key_that_its_link_has_left_is_linked_nowhere() -> None:
    batch = Batch(Target.DRIVERI, linked={"key:d-7": DRIVERI.driver})
    before = _link(*DRIVERI.linked())
    after = _link(*DRIVERI.linked(), DRIVERI.fact(Confirmed, decision=0, key=None, profile={}))
    batch.record(before, after, ())
    assert not batch.is_linked_elsewhere(BOB, Key("D-7"))


def test_a_driver_that_waits_for_an_identifier_that_leads_back_to_it_is_in_a_cycle() -> None:
    claimed = {"key:d-1": DRIVERI.driver, "key:d-2": BOB, "key:d-3": CAROL}
    batch = Batch(Target.DRIVERI, claimed=claimed, waiting={BOB: "key:d-3", CAROL: "key:d-1"})
    assert batch.awaited(DRIVERI.driver, "key:d-2") == "key:d-1"
    assert batch.awaited(PortalDriverId("dave"), "key:d-2") == ""


def test_a_driver_that_waits_outside_a_cycle_of_others_is_not_in_it() -> None:
    claimed = {"key:d-2": BOB, "key:d-3": CAROL}
    batch = Batch(Target.DRIVERI, claimed=claimed, waiting={BOB: "key:d-3", CAROL: "key:d-2"})
    assert batch.awaited(DRIVERI.driver, "key:d-2") == ""


def test_a_driver_keeps_a_driverid_that_is_its_own() -> None:
    own = MOTIVE.shown("501")
    batch = MOTIVE.batch(own, claimed={"driverid:d-7": MOTIVE.driver})
    assert batch.attainable(MOTIVE.desired(), own) == MOTIVE.desired()


def test_only_identifiers_that_changed_hands_have_moved() -> None:
    batch = Batch(Target.DRIVERI, claimed={"key:d-1": CAROL, "key:d-7": BOB})
    assert batch.moved == frozenset()
    confirmed = _link(CREATED, DRIVERI.fact(Confirmed, decision=1, key="D-7", profile={}))
    batch.record(_link(CREATED), confirmed, ())
    assert batch.moved == {"key:d-7"}


def test_what_the_target_confirms_counts_more_than_what_another_driver_desires() -> None:
    identifier = MOTIVE.desired().identifiers[-1]
    batch = Batch(Target.MOTIVE, claimed={identifier: BOB})
    before = replay(MOTIVE.nothing, in_sequence(MOTIVE.nothing, MOTIVE.linked(key="7")[:1]))
    after = replay(MOTIVE.nothing, in_sequence(MOTIVE.nothing, MOTIVE.linked(key="7")))
    batch.record(before, after, ())
    assert batch.holder(identifier) == MOTIVE.driver
    assert batch.dispossessed == {BOB}
    batch.dispossessed.clear()
    batch.record(after, replace(after, version=after.version + 1), ())
    assert batch.dispossessed == set(), "only what is confirmed again"


def test_a_batch_knows_of_each_driver_that_it_decides_whether_the_portal_has_it() -> None:
    batch = Batch(Target.MOTIVE, links={MOTIVE.driver: MOTIVE.nothing})
    batch.decide(MOTIVE.desired(), lambda _link, _batch: ())
    assert batch.wanted == {MOTIVE.driver}
    batch.decide(MOTIVE.desired(is_wanted=False), lambda _link, _batch: ())
    assert batch.wanted == set()


def test_a_batch_keeps_what_was_decided_and_decides_the_next_link_by_it() -> None:
    bob = replace(DRIVERI.nothing, driver=BOB)
    batch = Batch(Target.DRIVERI, links={DRIVERI.driver: _link(CREATED), BOB: bob}, claimed={"key:d-7": DRIVERI.driver})
    moved = in_sequence(_link(CREATED), [MOVED])
    batch.decide(DRIVERI.desired(), lambda _link, _batch: moved)
    assert batch.events == [*moved]
    assert batch.links == {DRIVERI.driver: _link(CREATED, MOVED), BOB: bob}
    assert batch.freed == {"key:d-7"}

    def decide_nothing(link: DriverLink, batch: Batch) -> tuple[LinkEvent, ...]:
        assert (link, batch.holder("key:d-8")) == (bob, DRIVERI.driver)
        return ()

    batch.decide(replace(DRIVERI.desired(), driver=BOB), decide_nothing)
    assert batch.events == [*moved]


def test_a_roster_names_the_portal_drivers_whose_external_ids_it_carries() -> None:
    carried = replace(MOTIVE.shown("7"), profile={**MOTIVE.shown("7").profile, "portal_driver_id": "jane"})
    stranger = ObservedDriver(key=Key("8"), active=True, profile={"email": "x@fleet.test"})
    assert Roster(Target.MOTIVE, [carried, stranger]).portal_drivers == {"jane"}
