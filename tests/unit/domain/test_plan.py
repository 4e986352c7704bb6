"""What a reconciliation would do, as a value with a hash."""

import random
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Decision,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DriftFound,
    LinkDecided,
    LinkEvent,
    Parked,
    ReinstateDecided,
    Released,
    RenameDecided,
    UpdateDecided,
)
from domain.identity import AccountId, PortalDriverId, Target, link_stream
from domain.reconciliation import Action, Plan, PlanPart, PlanStep, PlanTally, step_after

ACME = AccountId("acme")
AT = datetime(2026, 3, 2, tzinfo=UTC)


def origin(driver: str = "1", version: int = 1) -> dict[str, Any]:
    return {
        "originator_id": link_stream(ACME, Target.DRIVERI, PortalDriverId(driver)),
        "originator_version": version,
        "at": AT,
        "account": "acme",
        "target": "driveri",
        "driver": driver,
    }


def decided(kind: type[Decision], situation: str = "OUTDATED", **said: Any) -> Decision:  # noqa: ANN401 - any field
    given: dict[str, Any] = {
        "sequence": 1,
        "key": "D1",
        "desired_key": "D2",
        "profile": {"email": "jane@fleet.test"},
        "fields": ["email"],
        "answers": 0,
        "policy_generation": 1,
        "waits_for": "",
        "rationale": {"situation": situation},
    }
    return kind(**origin(), **given | said)


def held() -> DeleteHeld:
    return DeleteHeld(**origin(), sequence=1, key="D1", rationale={"situation": "ORPHANED"})


def parked(detail: str = "portal driver 2 has claimed its id") -> Parked:
    return Parked(
        **origin(),
        sequence=1,
        reason="conflict",
        detail=detail,
        waits_for="key:d1",
        holder="2",
        rationale={"situation": "CONFLICT"},
    )


def drifted(**profile: str) -> DriftFound:
    return DriftFound(
        **origin(),
        fields=sorted(profile),
        profile=profile,
        decision=1,
        first_seen=AT.isoformat(),
        reconciliation=1,
        at_odds=[],
        rationale={"situation": "DRIFTED"},
    )


def ended() -> Confirmed:
    return Confirmed(**origin(), decision=0, key=None, profile={}, unlike=[])


def to_part(account: AccountId, target: Target, steps: list[PlanStep]) -> PlanPart:
    tally = PlanTally(account, target)
    tally.add(steps)
    return tally.part()


def step_of(*facts: LinkEvent) -> PlanStep | None:
    step: PlanStep | None = None
    for fact in facts:
        step = step_after(step, fact)
    return step


@pytest.mark.parametrize(
    ("fact", "action"),
    [
        (decided(CreateDecided), Action.CREATE),
        (decided(LinkDecided), Action.LINK),
        (decided(ReinstateDecided), Action.REINSTATE),
        (decided(RenameDecided), Action.RENAME),
        (decided(UpdateDecided), Action.UPDATE),
        (decided(DeleteDecided), Action.DELETE),
        (decided(DeleteDecided, key=None), Action.WITHDRAW),
        (held(), Action.HOLD),
        (DeleteRecalled(**origin()), Action.RECALL),
        (parked(), Action.PARK),
        (Released(**origin(), reason="conflict"), Action.RELEASE),
        (ended(), Action.END),
    ],
)
def test_every_fact_of_a_reconciliation_has_an_action_and_a_reason(fact: LinkEvent, action: Action) -> None:
    step = step_of(fact)
    assert step is not None
    assert (step.action, step.driver, step.target) == (action, "1", Target.DRIVERI)
    assert step.reason


def test_a_decision_becomes_a_step_with_all_that_it_says() -> None:
    assert step_of(decided(RenameDecided, "RENAMED")) == PlanStep(
        target=Target.DRIVERI,
        driver=PortalDriverId("1"),
        action=Action.RENAME,
        situation="RENAMED",
        key="D1",
        desired_key="D2",
        fields=["email"],
        reason="has another id in the Portal",
        written={"email": "jane@fleet.test"},
    )


def test_the_newest_fact_of_a_driver_counts() -> None:
    step = step_of(decided(UpdateDecided), Released(**origin(), reason="conflict"), parked("two have its e-mail"))
    assert step is not None
    assert (step.action, step.reason, step.fields) == (Action.PARK, "two have its e-mail", [])


