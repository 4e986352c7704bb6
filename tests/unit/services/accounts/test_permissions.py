"""Who may do what."""

from collections.abc import Callable

import pytest

from domain.account import Mode, NotPermitted, Tier
from domain.identity import Target
from tests.unit.services.accounts.accounts_stand import MANAGER, MASTER, STRANGER, AccountsStand

Asking = Callable[[AccountsStand, str], object]

ASKED: dict[str, Asking] = {
    "allow": AccountsStand.allow,
    "turn on": AccountsStand.turn_on,
    "turn off": AccountsStand.turn_off,
    "set mode": lambda stand, by: stand.set_mode(Target.MOTIVE, Mode.OBSERVE, by),
}
MAY = {("allow", MANAGER), ("turn on", MASTER), ("turn off", MASTER), ("set mode", MASTER), ("set mode", MANAGER)}
PEOPLE = (MASTER, MANAGER, STRANGER, "operator", "", MASTER.upper())


@pytest.mark.parametrize(("asked", "by"), [(asked, by) for asked in ASKED for by in PEOPLE if (asked, by) in MAY])
def test_a_person_in_the_right_role_may(stand: AccountsStand, asked: str, by: str) -> None:
    stand.add()
    if asked == "turn off":
        stand.turn_on()
    before = len(stand.facts)
    ASKED[asked](stand, by)
    (fact,) = stand.facts[before:]
    assert (fact.by, fact.role) == (by, "account_manager" if by == MANAGER else "master_user")


@pytest.mark.parametrize(("asked", "by"), [(asked, by) for asked in ASKED for by in PEOPLE if (asked, by) not in MAY])
@pytest.mark.parametrize("manager", [MANAGER, ""])
def test_anybody_else_may_not_and_nothing_is_stored(stand: AccountsStand, asked: str, by: str, manager: str) -> None:
    stand.add(manager=manager)
    with pytest.raises(NotPermitted):
        ASKED[asked](stand, by)
    assert stand.told == ["AccountAdded"]


def test_a_standard_account_is_turned_on_only_after_its_manager_has_allowed_it(stand: AccountsStand) -> None:
    stand.add(tier=Tier.STANDARD)
    with pytest.raises(NotPermitted, match="its account manager must allow Sync Drivers first"):
        stand.turn_on()
    stand.allow(MANAGER)
    assert stand.turn_on().is_on
    assert stand.told == ["AccountAdded", "SyncAllowed", "SyncTurnedOn"]


@pytest.mark.parametrize("tier", [Tier.PRO, Tier.ENTERPRISE])
def test_other_tiers_need_no_permission(stand: AccountsStand, tier: Tier) -> None:
    stand.add(tier=tier)
    assert stand.turn_on().is_on
