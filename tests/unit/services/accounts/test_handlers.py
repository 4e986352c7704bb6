from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adapters.store.sqlite import SqliteStore
from domain.account import Account, AccountAdded, AccountEvent, Mode, NotPermitted, Request, Tier, apply, replay
from domain.identity import AccountId, Target
from domain.store import Event
from services.accounts.handlers import UnknownAccount, accounts_of, keep_accounts, to_account, to_row
from tests.golden.samples import SAMPLES
from tests.unit.services.accounts.accounts_stand import ACCOUNT, MANAGER, MASTER, NOW, ROWS, AccountsStand

Work = Callable[[], object]


def live(stand: AccountsStand) -> None:
    """Everything that an account goes through."""
    stand.add(tier=Tier.STANDARD)
    stand.allow(MANAGER)
    stand.turn_on()
    stand.set_mode(Target.MOTIVE, Mode.OBSERVE)
    stand.turn_off()
    stand.turn_on()


def test_an_account_is_added_with_sync_off(stand: AccountsStand) -> None:
    stand.add(tier=Tier.STANDARD)
    account = stand.accounts.show(ACCOUNT)
    assert (account.tier, account.master_user, account.account_manager) == (Tier.STANDARD, MASTER, MANAGER)
    assert (account.is_on, account.is_allowed, account.mode(Target.DRIVERI)) == (False, False, Mode.OFF)
    (fact,) = stand.facts
    assert isinstance(fact, AccountAdded)
    assert (fact.at, fact.by, fact.role, fact.modes) == (
        NOW,
        "operator",
        "operator",
        {"driveri": "full", "motive": "full"},
    )


def test_an_account_is_added_once(stand: AccountsStand) -> None:
    stand.add()
    with pytest.raises(NotPermitted, match="account acme exists already"):
        stand.add(tier=Tier.STANDARD)
    assert stand.told == ["AccountAdded"]
    assert stand.accounts.show(ACCOUNT).tier is Tier.PRO


def test_a_row_has_all_that_the_facts_of_an_account_set() -> None:
    account = Account(account=AccountId(ACCOUNT))
    for fact in SAMPLES.values():
        if isinstance(fact, AccountEvent):
            account = apply(account, fact)
            assert to_account(to_row(account)) == account, type(fact).__name__


def test_an_unknown_account_is_reported_with_where_to_look(stand: AccountsStand) -> None:
    stand.add("other")
    works: tuple[Work, ...] = (lambda: stand.accounts.show(ACCOUNT), stand.turn_on, lambda: stand.allow(MANAGER))
    for work in works:
        with pytest.raises(UnknownAccount, match="there is no account acme; see `driverlink accounts list`"):
            work()
    assert stand.told == ["AccountAdded"]


def test_every_account_is_listed_in_the_order_of_ids(stand: AccountsStand) -> None:
    assert stand.accounts.all() == []
    for name in ("b", "a", "C"):
        stand.add(name)
    assert [account.account for account in stand.accounts.all()] == ["C", "a", "b"]


def test_each_fact_says_who_and_when_and_is_numbered(stand: AccountsStand) -> None:
    live(stand)
    assert stand.told == ["AccountAdded", "SyncAllowed", "SyncTurnedOn", "ModeSet", "SyncTurnedOff", "SyncTurnedOn"]
    assert [fact.originator_version for fact in stand.facts] == [1, 2, 3, 4, 5, 6]
    assert [fact.by for fact in stand.facts] == ["operator", MANAGER, MASTER, MASTER, MASTER, MASTER]
    assert {fact.at for fact in stand.facts} == {NOW}
    assert {fact.account for fact in stand.facts} == {ACCOUNT}


def test_what_is_so_already_adds_no_fact(stand: AccountsStand) -> None:
    stand.add()
    stand.turn_off()
    assert stand.told == ["AccountAdded"]
    works: tuple[Work, ...] = (
        lambda: stand.allow(MANAGER),
        stand.turn_on,
        lambda: stand.set_mode(Target.MOTIVE, Mode.UPSERT),
    )
    for work in works:
        work()
        before = (stand.accounts.show(ACCOUNT), stand.store.log.end())
        assert work() == before[0]
        assert (stand.accounts.show(ACCOUNT), stand.store.log.end()) == before


def test_an_answer_is_the_account_as_it_is_shown_from_then_on(stand: AccountsStand) -> None:
    assert stand.add() == stand.accounts.show(ACCOUNT)
    assert stand.turn_on() == stand.accounts.show(ACCOUNT)
    assert stand.accounts.show(ACCOUNT).mode(Target.MOTIVE) is Mode.FULL


def test_accounts_are_apart(stand: AccountsStand) -> None:
    stand.add()
    stand.add("other")
    stand.turn_on()
    assert [account.is_on for account in stand.accounts.all()] == [True, False]


def test_what_is_shown_is_what_the_log_says(stand: AccountsStand) -> None:
    live(stand)
    assert stand.accounts.show(ACCOUNT) == replay(Account(account=ACCOUNT), stand.facts)


def test_a_policy_generation_begins_with_each_change_of_policy(stand: AccountsStand) -> None:
    live(stand)
    stand.set_mode(Target.DRIVERI, Mode.UPSERT)
    assert stand.accounts.show(ACCOUNT).policy_generation == {Target.DRIVERI: 7, Target.MOTIVE: 6}


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_who_follows_the_log_knows_the_same_accounts(stand: AccountsStand, tmp_path: Path, batch: int) -> None:
    live(stand)
    stand.add("other")
    facts = stand.facts
    with closing(SqliteStore(tmp_path / "follower.sqlite", log_name="follower.v1", rows=ROWS)) as store:
        for begin in range(0, len(facts), batch):
            store.commit(keep_accounts(store, facts[begin : begin + batch]))
        known = accounts_of(store, ["acme", "other", "nobody"])
    assert list(known.values()) == stand.accounts.all()


def test_a_consumer_of_the_log_passes_over_what_is_not_a_fact_about_an_account(stand: AccountsStand) -> None:
    stranger = Event(originator_id=Account(account=ACCOUNT).id, originator_version=1, at=NOW, account=ACCOUNT)
    assert keep_accounts(stand.store, [stranger]).rows == {}


def test_a_request_that_answers_with_nothing_leaves_no_trace(stand: AccountsStand) -> None:
    account = stand.accounts.add(AccountId("none"), "operator", lambda _request, _known: ())
    assert account == Account(account=AccountId("none"))
    assert (stand.accounts.all(), stand.told) == ([], [])


def test_a_request_carries_who_asks_and_when(stand: AccountsStand) -> None:
    asked: list[Request] = []

    def asking(request: Request, _known: Account) -> tuple[()]:
        asked.append(request)
        return ()

    stand.accounts.add(AccountId("none"), "operator", asking)
    assert asked == [Request(by="operator", at=NOW)]
