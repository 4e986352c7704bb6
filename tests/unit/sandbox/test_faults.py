"""Which calls meet a fault, and how faults are switched."""

import pytest
from httpx import AsyncClient

from services.sandbox import driveri, motive
from services.sandbox.faults.faults import FaultsRefused
from tests.unit.sandbox.seeds import DRIVERI, MOTIVE, Json

pytestmark = pytest.mark.anyio

DRIVERS = "/v1/tenants/acme/drivers"


async def switch_on(client: AsyncClient, *rules: Json) -> None:
    """Let these rules take the place of all others."""
    answer = await client.put("/sandbox/faults", json={"rules": rules})
    assert answer.status_code == 204, answer.text


async def struck(client: AsyncClient) -> list[int]:
    """How many calls have met each rule."""
    counts: list[int] = (await client.get("/sandbox/faults")).json()["struck"]
    return counts


async def statuses(client: AsyncClient, times: int, path: str = "/v1/users") -> list[int]:
    """The statuses of this number of reads."""
    return [(await client.get(path)).status_code for _ in range(times)]


async def test_there_are_no_faults_at_first(company: AsyncClient) -> None:
    assert (await company.get("/sandbox/faults")).json() == {"rules": [], "struck": []}
    assert await statuses(company, 3) == [200, 200, 200]


async def test_a_rule_strikes_every_call_until_it_is_switched_off(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited"})
    assert await statuses(company, 3) == [429, 429, 429]
    assert await struck(company) == [3]
    assert (await company.delete("/sandbox/faults")).status_code == 204
    assert await statuses(company, 2) == [200, 200]


async def test_switching_on_replaces_every_rule(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited"}, {"fault": "failing"})
    await switch_on(company, {"fault": "failing", "status": 500})
    assert await statuses(company, 1) == [500]
    assert len(await struck(company)) == 1


async def test_rules_can_be_switched_on_again_as_they_are_shown(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited", "times": 1, "methods": ["GET"]}, {"fault": "shifted"})
    await company.get("/v1/users")
    shown = (await company.get("/sandbox/faults")).json()
    assert shown["struck"] == [1, 0]
    assert (await company.put("/sandbox/faults", json=shown)).status_code == 204
    assert (await company.get("/sandbox/faults")).json() == shown | {"struck": [0, 0]}


async def test_a_rule_strikes_at_most_as_often_as_it_says(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited", "times": 2})
    assert await statuses(company, 4) == [429, 429, 200, 200]


async def test_a_rule_strikes_every_nth_call_that_fits(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited", "every": 3, "methods": ["GET"]})
    await company.put("/v1/users/11", json={})
    assert await statuses(company, 6) == [200, 200, 429, 200, 200, 429]


async def test_a_share_is_drawn_and_the_same_seed_draws_the_same_calls(company: AsyncClient) -> None:
    rule = {"fault": "limited", "share": 0.3, "seed": 7}
    drawn = []
    for seed in (7, 7, 8):
        await switch_on(company, rule | {"seed": seed})
        drawn.append(await statuses(company, 100))
    assert drawn[0] == drawn[1] != drawn[2]
    assert 15 < drawn[0].count(429) < 45


async def test_a_rule_is_about_the_named_methods_and_paths_only(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "failing", "methods": ["GET"], "path": "/v1/users/*"})
    calls = [
        await company.get("/v1/users"),
        await company.get("/v1/users/11"),
        await company.put("/v1/users/11", json={}),
        await company.get("/v1/users/lookup", params={"phone": "5550101"}),
    ]
    assert [call.status_code for call in calls] == [200, 503, 200, 503]


async def test_a_rule_is_about_the_named_company_only(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited", "account": "Acme"})
    other = await company.get("/v1/users", headers={"X-Api-Key": "bolt-key"})
    assert (await statuses(company, 1), other.status_code) == ([429], 200)


async def test_a_rule_is_about_the_named_tenant_and_its_tokens_only(fleet: AsyncClient) -> None:
    await switch_on(fleet, {"fault": "limited", "account": "acme"})
    tokens = [
        await fleet.get("/v1/auth/tokens", auth=pair)
        for pair in (("acme-key", "acme-secret"), ("bolt-key", "bolt-secret"))
    ]
    assert [answer.status_code for answer in tokens] == [429, 200]
    assert await statuses(fleet, 1, DRIVERS) == [429]


async def test_the_first_rule_that_strikes_has_the_call(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited", "times": 1}, {"fault": "failing", "status": 500, "every": 2})
    assert await statuses(company, 4) == [429, 200, 500, 200]


async def test_the_sandbox_endpoints_never_meet_a_fault(driveri_api: AsyncClient, company: AsyncClient) -> None:
    for client in (driveri_api, company):
        await switch_on(client, {"fault": "failing"})
        assert (await client.get("/sandbox/health")).status_code == 200
        assert (await client.get("/sandbox/state")).status_code == 200
        assert await struck(client) == [0]


async def test_seeding_leaves_the_faults_on(company: AsyncClient) -> None:
    await switch_on(company, {"fault": "limited"})
    await company.delete("/sandbox/state")
    assert await statuses(company, 1) == [429]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "Input should be a valid dictionary or instance of WrittenFaults"),
        ({"rule": []}, "rule: Extra inputs are not permitted"),
        ({"rules": [{}]}, "rules.0: Unable to extract tag using discriminator 'fault'"),
        ({"rules": [{"fault": "latency"}]}, "rules.0.latency.seconds: Field required"),
        ({"rules": [{"fault": "limited", "seconds": 1}]}, "rules.0.limited.seconds: Extra inputs are not permitted"),
        ({"rules": [{"fault": "limited", "share": 0}]}, "rules.0.limited.share: Input should be greater than 0"),
        (
            {"rules": [{"fault": "limited", "every": 0}]},
            "rules.0.limited.every: Input should be greater than or equal to 1",
        ),
        (
            {"rules": [{"fault": "limited", "times": 0}]},
            "rules.0.limited.times: Input should be greater than or equal to 1",
        ),
        (
            {"rules": [{"fault": "failing", "status": 200}]},
            "rules.0.failing.status: Input should be greater than or equal to 400",
        ),
    ],
)
async def test_bad_rules_are_refused_with_the_place_and_change_nothing(
    company: AsyncClient, document: object, problem: str
) -> None:
    await switch_on(company, {"fault": "limited"})
    answer = await company.put("/sandbox/faults", json=document)
    assert (answer.status_code, answer.json()) == (400, {"error": problem})
    assert await statuses(company, 1) == [429]


async def test_an_unknown_fault_is_refused_with_those_that_there_are(company: AsyncClient) -> None:
    answer = await company.put("/sandbox/faults", json={"rules": [{"fault": "fire"}]})
    assert answer.status_code == 400
    assert "'fire'" in answer.json()["error"]
    assert "'creates_nothing'" in answer.json()["error"]


async def test_rules_that_are_not_json_are_refused(company: AsyncClient) -> None:
    answer = await company.put("/sandbox/faults", content=b"rules:")
    assert (answer.status_code, answer.json()) == (400, {"error": "the rules are not JSON"})


def test_a_sandbox_does_not_start_with_bad_rules() -> None:
    bad = {"rules": [{"fault": "fire"}]}
    with pytest.raises(FaultsRefused):
        driveri.application(DRIVERI, faults=bad)
    with pytest.raises(FaultsRefused):
        motive.application(MOTIVE, faults=bad)
