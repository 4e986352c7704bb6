"""What the Portal states becomes a change only when it says something new."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from domain.identity import AccountId, PortalDriverId, portal_driver_stream
from domain.portal import (
    Change,
    DriverCreated,
    DriverDeleted,
    DriverMissed,
    DriverSeenAgain,
    DriverUpdated,
    PortalDriver,
    PortalDriverEvent,
    Statement,
    replay,
)
from domain.profile import StatedProfile

FLEET, JANE = AccountId("fleet-1"), PortalDriverId("jane")
AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
STATEMENT = Statement(at=AT, source="csv")
NOBODY = PortalDriver(account=FLEET, driver=JANE)
PROFILE = {"first_name": "Jane", "ref_id": "0042"}

When = Callable[[PortalDriver], tuple[PortalDriverEvent, ...]]


def _note(kind: type[PortalDriverEvent], version: int) -> PortalDriverEvent:
    stream = portal_driver_stream(FLEET, JANE)
    return kind(originator_id=stream, originator_version=version, at=AT, account=FLEET, driver=JANE, source="csv")


def _change(kind: type[Change], version: int, profile: dict[str, str]) -> Change:
    return kind(
        originator_id=portal_driver_stream(FLEET, JANE),
        originator_version=version,
        at=AT,
        account=FLEET,
        driver=JANE,
        source="csv",
        profile=profile,
    )


def _present(profile: dict[str, str]) -> When:
    return lambda known: STATEMENT.present(known, StatedProfile(fields=profile))


CREATED = _change(DriverCreated, 1, PROFILE)


def _scenario(*, given: Sequence[PortalDriverEvent], when: When, then: Sequence[PortalDriverEvent]) -> PortalDriver:
    """Demand exactly these facts, and that a replay from scratch ends in the same state."""
    before = replay(NOBODY, given)
    facts = when(before)
    assert facts == tuple(then)
    assert replay(before, facts) == replay(NOBODY, [*given, *facts])
    return replay(before, facts)


def test_a_driver_who_is_new_is_created_with_a_tidy_profile() -> None:
    stated = {"ref_id": " 0042 ", "first_name": "Jane", "email": "  ", "shoe_size": "9"}
    after = _scenario(given=[], when=_present(stated), then=[CREATED])
    assert (after.is_there, after.profile, after.version) == (True, PROFILE, 1)


def test_the_same_profile_again_is_silence() -> None:
    _scenario(given=[CREATED], when=_present({**PROFILE, "email": ""}), then=[])


def test_another_profile_is_an_update_with_a_higher_sequence() -> None:
    updated = _change(DriverUpdated, 2, {"first_name": "Janet", "ref_id": "0042"})
    _scenario(given=[CREATED], when=_present({**PROFILE, "first_name": "Janet"}), then=[updated])
    assert updated.sequence > CREATED.sequence


def test_a_deletion_keeps_the_last_profile_and_is_said_once() -> None:
    deleted = _change(DriverDeleted, 2, PROFILE)
    after = _scenario(given=[CREATED], when=STATEMENT.deleted, then=[deleted])
    assert not after.is_there
    _scenario(given=[CREATED, deleted], when=STATEMENT.deleted, then=[])


@pytest.mark.parametrize("when", [STATEMENT.deleted, STATEMENT.absent])
def test_a_driver_that_the_portal_never_had_cannot_be_missing(when: When) -> None:
    _scenario(given=[], when=when, then=[])


def test_a_rehire_is_created_again_in_the_same_history() -> None:
    deleted = _change(DriverDeleted, 2, PROFILE)
    _scenario(given=[CREATED, deleted], when=_present(PROFILE), then=[_change(DriverCreated, 3, PROFILE)])


MISSED = _note(DriverMissed, 2)


def test_one_snapshot_that_lacks_a_driver_is_not_a_deletion() -> None:
    after = _scenario(given=[CREATED], when=STATEMENT.absent, then=[MISSED])
    assert after.is_there


def test_two_snapshots_in_a_row_that_lack_a_driver_are_a_deletion() -> None:
    _scenario(given=[CREATED, MISSED], when=STATEMENT.absent, then=[_change(DriverDeleted, 3, PROFILE)])


def test_a_driver_seen_between_two_snapshots_is_not_deleted_by_the_second() -> None:
    seen = _note(DriverSeenAgain, 3)
    _scenario(given=[CREATED, MISSED], when=_present(PROFILE), then=[seen])
    _scenario(given=[CREATED, MISSED, seen], when=STATEMENT.absent, then=[_note(DriverMissed, 4)])


def test_an_update_between_two_snapshots_counts_as_seen() -> None:
    updated = _change(DriverUpdated, 3, {**PROFILE, "email": "jane@fleet.example"})
    after = _scenario(given=[CREATED, MISSED], when=_present(updated.profile), then=[updated])
    assert not after.missed
