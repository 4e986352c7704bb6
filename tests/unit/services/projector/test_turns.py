"""Whose turn it is, however many accounts there are."""

from domain.identity import AccountId
from services.projector.deliveries import Turns

A, B, C = AccountId("a"), AccountId("b"), AccountId("c")


def turns(**due: str) -> Turns:
    """Accounts with something that is due from these moments on; it is 5."""
    found = Turns()
    for account, moment in due.items():
        found.add(AccountId(account), moment, "5")
    return found


def test_accounts_are_ready_in_the_order_in_which_something_became_due() -> None:
    assert [*turns(b="5", a="3", c="7").ready("5")] == [B, A]


def test_an_account_that_was_served_comes_behind_the_others() -> None:
    found = turns(a="1", b="1")
    found.served(A)
    assert [*found.ready("5")] == [B, A]


def test_an_account_becomes_ready_when_its_first_delivery_is_due() -> None:
    found = turns(a="9", b="7")
    found.add(A, "8", "5")
    assert (found.next_moment(), [*found.ready("6")]) == ("7", [])
    assert [*found.ready("7")] == [B]
    assert (found.next_moment(), [*found.ready("8")]) == ("8", [B, A])
    assert found.next_moment() == ""


def test_an_account_of_which_nothing_is_due_rests_until_something_is() -> None:
    found = turns(a="1", b="1", c="1")
    found.rests(A, "")
    found.rests(B, "6")
    assert [*found.ready("5")] == [C]
    assert [*found.ready("6")] == [C, B]
    found.add(A, "6", "6")
    assert found.is_ready(A)
