"""Which changes give a driver other identifiers, and how many of them may be in a day."""

import pytest

from domain.guard import ReKeyingGuard, digest_of_rekeying, identifiers, is_rekeyed, replaced
from domain.identity import AccountId, PortalDriverId

BOTH = {"driveri_driver_id": "DRV-1", "ref_id": "0001"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (BOTH, BOTH, False),
        (BOTH, {**BOTH, "first_name": "Jane"}, False),
        (BOTH, {"ref_id": "0001"}, True),
        (BOTH, {"driveri_driver_id": "DRV-1"}, True),
        (BOTH, {**BOTH, "driveri_driver_id": "drv-1"}, True),
        (BOTH, {**BOTH, "ref_id": "1"}, True),
        (BOTH, {}, True),
        ({"ref_id": "0001"}, BOTH, True),
        ({"driveri_driver_id": "DRV-1"}, BOTH, False),
        ({}, BOTH, False),
    ],
)
def test_a_driver_that_loses_or_changes_an_identifier_is_rekeyed(
    before: dict[str, str], after: dict[str, str], expected: object
) -> None:
    assert is_rekeyed(identifiers(before), identifiers(after)) is expected


@pytest.mark.parametrize(
    ("known", "counted", "many", "held"),
    [(8, 0, 3, False), (8, 0, 4, True), (8, 3, 1, True), (8, 3, 0, False), (100, 0, 5, False), (100, 1, 5, True)],
)
def test_three_or_a_twentieth_of_the_drivers_may_be_rekeyed_in_a_day(
    known: int, counted: int, many: int, held: object
) -> None:
    assert ReKeyingGuard(known=known, counted=counted).holds(many) is held


@pytest.mark.parametrize(
    ("new", "known", "lacking", "expected"), [(8, 0, 8, 8), (20, 0, 8, 8), (4, 0, 8, 4), (4, 4, 4, 0), (50, 100, 0, 0)]
)
def test_mostly_new_drivers_may_stand_for_those_that_a_list_lacks(
    new: int, known: int, lacking: int, expected: int
) -> None:
    assert replaced(new=new, known=known, lacking=lacking) == expected


def test_a_hash_names_exactly_one_set_of_one_account() -> None:
    jane, bob = (PortalDriverId("1"), {"key": "A"}), (PortalDriverId("2"), {"key": "B"})
    acme, other = AccountId("acme"), AccountId("other")
    assert digest_of_rekeying(acme, [jane, bob]) == digest_of_rekeying(acme, [bob, jane])
    others = [
        digest_of_rekeying(acme, [jane]),
        digest_of_rekeying(other, [jane, bob]),
        digest_of_rekeying(acme, [jane, (bob[0], {"key": "C"})]),
    ]
    assert len({digest_of_rekeying(acme, [jane, bob]), *others}) == 4
