"""People who want exactly what a plan says."""

from datetime import UTC, datetime

import pytest

from domain.account import (
    Account,
    Mode,
    NotPermitted,
    ReconciliationRequested,
    Request,
    SyncTurnedOff,
    SyncTurnedOn,
    Tier,
    replay,
)
from domain.identity import AccountId, Target

AT = datetime(2026, 3, 2, tzinfo=UTC)
JANE, BOB = (Request(by=person, at=AT) for person in ("jane", "bob"))
PLANS = {Target.DRIVERI: "d" * 16, Target.MOTIVE: "m" * 16}


def known(*, is_on: bool) -> Account:
    account = Account(account=AccountId("acme"))
    modes = dict.fromkeys(Target, Mode.FULL)
    added = JANE.add(account, tier=Tier.PRO, master_user="jane", account_manager="bob", modes=modes)
    account = replay(account, added)
    return replay(account, JANE.turn_on(account)) if is_on else account


def test_every_target_is_asked_for_by_its_own_plan() -> None:
    account = known(is_on=True)
    facts = BOB.go_by(account, PLANS)
    assert [(type(fact), fact.originator_version) for fact in facts] == [
        (ReconciliationRequested, 3),
        (ReconciliationRequested, 4),
    ]
    after = replay(account, facts)
    assert (after.plans, after.reconciliations) == (PLANS, {Target.DRIVERI: 3, Target.MOTIVE: 4})


def test_sync_is_turned_on_behind_the_requests() -> None:
    account = known(is_on=False)
    facts = JANE.go_by(account, PLANS)
    assert [type(fact) for fact in facts] == [ReconciliationRequested, ReconciliationRequested, SyncTurnedOn]
    assert [fact.originator_version for fact in facts] == [2, 3, 4]
    after = replay(account, facts)
    assert (after.is_on, after.plans, after.policy_generation) == (True, PLANS, dict.fromkeys(Target, 4))


def test_only_the_master_user_goes_by_a_plan_that_turns_sync_on() -> None:
    with pytest.raises(NotPermitted, match="only the Master User"):
        BOB.go_by(known(is_on=False), PLANS)


def test_a_plan_of_one_target_does_not_turn_sync_on_for_another() -> None:
    account, of_one = known(is_on=False), {Target.DRIVERI: "d" * 16}
    with pytest.raises(NotPermitted, match="reconciles motive too, which this plan leaves out"):
        JANE.go_by(account, of_one)
    alone = replay(account, JANE.set_mode(account, Target.MOTIVE, Mode.OFF))
    assert [type(fact) for fact in JANE.go_by(alone, of_one)] == [ReconciliationRequested, SyncTurnedOn]


def test_a_plan_is_void_once_sync_is_off_or_its_target_has_another_mode() -> None:
    account = known(is_on=True)
    account = replay(account, JANE.go_by(account, PLANS))
    other_mode = replay(account, JANE.set_mode(account, Target.DRIVERI, Mode.UPSERT))
    assert other_mode.plans == {Target.MOTIVE: PLANS[Target.MOTIVE]}
    facts = JANE.turn_off(account)
    assert [type(fact) for fact in facts] == [SyncTurnedOff]
    assert replay(account, facts).plans == {}
