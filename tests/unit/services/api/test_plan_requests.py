"""Plans as commands ask for them, and people who want one done."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from domain.account import Mode, ReconciliationRequested, SyncTurnedOn
from domain.driver_link import unlinked
from domain.failures import Reason, TargetFailed, Unavailable
from domain.identity import AccountId, Key, PortalDriverId, Target
from domain.matching import ObservedDriver
from domain.store import Unit
from services.decider.read_models import to_link_row
from services.projector.service import ProjectorApp
from tests.support.reached_twins import Twins, reached_twins
from tests.support.target_twin import TargetTwin
from tests.unit.services.api.api_stand import ApiStand, Json

pytestmark = pytest.mark.anyio


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> Twins:
    return reached_twins(monkeypatch)


@pytest.fixture
def stand(tmp_path: Path, twins: Twins) -> Iterator[ApiStand]:
    assert twins
    stand = ApiStand(tmp_path)
    yield stand
    stand.close()


async def add(stand: ApiStand) -> None:
    """Drivers 1, unknown in Driveri, and 2, known there; sync is off, jane is the Master User."""
    people = {"master_user": "jane", "account_manager": "bob"}
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", **people})
    for driver in ("1", "2"):
        profile = {"first_name": "Jane", "last_name": "Doe", "driveri_driver_id": f"D{driver}"}
        await stand.post("/accounts/acme/drivers", {"action": "create", "driver": driver, "profile": profile})


def told(answer: httpx.Response) -> list[Json]:
    """The lines of a long answer, without how far it is."""
    assert answer.status_code == 200, answer.text
    lines = [json.loads(text) for text in answer.text.splitlines()]
    return [line for line in lines if "progress" not in line]


async def plan(stand: ApiStand, **query: str) -> tuple[list[Json], Json]:
    """The steps of a plan, and its end."""
    *pages, last = told(await stand.get("/accounts/acme/plan", **query))
    return [step for page in pages for step in page["steps"]], last["plan"]


def asked(stand: ApiStand) -> list[object]:
    """What was stored of reconciliations and sync."""
    events = [record.event for record in stand.stores["accounts"].log.read(0, 100)]
    return [each for each in events if isinstance(each, ReconciliationRequested | SyncTurnedOn)]


async def test_a_plan_is_ordered_by_target_action_and_driver_with_its_reasons(stand: ApiStand, twins: Twins) -> None:
    await add(stand)
    shown = ObservedDriver(key=Key("D2"), active=True, profile={"first_name": "Eve", "last_name": "Doe"})
    twins[Target.DRIVERI].drivers.put(shown)
    steps, end = await plan(stand, target="driveri")
    assert [(step["action"], step["driver"], step["desired_key"], step["reason"]) for step in steps] == [
        ("create", "1", "D1", "is not on the target yet"),
        ("link", "2", "D2", "is on the target already, and not linked"),
    ]
    assert steps[1]["fields"] == ["first_name"]
    assert end["counts"] == {"driveri": {"create": 1, "link": 1}}
    assert (end["sync"], end["modes"], end["left_out"], len(end["digest"])) == ("off", {"driveri": "full"}, [], 16)
    assert [step["name"] for step in steps] == ["Jane Doe", "Jane Doe"]
    assert "Eve" not in json.dumps([steps, end])


async def test_a_plan_says_who_was_refused_before_and_is_tried_again(stand: ApiStand, twins: Twins) -> None:
    assert twins
    await add(stand)
    link = unlinked(AccountId("acme"), Target.DRIVERI, PortalDriverId("1"))
    unit = Unit()
    unit.keep([replace(to_link_row(link), state="parked", reason=str(Reason.TAKEN_ELSEWHERE))])
    stand.decider.commit(unit)
    steps, _ = await plan(stand, target="driveri")
    assert [(step["driver"], step["action"], step["reason"]) for step in steps] == [
        ("1", "create", "is not on the target yet; refused before (taken elsewhere), and tried again"),
        ("2", "create", "is not on the target yet"),
    ]


async def test_a_plan_is_the_same_until_something_changes(stand: ApiStand, twins: Twins) -> None:
    await add(stand)
    first, again = await plan(stand), await plan(stand)
    assert first == again
    twins[Target.DRIVERI].drivers.put(ObservedDriver(key=Key("D2"), active=True, profile={}))
    assert (await plan(stand))[1]["digest"] != first[1]["digest"]


async def test_a_plan_of_one_driver_has_no_hash(stand: ApiStand) -> None:
    await add(stand)
    steps, end = await plan(stand, driver="d2")
    assert [(step["target"], step["driver"]) for step in steps] == [("driveri", "2"), ("motive", "2")]
    assert (end["driver"], end["digest"]) == ("2", "")


async def test_a_target_whose_mode_is_off_is_left_out(stand: ApiStand) -> None:
    await add(stand)
    await stand.set_mode("acme", Target.MOTIVE, Mode.OFF)
    _, end = await plan(stand)
    assert (list(end["counts"]), end["left_out"]) == (["driveri"], ["motive"])


async def test_a_roster_that_cannot_be_read_is_reported_in_the_response(stand: ApiStand, twins: Twins) -> None:
    await add(stand)
    twins[Target.MOTIVE].breaks_off = (0, Unavailable(reason=Reason.DOWN, detail="it answers 503"))
    (line,) = told(await stand.get("/accounts/acme/plan", target="motive"))
    assert line["problem"] == {
        "type": "/problems#roster-unreadable",
        "title": "A target's roster cannot be read",
        "status": 409,
        "detail": "the roster of acme on motive cannot be read: it answers 503",
    }


async def test_an_account_that_cannot_be_reached_is_reported_in_the_response(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reach(_: ProjectorApp, account: AccountId) -> TargetTwin:
        raise TargetFailed(Unavailable(reason=Reason.DOWN, detail=f"{account} is not connected"))

    await add(stand)
    monkeypatch.setattr(ProjectorApp, "reach", reach)
    (line,) = told(await stand.get("/accounts/acme/plan"))
    assert line["problem"]["detail"] == "the roster of acme on driveri cannot be read: acme is not connected"


async def test_a_plan_that_fails_unexpectedly_ends_with_a_line_that_says_so(
    stand: ApiStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reach(_app: ProjectorApp, _account: AccountId) -> TargetTwin:
        raise ZeroDivisionError

    await add(stand)
    monkeypatch.setattr(ProjectorApp, "reach", reach)
    (line,) = told(await stand.get("/accounts/acme/plan"))
    assert line["problem"]["detail"] == (
        "the plan could not be made (unexpected ZeroDivisionError); see the log of the services"
    )


async def test_a_plan_without_a_temporary_folder_says_what_would_help(
    stand: ApiStand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(stand)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    (line,) = told(await stand.get("/accounts/acme/plan"))
    assert line["problem"]["detail"].startswith(
        "no folder for a dry run can be made (No such file or directory): let TMPDIR"
    )


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ({"target": "mars"}, 400, "there is no target 'mars'; there are: driveri, motive"),
        ({"driver": "9"}, 404, "there is no driver 9 in account acme"),
        (
            {"by": "bob"},
            403,
            "only the Master User of acme can turn Sync Drivers on or off; an admin does it in their name "
            "(`--as USER`)",
        ),
        ({"by": "eve"}, 403, "eve is neither the Master User nor the account manager of acme"),
    ],
)
async def test_what_cannot_be_planned_is_refused(
    stand: ApiStand, query: dict[str, str], status: int, error: str
) -> None:
    await add(stand)
    answer = await stand.get("/accounts/acme/plan", **query)
    assert (answer.status_code, answer.json()["detail"]) == (status, error)


async def test_a_plan_with_every_mode_off_is_refused(stand: ApiStand) -> None:
    await add(stand)
    for target in Target:
        await stand.set_mode("acme", target, Mode.OFF)
    answer = await stand.get("/accounts/acme/plan")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "the mode of acme for driveri and motive is off, so there is nothing to plan; "
        "see `driverlink accounts mode --help`",
    )


async def test_applying_an_opt_in_requests_each_reconciliation_by_its_part_and_turns_sync_on(
    stand: ApiStand,
) -> None:
    await add(stand)
    _, end = await plan(stand)
    (line,) = told(await stand.post("/accounts/acme/plan", {"by": "jane", "plan": end["digest"]}))
    driveri, motive, turned_on = asked(stand)
    assert isinstance(driveri, ReconciliationRequested)
    assert isinstance(motive, ReconciliationRequested)
    assert isinstance(turned_on, SyncTurnedOn)
    assert (driveri.target, motive.target, turned_on.by) == ("driveri", "motive", "jane")
    assert len({driveri.plan, motive.plan, end["digest"]}) == 3
    assert line["requested"] == {"driveri": driveri.originator_version, "motive": motive.originator_version}


async def test_applying_a_plan_that_is_another_by_now_does_nothing(stand: ApiStand, twins: Twins) -> None:
    await add(stand)
    _, seen = await plan(stand)
    twins[Target.DRIVERI].drivers.put(ObservedDriver(key=Key("D1"), active=True, profile={}))
    (line,) = told(await stand.post("/accounts/acme/plan", {"by": "jane", "plan": seen["digest"]}))
    _, now = await plan(stand)
    assert line["problem"]["detail"] == (
        f"the plan of acme is {now['digest']} by now, not {seen['digest']}, so nothing was done; "
        "look at it again: `driverlink plan acme`"
    )
    assert asked(stand) == []


async def test_the_hash_of_one_target_is_none_of_all(stand: ApiStand) -> None:
    await add(stand)
    _, of_one = await plan(stand, target="driveri")
    (line,) = told(await stand.post("/accounts/acme/plan", {"by": "jane", "plan": of_one["digest"]}))
    assert "problem" in line
    assert asked(stand) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"by": "bob", "plan": "0" * 16}, 403),
        ({"by": "eve", "plan": "0" * 16}, 403),
        ({"by": "jane", "plan": "abc"}, 400),
        ({"by": "jane", "plan": "0" * 16, "driver": "1"}, 400),
        ({"by": "jane", "plan": "0" * 16, "target": "driveri"}, 403),
    ],
)
async def test_what_cannot_be_applied_is_refused_before_anything_is_read(
    stand: ApiStand, twins: Twins, body: Json, status: int
) -> None:
    await add(stand)
    assert (await stand.post("/accounts/acme/plan", body)).status_code == status
    assert [twin.scans for twin in twins.values()] == [0, 0]


async def test_what_came_of_a_request_can_be_asked(stand: ApiStand) -> None:
    await add(stand)
    _, end = await plan(stand)
    (line,) = told(await stand.post("/accounts/acme/plan", {"by": "jane", "plan": end["digest"]}))
    request = str(line["requested"]["motive"])
    path = "/accounts/acme/reconciliations/progress"
    answer = await stand.get(path, target="motive", request=request, by_plan="true")
    assert answer.json()["stage"] == "waiting"
    await stand.set_mode("acme", Target.MOTIVE, Mode.UPSERT)
    answer = await stand.get(path, target="motive", request=request, by_plan="true")
    assert answer.json()["stage"] == "void"
    assert (await stand.get(path, target="motive", by_plan="true")).status_code == 400


async def test_a_plan_names_the_matching_fields_that_no_driver_has(stand: ApiStand) -> None:
    await add(stand)
    _, summary = await plan(stand)
    assert summary["unsaid"] == {"motive": ["ref_id", "email", "licence_number", "licence_state"]}
    said = {"ref_id": "R1", "email": "jane@fleet.test", "licence_number": "L1", "licence_state": "CO"}
    await stand.post("/accounts/acme/drivers", {"action": "update", "driver": "2", "profile": said})
    assert (await plan(stand))[1]["unsaid"] == {}


async def test_where_no_driver_is_known_nothing_is_missed(stand: ApiStand) -> None:
    people = {"master_user": "jane", "account_manager": "bob"}
    await stand.post("/accounts", {"account": "acme", "tier": "pro", "mode": "full", **people})
    assert (await plan(stand))[1]["unsaid"] == {}


async def test_two_who_apply_the_same_plan_at_once_apply_it_once(stand: ApiStand) -> None:
    await add(stand)
    _, end = await plan(stand)
    body = {"by": "jane", "plan": end["digest"]}
    answers = await asyncio.gather(*(stand.post("/accounts/acme/plan", body) for _ in range(2)))
    lines = sorted((told(answer)[-1] for answer in answers), key=str)
    assert [[*line] for line in lines] == [["problem"], ["requested"]]
    assert "another reconciliation of acme was requested meanwhile" in lines[0]["problem"]["detail"]
    assert [type(each) for each in asked(stand)] == [ReconciliationRequested, ReconciliationRequested, SyncTurnedOn]


async def test_a_plan_that_is_being_applied_is_not_requested_again(stand: ApiStand) -> None:
    await add(stand)
    _, end = await plan(stand)
    body = {"by": "jane", "plan": end["digest"]}
    await stand.post("/accounts/acme/plan", body)
    before = asked(stand)
    (line,) = told(await stand.post("/accounts/acme/plan", body))
    assert line["problem"]["detail"].startswith(
        f"the plan {end['digest']} of acme is being applied already on driveri and motive"
    )
    assert asked(stand) == before


KEYED = {"idempotency-key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


async def apply(stand: ApiStand, digest: str, headers: dict[str, str]) -> httpx.Response:
    return await stand.send("/accounts/acme/plan", json.dumps({"by": "jane", "plan": digest}).encode(), headers)


async def test_what_a_person_applies_by_if_match_is_the_plan_that_they_saw(stand: ApiStand, twins: Twins) -> None:
    await add(stand)
    _, end = await plan(stand)
    seen = {"if-match": f'"{end["digest"]}"'}
    shown = ObservedDriver(key=Key("D2"), active=True, profile={})
    twins[Target.DRIVERI].drivers.put(shown)
    refused = await apply(stand, end["digest"], seen)
    assert (refused.status_code, refused.json()["type"]) == (412, "/problems#not-as-seen")
    assert asked(stand) == []
    keyed = await apply(stand, end["digest"], KEYED)
    assert (keyed.status_code, keyed.json()["type"]) == (409, "/problems#plan-changed")
    digest = (await plan(stand))[1]["digest"]
    (line,) = told(await apply(stand, digest, {"if-match": f'"{digest}"'}))
    assert line["requested"].keys() == {"driveri", "motive"}


async def test_a_plan_that_is_applied_again_with_its_key_is_applied_once(stand: ApiStand) -> None:
    await add(stand)
    digest = (await plan(stand))[1]["digest"]
    first = await apply(stand, digest, KEYED)
    done = asked(stand)
    again = await apply(stand, digest, KEYED)
    assert (again.status_code, again.text, again.headers["content-type"]) == (
        200,
        first.text,
        first.headers["content-type"],
    )
    assert asked(stand) == done
