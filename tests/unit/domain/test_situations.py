"""Every row of the table of situations as a scenario: what was, what the Portal wants, what follows."""

from collections import defaultdict
from collections.abc import Callable

import pytest

from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteDecided,
    DriftFound,
    LinkDecided,
    LinkEvent,
    Parked,
    Rationale,
    ReinstateDecided,
    RenameDecided,
    UpdateDecided,
)
from domain.identity import Key, PortalDriverId
from domain.matching import ObservedDriver, key_identifier
from domain.portal import DriverMissed, PortalDriver, Statement
from domain.profile import Profile
from domain.situations import TABLE, LinkState, PortalState, Resolution, Situation, SituationRow, TargetState, row_for
from tests.support.scenario import ACCOUNT, AT, BOB, DRIVERI, JANE, MOTIVE, Deciding, why

Told = Callable[[], SituationRow | None]

_TOLD: dict[tuple[PortalState, TargetState, Situation], list[Told]] = defaultdict(list)

FIELDS = ["email", "first_name", "last_name", "phone"]
MOVED = {**JANE, "driveri_driver_id": "D-8"}
OTHER_EMAIL = {"email": "other@fleet.example"}
BLANK = {**JANE, "driveri_driver_id": "", "ref_id": ""}
SEEN, GONE = DRIVERI.shown("D-7"), DRIVERI.shown("D-7", active=False)
OTHER = DRIVERI.shown("D-8", {**JANE, "email": "other@fleet.example"})
CONTEST = {"by": "id", "candidates": 0, "holder": BOB}


def tells(portal: PortalState, shown: TargetState, situation: Situation) -> Callable[[Told], Told]:
    """Marks a scenario of a row."""

    def keep(told: Told) -> Told:
        _TOLD[portal, shown, situation].append(told)
        return told

    return keep


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.portal}, {row.shown}: {row.situation}")
def test_every_row_is_answered_as_it_says(row: SituationRow) -> None:
    scenarios = _TOLD[row.portal, row.shown, row.situation]
    assert scenarios
    assert [told() for told in scenarios] == [row] * len(scenarios)


def test_where_no_row_stands_there_is_nothing_to_do() -> None:
    row = _unlinked(when=DRIVERI.deleted())
    assert row is not None
    assert (row.situation, row.resolution) == (Situation.UNLINKED, Resolution.NOTHING)


def _unlinked(
    *then: LinkEvent, shown: ObservedDriver | None = None, when: Deciding | None = None
) -> SituationRow | None:
    batch = DRIVERI.batch(*([shown] if shown else []))
    return DRIVERI.scenario(given=[], batch=batch, when=when or DRIVERI.wants(), then=then)


def _live(*then: LinkEvent, shown: tuple[ObservedDriver, ...], when: Deciding) -> SituationRow | None:
    return DRIVERI.scenario(given=DRIVERI.linked(), batch=DRIVERI.batch(*shown), when=when, then=then)


def _of_live(
    kind: type[Decision], rationale: Rationale, desired_key: str | None, *fields: str, profile: Profile = JANE
) -> LinkEvent:
    """A decision on the link that was confirmed under D-7."""
    return DRIVERI.said(
        kind, rationale, profile=profile, key="D-7", desired_key=desired_key, fields=list(fields), answers=1
    )


def _parked(reason: str, detail: str, rationale: Rationale, **rest: object) -> LinkEvent:
    return DRIVERI.fact(Parked, reason=reason, detail=detail, rationale=rationale, **rest)


@tells(PortalState.WANTS, TargetState.BLANK, Situation.UNKEYED)
def a_driver_without_either_id_is_parked() -> SituationRow | None:
    detail = "the Portal gives neither a Driveri DriverID nor a RefID"
    return _unlinked(_parked("unkeyed", detail, why("UNKEYED")), when=DRIVERI.wants(BLANK))


@tells(PortalState.WANTS, TargetState.BLANK, Situation.UNKEYED)
def a_linked_driver_who_loses_both_ids_stays_as_it_is() -> SituationRow | None:
    detail = "the Portal gives neither a Driveri DriverID nor a RefID"
    parked = _parked("unkeyed", detail, why("UNKEYED", linked=SEEN))
    return _live(parked, shown=(SEEN,), when=DRIVERI.wants(BLANK))


@tells(PortalState.WANTS, TargetState.CLAIMED, Situation.CONFLICT)
def a_key_that_another_driver_desired_first_is_contested() -> SituationRow | None:
    rationale = why("CONFLICT", conflict=CONTEST)
    detail = "portal driver bob has claimed its id"
    parked = _parked("conflict", detail, rationale, waits_for="key:d-7", holder=BOB)
    batch = DRIVERI.batch(claimed={"key:d-7": BOB})
    return DRIVERI.scenario(given=[], batch=batch, when=DRIVERI.wants(), then=[parked])