def test_an_override_names_the_fields_that_drifted_and_is_one_step() -> None:
    step = step_of(drifted(email="eve@fleet.test"), decided(UpdateDecided, "DRIFTED"))
    assert step is not None
    assert (step.action, step.fields, step.overridden) == (Action.UPDATE, ["email"], {"email": "eve@fleet.test"})
    assert step_of(drifted(email="x")) == step_of(decided(CreateDecided), drifted(email="x"))


def test_what_a_target_refused_is_a_step_without_a_situation() -> None:
    refused = replace(parked("answered 422"), reason="refused", rationale={"trigger": "answer", "ref": "decision 1"})
    step = step_of(refused)
    assert step is not None
    assert (step.action, step.situation, step.reason) == (Action.PARK, "", "answered 422")


def test_a_persons_decision_is_not_a_step_of_a_reconciliation() -> None:
    approved = DeleteApproved(**origin(), hold=1, by="ann", digest="0")
    assert step_of(approved) is None
    assert step_of(held(), approved) == step_of(held())


def test_values_are_not_shown_by_a_step() -> None:
    assert "fleet.test" not in repr(step_of(drifted(email="eve@fleet.test"), decided(UpdateDecided)))


def test_times_and_versions_do_not_matter() -> None:
    one = decided(UpdateDecided)
    other = replace(one, originator_version=9, at=AT.replace(year=2027), answers=4, policy_generation=8, sequence=3)
    assert step_of(one) == step_of(other)


STEPS = st.builds(
    PlanStep,
    target=st.just(Target.DRIVERI),
    driver=st.text(max_size=3).map(PortalDriverId),
    action=st.sampled_from(Action),
    situation=st.sampled_from(["ABSENT", "FOUND"]),
    key=st.text(max_size=3),
    desired_key=st.text(max_size=3),
    fields=st.lists(st.sampled_from(["email", "phone"]), unique=True),
    reason=st.text(max_size=3),
    written=st.dictionaries(st.sampled_from(["email", "phone"]), st.text(max_size=3)),
    overridden=st.dictionaries(st.sampled_from(["email", "phone"]), st.text(max_size=3)),
)


@given(st.lists(STEPS, max_size=8), st.randoms())
def test_the_order_of_steps_does_not_matter(steps: list[PlanStep], rng: random.Random) -> None:
    mixed = list(steps)
    rng.shuffle(mixed)
    assert to_part(ACME, Target.DRIVERI, mixed) == to_part(ACME, Target.DRIVERI, steps)


@given(st.lists(STEPS, min_size=1, max_size=5), STEPS, st.sampled_from([each.name for each in fields(PlanStep)]))
def test_any_change_of_a_value_changes_the_hash(steps: list[PlanStep], other: PlanStep, field: str) -> None:
    changed = replace(steps[0], **{field: getattr(other, field)})
    hashes = {to_part(ACME, Target.DRIVERI, each).digest for each in (steps, [changed, *steps[1:]])}
    assert (len(hashes) == 1) == (changed == steps[0])


@given(st.lists(STEPS, max_size=5), STEPS)
def test_one_more_step_makes_another_plan(steps: list[PlanStep], one_more: PlanStep) -> None:
    parts = [to_part(ACME, Target.DRIVERI, each) for each in (steps, [*steps, one_more])]
    assert parts[0].digest != parts[1].digest


def test_the_hash_of_a_plan_names_its_account_and_its_targets_too() -> None:
    acme, beta = (to_part(AccountId(account), Target.DRIVERI, []) for account in ("acme", "beta"))
    motive = to_part(ACME, Target.MOTIVE, [])
    plans = [
        Plan(account=ACME, parts=(acme,)),
        Plan(account=ACME, parts=(motive,)),
        Plan(account=ACME, parts=(acme, motive)),
        Plan(account=AccountId("beta"), parts=(beta,)),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert {len(plan.digest) for plan in plans} == {16}
    assert Plan(account=ACME, parts=(motive, acme)).digest == plans[2].digest


def test_a_plan_counts_its_steps_by_action_in_the_order_in_which_people_read_them() -> None:
    facts = [parked(), decided(UpdateDecided), parked(), decided(CreateDecided)]
    part = to_part(ACME, Target.DRIVERI, [step for fact in facts if (step := step_of(fact))])
    assert list(part.counts.items()) == [(Action.CREATE, 1), (Action.UPDATE, 1), (Action.PARK, 2)]
    assert not Plan(account=ACME, parts=(part,)).is_empty
    assert Plan(account=ACME, parts=(to_part(ACME, Target.DRIVERI, []),)).is_empty
