"""Who may ask what of an account, and what follows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.account import (
    MOST_HOLDS,
    Account,
    AccountAdded,
    AccountErased,
    AccountEvent,
    AccountManagerSet,
    AccountRemoved,
    DeletesApproved,
    DeletesJudged,
    DeletesRejected,
    MasterUserSet,
    Mode,
    ModeSet,
    NotPermitted,
    ReconciliationRequested,
    ReconciliationTimeSet,
    Removal,
    Request,
    RetryRequested,
    Role,
    SyncAllowed,
    SyncTurnedOff,
    SyncTurnedOn,
    Tier,
    TierSet,
    WantedAccount,
    replay,
)
from domain.identity import AccountId, Target, account_stream

FLEET = AccountId("fleet-1")
AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
MAX, ANN = (Request(by=person, at=AT) for person in ("max", "ann"))
"""The Master User and the account manager."""

Asking = Callable[[Account], tuple[AccountEvent, ...]]


def _fact(kind: type[AccountEvent], version: int, by: str, **fields: object) -> AccountEvent:
    roles = {"max": "master_user", "ann": "account_manager", "operator": "operator"}
    values: dict[str, Any] = {"originator_id": account_stream(FLEET), "at": AT, "account": FLEET, **fields}
    return kind(**values, originator_version=version, by=by, role=roles[by])


def _added(tier: Tier) -> AccountEvent:
    modes = {"driveri": "full", "motive": "observe"}
    return _fact(AccountAdded, 1, "operator", tier=tier, master_user="max", account_manager="ann", modes=modes)


def _after(*facts: AccountEvent) -> Account:
    return replay(Account(account=FLEET), facts)


def _scenario(*, given: Sequence[AccountEvent], when: Asking, then: Sequence[AccountEvent]) -> Account:
    """Demand exactly these facts, and that a replay from scratch ends in the same state."""
    before = _after(*given)
    facts = when(before)
    assert facts == tuple(then)
    after = replay(before, facts)
    assert after == _after(*given, *facts)
    assert after.version == len(given) + len(facts)
    return after


PRO, STANDARD = _added(Tier.PRO), _added(Tier.STANDARD)
ON = _fact(SyncTurnedOn, 2, "max")


def _add(account: Account) -> tuple[AccountEvent, ...]:
    modes = {Target.DRIVERI: Mode.FULL, Target.MOTIVE: Mode.OBSERVE}
    asking = Request(by="operator", at=AT)
    return asking.add(account, tier=Tier.PRO, master_user="max", account_manager="ann", modes=modes)


def test_an_account_is_added_once_with_synchronisation_off() -> None:
    added = _scenario(given=[], when=_add, then=[PRO])
    assert (added.is_on, added.mode(Target.DRIVERI)) == (False, Mode.OFF)
    with pytest.raises(NotPermitted, match=r"fleet-1 exists already; see `driverlink accounts show`"):
        _add(added)


def test_a_standard_account_needs_an_account_manager_to_be_allowed_ever() -> None:
    asking, modes = Request(by="operator", at=AT), {Target.DRIVERI: Mode.FULL}
    with pytest.raises(NotPermitted, match="say who that is"):
        asking.add(_after(), tier=Tier.STANDARD, master_user="max", account_manager="", modes=modes)


def test_the_master_user_turns_synchronisation_on() -> None:
    on = _scenario(given=[PRO], when=MAX.turn_on, then=[ON])
    assert (on.mode(Target.DRIVERI), on.mode(Target.MOTIVE)) == (Mode.FULL, Mode.OBSERVE)
    assert MAX.turn_on(on) == ()


def test_the_master_user_turns_synchronisation_off() -> None:
    off = _scenario(given=[PRO, ON], when=MAX.turn_off, then=[_fact(SyncTurnedOff, 3, "max")])
    assert (off.mode(Target.DRIVERI), off.mode(Target.MOTIVE)) == (Mode.OFF, Mode.OFF)
    assert MAX.turn_off(off) == ()


@pytest.mark.parametrize("person", ["ann", "eve", ""])
@pytest.mark.parametrize("turn", [Request.turn_on, Request.turn_off])
def test_only_the_master_user_turns_synchronisation_on_or_off(
    person: str, turn: Callable[[Request, Account], tuple[AccountEvent, ...]]
) -> None:
    for account in (_after(PRO), _after(PRO, ON), Account(account=FLEET)):
        with pytest.raises(NotPermitted, match="only the Master User of fleet-1"):
            turn(Request(by=person, at=AT), account)


def test_a_standard_account_needs_its_account_managers_word_first() -> None:
    with pytest.raises(NotPermitted, match=r"Standard tier.*`driverlink accounts allow`"):
        MAX.turn_on(_after(STANDARD))
    allowed = _fact(SyncAllowed, 2, "ann")
    after = _scenario(given=[STANDARD], when=ANN.allow, then=[allowed])
    assert ANN.allow(after) == ()
    _scenario(given=[STANDARD, allowed], when=MAX.turn_on, then=[_fact(SyncTurnedOn, 3, "max")])


@pytest.mark.parametrize("person", ["max", "eve", ""])
def test_only_the_account_manager_allows_it(person: str) -> None:
    for account in (_after(STANDARD), Account(account=FLEET)):
        with pytest.raises(NotPermitted, match="only the account manager of fleet-1"):
            Request(by=person, at=AT).allow(account)


@pytest.mark.parametrize("account", [_after(PRO), Account(account=FLEET)], ids=["known", "new"])
def test_in_the_name_of_somebody_without_a_part_in_the_account_nothing_is_set_up(account: Account) -> None:
    asking = Request(by="eve", at=AT, authenticated="operator")
    with pytest.raises(NotPermitted, match="eve is not the account manager of fleet-1"):
        asking.bring_to(account, WantedAccount(tier=Tier.ENTERPRISE, master_user="max"))
    with pytest.raises(NotPermitted, match="leave out `--as`"):
        asking.remove(account)
    Request(by="ann", at=AT, authenticated="operator").remove(_after(PRO))


@pytest.mark.parametrize("person", ["max", "ann"])
def test_both_roles_set_the_mode_of_one_target(person: str) -> None:
    asking = Request(by=person, at=AT)
    mode_set = _fact(ModeSet, 3, person, target="motive", mode="upsert")

    def ask(account: Account) -> tuple[AccountEvent, ...]:
        return asking.set_mode(account, Target.MOTIVE, Mode.UPSERT)

    after = _scenario(given=[PRO, ON], when=ask, then=[mode_set])
    assert (after.mode(Target.MOTIVE), after.mode(Target.DRIVERI)) == (Mode.UPSERT, Mode.FULL)
    assert ask(after) == ()


@pytest.mark.parametrize(("person", "named"), [("eve", "eve"), ("", "an unnamed person")])
def test_a_stranger_neither_sets_a_mode_nor_judges_nor_retries(person: str, named: str) -> None:
    asking = Request(by=person, at=AT)
    with pytest.raises(NotPermitted, match=f"{named} is neither the Master User nor the account manager of fleet-1"):
        asking.set_mode(_after(PRO), Target.MOTIVE, Mode.FULL)
    with pytest.raises(NotPermitted, match=named):
        asking.judge(_after(PRO), DeletesApproved, target=Target.MOTIVE, digest="c0ffee", holds=[["jane", 3]])
    with pytest.raises(NotPermitted, match=named):
        asking.retry(_after(PRO), target=Target.MOTIVE, driver="", reason="")


@pytest.mark.parametrize("verdict", [DeletesApproved, DeletesRejected])
def test_a_person_judges_exactly_the_holds_that_they_saw(verdict: type[DeletesJudged]) -> None:
    holds: list[list[str | int]] = [["jane", 3], ["joe", 7]]
    judged = _fact(verdict, 2, "ann", target="driveri", digest="c0ffee", holds=holds)
    _scenario(
        given=[PRO],
        when=lambda account: ANN.judge(account, verdict, target=Target.DRIVERI, digest="c0ffee", holds=holds),
        then=[judged],
    )


def test_many_holds_are_judged_in_facts_of_a_bounded_size() -> None:
    holds: list[list[str | int]] = [[f"p{number}", 3] for number in range(MOST_HOLDS + 1)]
    _scenario(
        given=[PRO],
        when=lambda account: ANN.judge(account, DeletesApproved, target=Target.MOTIVE, digest="c0", holds=holds),
        then=[
            _fact(DeletesApproved, 2, "ann", target="motive", digest="c0", holds=holds[:MOST_HOLDS]),
            _fact(DeletesApproved, 3, "ann", target="motive", digest="c0", holds=holds[MOST_HOLDS:]),
        ],
    )


@pytest.mark.parametrize("person", ["max", "ann"])
@pytest.mark.parametrize(("target", "stored"), [(Target.MOTIVE, "motive"), (None, "")])
def test_both_roles_ask_for_parked_links_to_be_looked_at_again(person: str, target: Target | None, stored: str) -> None:
    asked = _fact(RetryRequested, 3, person, target=stored, driver="jane", reason="invalid")
    after = _scenario(
        given=[PRO, ON],
        when=lambda account: Request(by=person, at=AT).retry(account, target=target, driver="jane", reason="invalid"),
        then=[asked],
    )
    assert after.policy_generation == _after(PRO, ON).policy_generation


def test_who_has_both_roles_acts_as_master_user() -> None:
    assert replace(_after(PRO), account_manager="max").role_of("max") is Role.MASTER_USER


def test_a_policy_generation_begins_only_for_the_targets_that_it_is_about() -> None:
    mode_set = _fact(ModeSet, 3, "max", target="motive", mode="full")
    assert _after(PRO).policy_generation == {}
    assert _after(PRO, ON).policy_generation == {Target.DRIVERI: 2, Target.MOTIVE: 2}
    assert _after(PRO, ON, mode_set).policy_generation == {Target.DRIVERI: 2, Target.MOTIVE: 3}
    assert _after(PRO, ON, _fact(SyncTurnedOff, 3, "max")).policy_generation == {Target.DRIVERI: 3, Target.MOTIVE: 3}


@pytest.mark.parametrize("person", ["max", "ann"])
def test_both_roles_request_a_reconciliation_of_all_drivers_by_a_plan(person: str) -> None:
    requested = _fact(ReconciliationRequested, 3, person, target="motive", driver="", keys=[], plan="c0ffee")
    after = _scenario(
        given=[PRO, ON],
        when=lambda account: Request(by=person, at=AT).reconciliation(account, Target.MOTIVE, plan="c0ffee"),
        then=[requested],
    )
    assert (after.reconciliations, after.plans) == ({Target.MOTIVE: 3}, {Target.MOTIVE: "c0ffee"})
    assert after.policy_generation == _after(PRO, ON).policy_generation


def test_the_last_request_counts_without_a_plan_too() -> None:
    planned, plain = (
        _fact(ReconciliationRequested, version, "max", target="motive", driver="", keys=[], plan=plan)
        for version, plan in ((3, "c0ffee"), (4, ""))
    )
    after = _after(PRO, ON, planned, plain)
    assert (after.reconciliations, after.plans) == ({Target.MOTIVE: 4}, {Target.MOTIVE: ""})


def test_a_request_about_one_driver_does_not_reconcile_all() -> None:
    requested = _fact(ReconciliationRequested, 3, "max", target="driveri", driver="417", keys=["D-417"], plan="")
    after = _scenario(
        given=[PRO, ON],
        when=lambda account: MAX.reconciliation(account, Target.DRIVERI, driver="417", keys=["D-417"]),
        then=[requested],
    )
    assert after.reconciliations == {}


def test_no_reconciliation_is_requested_where_nothing_is_synchronised() -> None:
    with pytest.raises(NotPermitted, match="nothing of fleet-1 is synchronised with driveri"):
        MAX.reconciliation(_after(PRO), Target.DRIVERI)


def test_the_time_of_daily_reconciliations_is_set_once() -> None:
    set_once = _fact(ReconciliationTimeSet, 2, "ann", reconcile_at="03:30")
    after = _scenario(given=[PRO], when=lambda account: ANN.set_reconciliation_time(account, "03:30"), then=[set_once])
    assert after.reconcile_at == "03:30"
    assert ANN.set_reconciliation_time(after, "03:30") == ()


OPERATOR = Request(by="operator", at=AT)


def test_a_new_account_that_is_wanted_is_added_and_only_observes_its_targets() -> None:
    observed = {"driveri": "observe", "motive": "observe"}
    added = _fact(AccountAdded, 1, "operator", tier="pro", master_user="max", account_manager="", modes=observed)
    timed = _fact(ReconciliationTimeSet, 2, "operator", reconcile_at="03:30")
    wanted = WantedAccount(master_user="max", reconcile_at="03:30")
    after = _scenario(given=[], when=lambda account: OPERATOR.bring_to(account, wanted), then=[added, timed])
    assert OPERATOR.bring_to(after, wanted) == ()


def test_only_what_differs_from_what_is_wanted_changes() -> None:
    wanted = WantedAccount(
        tier=Tier.STANDARD,
        master_user="eve",
        account_manager="ann",
        modes={Target.DRIVERI: Mode.FULL, Target.MOTIVE: Mode.FULL},
    )
    facts = [
        _fact(TierSet, 2, "operator", tier="standard"),
        _fact(MasterUserSet, 3, "operator", master_user="eve"),
        _fact(ModeSet, 4, "operator", target="motive", mode="full"),
    ]
    after = _scenario(given=[PRO], when=lambda account: OPERATOR.bring_to(account, wanted), then=facts)
    assert (after.tier, after.master_user, after.policy_generation) == (Tier.STANDARD, "eve", {Target.MOTIVE: 4})
    assert OPERATOR.bring_to(after, wanted) == OPERATOR.bring_to(after, WantedAccount()) == ()


def test_an_account_manager_hands_over_to_another_one_in_their_own_role() -> None:
    handed = _fact(AccountManagerSet, 2, "ann", account_manager="sam")
    wanted = WantedAccount(account_manager="sam")
    after = _scenario(given=[PRO], when=lambda account: ANN.bring_to(account, wanted), then=[handed])
    assert after.account_manager == "sam"


def test_a_master_user_cannot_change_the_people_of_the_account() -> None:
    with pytest.raises(NotPermitted, match="the Master User of fleet-1 cannot remove it"):
        MAX.bring_to(_after(PRO), WantedAccount(master_user="eve"))


@pytest.mark.parametrize(
    ("account", "wanted", "message"),
    [
        (_after(), WantedAccount(tier=Tier.PRO), "fleet-1 is new: say who its Master User is"),
        (_after(PRO), WantedAccount(master_user=""), "fleet-1 needs a Master User"),
        (_after(STANDARD), WantedAccount(account_manager=""), "say who that is"),
        (_after(), WantedAccount(tier=Tier.STANDARD, master_user="max"), "say who that is"),
    ],
)
def test_an_account_never_lacks_those_without_whom_sync_cannot_be_turned_on(
    account: Account, wanted: WantedAccount, message: str
) -> None:
    with pytest.raises(NotPermitted, match=message):
        OPERATOR.bring_to(account, wanted)


def test_sync_stays_on_when_the_people_and_the_tier_change() -> None:
    after = replay(_after(PRO, ON), OPERATOR.bring_to(_after(PRO, ON), WantedAccount(tier=Tier.STANDARD)))
    assert (after.is_on, after.mode(Target.DRIVERI)) == (True, Mode.FULL)


REMOVED = _fact(AccountRemoved, 3, "ann")
ERASED = _fact(AccountErased, 4, "operator", events={"intake": 2}, rows={})


def test_a_removed_account_writes_nothing_and_keeps_nobody_and_its_decisions_are_void() -> None:
    after = _scenario(given=[PRO, ON], when=ANN.remove, then=[REMOVED])
    assert (after.is_known, after.removal, after.master_user, after.modes) == (False, Removal.REQUESTED, "", {})
    assert (after.mode(Target.DRIVERI), after.policy_generation) == (Mode.OFF, dict.fromkeys(Target, 3))
    with pytest.raises(NotPermitted, match="the Master User of fleet-1 cannot remove it"):
        MAX.remove(_after(PRO))


def test_the_id_of_a_removed_account_is_used_again_once_its_data_is_erased() -> None:
    with pytest.raises(NotPermitted, match="its data is not erased yet"):
        _add(_after(PRO, ON, REMOVED))
    again = replay(_after(PRO, ON, REMOVED, ERASED), _add(_after(PRO, ON, REMOVED, ERASED)))
    assert (again.is_known, again.is_on, again.version, again.master_user) == (True, False, 5, "max")
    assert again == replay(Account(account=FLEET), [ERASED, *_add(_after(PRO, ON, REMOVED, ERASED))])