@tells(PortalState.WANTS, TargetState.CLAIMED, Situation.CONFLICT)
def a_linked_driver_does_not_take_a_key_that_another_link_holds() -> SituationRow | None:
    rationale = why("CONFLICT", linked=SEEN, found=OTHER, conflict=CONTEST)
    detail = "portal driver bob has claimed its id"
    parked = _parked("conflict", detail, rationale, waits_for="key:d-8", holder=BOB)
    batch = DRIVERI.batch(SEEN, OTHER, claimed={"key:d-8": BOB})
    return DRIVERI.scenario(given=DRIVERI.linked(), batch=batch, when=DRIVERI.wants(MOVED), then=[parked])


@tells(PortalState.WANTS, TargetState.CLAIMED, Situation.CONFLICT)
def two_target_drivers_with_its_mark_are_contested() -> SituationRow | None:
    twins = [ObservedDriver(key=Key(key), active=True, profile={"ref_id": "0042"}) for key in ("501", "502")]
    rationale = why("CONFLICT", conflict={"by": "RefID", "candidates": 2})
    detail = "2 target drivers have its RefID"
    parked = MOTIVE.fact(Parked, reason="conflict", detail=detail, waits_for="ref:0042", rationale=rationale)
    return MOTIVE.scenario(given=[], batch=MOTIVE.batch(*twins), when=MOTIVE.wants(), then=[parked])


@tells(PortalState.WANTS, TargetState.UNKNOWN, Situation.ABSENT)
def a_driver_whom_the_target_does_not_know_is_created() -> SituationRow | None:
    return _unlinked(DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS))


@tells(PortalState.WANTS, TargetState.UNCLAIMED, Situation.FOUND)
def a_driver_whom_the_target_has_is_adopted_and_brought_to_the_portals() -> SituationRow | None:
    found = DRIVERI.shown("D-7", {**JANE, "first_name": "J."})
    rationale = why("FOUND", found=found)
    linked = DRIVERI.said(LinkDecided, rationale, desired_key="D-7", fields=["first_name", "phone"])
    return _unlinked(linked, shown=found)


@tells(PortalState.WANTS, TargetState.DELETED, Situation.DORMANT)
def a_driver_whom_the_target_keeps_as_deleted_is_reinstated() -> SituationRow | None:
    rationale = why("DORMANT", found=GONE)
    return _unlinked(DRIVERI.said(ReinstateDecided, rationale, desired_key="D-7", fields=["phone"]), shown=GONE)


@tells(PortalState.WANTS, TargetState.UNKNOWN, Situation.MISSING)
def a_linked_driver_who_is_gone_from_the_target_is_created_again() -> SituationRow | None:
    return _live(_of_live(CreateDecided, why("MISSING"), "D-7", *FIELDS), shown=(), when=DRIVERI.wants())


@tells(PortalState.WANTS, TargetState.ELSEWHERE, Situation.MISSING)
def a_linked_driver_who_turns_up_under_another_key_is_linked_there() -> SituationRow | None:
    found = MOTIVE.shown("502")
    linked = MOTIVE.said(LinkDecided, why("MISSING", found=found), key="501", desired_key="502", answers=1)
    batch = MOTIVE.batch(found)
    return MOTIVE.scenario(given=MOTIVE.linked(key="501"), batch=batch, when=MOTIVE.wants(), then=[linked])


@tells(PortalState.WANTS, TargetState.DELETED, Situation.MISSING)
def a_linked_driver_whom_somebody_deleted_on_the_target_is_reinstated() -> SituationRow | None:
    rationale = why("MISSING", linked=GONE, found=GONE)
    return _live(_of_live(ReinstateDecided, rationale, "D-7", "phone"), shown=(GONE,), when=DRIVERI.wants())


@tells(PortalState.WANTS, TargetState.DESIRED_CHANGED, Situation.OUTDATED)
def a_changed_desired_is_an_update_that_names_the_fields() -> SituationRow | None:
    changed = {**JANE, "first_name": "Janet", "phone": "303-555-0199"}
    rationale = why("OUTDATED", linked=SEEN, found=SEEN)
    update = _of_live(UpdateDecided, rationale, "D-7", "first_name", "phone", profile=changed)
    return _live(update, shown=(SEEN,), when=DRIVERI.wants(changed))


@tells(PortalState.WANTS, TargetState.DIFFERS, Situation.DRIFTED)
def what_somebody_changed_on_the_target_is_recorded_and_overridden() -> SituationRow | None:
    drifted = DRIVERI.shown("D-7", {**JANE, "email": "other@fleet.example"})
    rationale = why("DRIFTED", linked=drifted, found=drifted)
    drift = DRIVERI.fact(DriftFound, fields=["email"], profile=OTHER_EMAIL, rationale=rationale)
    update = _of_live(UpdateDecided, rationale, "D-7", "email")
    return _live(drift, update, shown=(drifted,), when=DRIVERI.wants())


@tells(PortalState.WANTS, TargetState.EQUAL, Situation.IN_SYNC)
def a_driver_in_step_is_left_alone() -> SituationRow | None:
    return _live(shown=(SEEN,), when=DRIVERI.wants())


@tells(PortalState.WANTS, TargetState.UNKNOWN, Situation.RENAMED)
def a_new_id_that_the_target_does_not_know_renames_the_linked_driver() -> SituationRow | None:
    renamed = _of_live(RenameDecided, why("RENAMED", linked=SEEN), "D-8", profile=MOVED)
    return _live(renamed, shown=(SEEN,), when=DRIVERI.wants(MOVED))


@tells(PortalState.WANTS, TargetState.UNCLAIMED, Situation.REDIRECTED)
def a_new_id_that_the_target_has_moves_the_link_there() -> SituationRow | None:
    rationale = why("REDIRECTED", linked=SEEN, found=OTHER)
    relinked = _of_live(LinkDecided, rationale, "D-8", "email", "phone", profile=MOVED)
    return _live(relinked, shown=(SEEN, OTHER), when=DRIVERI.wants(MOVED))


@tells(PortalState.WANTS, TargetState.DELETED, Situation.REDIRECTED)
def a_new_id_that_the_target_keeps_as_deleted_is_reinstated_and_linked() -> SituationRow | None:
    dormant = DRIVERI.shown("D-8", active=False)
    rationale = why("REDIRECTED", linked=SEEN, found=dormant)
    back = _of_live(ReinstateDecided, rationale, "D-8", "phone", profile=MOVED)
    return _live(back, shown=(SEEN, dormant), when=DRIVERI.wants(MOVED))


@tells(PortalState.WANTS, TargetState.DELETED, Situation.REDIRECTED)
def a_deleted_driver_whose_id_changes_its_letter_case_is_reinstated_first() -> SituationRow | None:
    back = _of_live(ReinstateDecided, why("REDIRECTED", linked=GONE, found=GONE), "D-7", "phone")
    return _live(back, shown=(GONE,), when=DRIVERI.wants({**JANE, "driveri_driver_id": "d-7"}))


@tells(PortalState.WANTS, TargetState.BOTH_UNKNOWN, Situation.MISSING)
def a_new_id_for_a_driver_who_is_gone_from_the_target_creates_one() -> SituationRow | None:
    created = _of_live(CreateDecided, why("MISSING"), "D-8", *FIELDS, profile=MOVED)
    return _live(created, shown=(), when=DRIVERI.wants(MOVED))


@tells(PortalState.DELETED, TargetState.ON_ITS_WAY, Situation.ORPHANED)
def a_create_that_may_be_on_its_way_is_withdrawn() -> SituationRow | None:
    created = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS)
    withdrawn = DRIVERI.said(DeleteDecided, why("ORPHANED"), desired_key=None, profile={})
    return DRIVERI.scenario(given=[created], when=DRIVERI.deleted(), then=[withdrawn])


@tells(PortalState.DELETED, TargetState.THERE, Situation.ORPHANED)
def a_deleted_driver_is_deleted_on_the_target_with_the_guards_figures() -> SituationRow | None:
    rationale: Rationale = {**why("ORPHANED", linked=SEEN), "guard": {"limit": 3, "deleted": 0, "held": 0}}
    return _live(_of_live(DeleteDecided, rationale, None, profile={}), shown=(SEEN,), when=DRIVERI.deleted())


@tells(PortalState.DELETED, TargetState.GONE, Situation.GONE)
def a_deleted_driver_who_is_gone_already_ends_the_link() -> SituationRow | None:
    ended = DRIVERI.fact(Confirmed, decision=0, key=None, profile={})
    return _live(ended, shown=(), when=DRIVERI.deleted())


@tells(PortalState.DELETED, TargetState.GONE, Situation.GONE)
def a_driver_deleted_under_a_new_id_ends_the_link_all_the_same() -> SituationRow | None:
    ended = DRIVERI.fact(Confirmed, decision=0, key=None, profile={})
    return _live(ended, shown=(GONE,), when=DRIVERI.deleted(MOVED))


@tells(PortalState.NOT_IN_LIST, TargetState.THERE, Situation.UNSEEN)
def a_list_that_lacks_a_driver_changes_no_desired() -> SituationRow | None:
    known = PortalDriver(account=ACCOUNT, driver=PortalDriverId("jane"), version=1, profile=JANE)
    assert [type(fact) for fact in Statement(at=AT, source="api").absent(known)] == [DriverMissed]
    return row_for(PortalState.NOT_IN_LIST, LinkState.SAME_KEY, TargetState.THERE)


@tells(PortalState.SILENT, TargetState.THERE, Situation.UNMANAGED)
def a_target_driver_whom_nobody_desired_drivers_is_in_no_decision() -> SituationRow | None:
    created = DRIVERI.said(CreateDecided, why("ABSENT"), desired_key="D-7", fields=FIELDS)
    batch = DRIVERI.batch(unmanaged := DRIVERI.shown("D-9"))
    DRIVERI.scenario(given=[], batch=batch, when=DRIVERI.wants(), then=[created])
    assert batch.holder(key_identifier(DRIVERI.target, unmanaged.key)) is None
    return row_for(PortalState.SILENT, LinkState.NONE, TargetState.THERE)
