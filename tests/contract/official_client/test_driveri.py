import asyncio
from typing import Any

import httpx
import pytest
from netradyne_sdk import NetradyneError
from netradyne_sdk.models import (
    AccessTokenResult,
    AddBulkDriverRequest,
    AddDriverQueryRequest,
    AddDriverRequest,
    AddDriverResult,
    BulkDriversRequest,
    Drivers,
    EditDriverRequest,
    ErrorResponse,
    GetDriverDetailsRequest,
    GetDriverListRequest,
    GroupRequest,
    PagedLinks,
    RevokeAccessTokenResult,
    TenantConfiguration,
    TenantConfigurationV2,
)

from adapters.driveri.wire import DriveriProblem, DriverRow, GroupRow, PageLinks, StatusRow, TokenRow, to_wire
from domain.profile import FIELDS
from tests.contract.official_client.conftest import Official, Session
from tests.contract.official_client.forms import declared_fields, misfits
from tests.contract.official_client.seed import ACTIVE, AWAY, DELETED

pytestmark = pytest.mark.anyio

TENANT = "/v1/tenants/acme"
EVERYBODY = 253


async def listed(session: Session, **query: object) -> Any:  # noqa: ANN401 - a model of the client's
    return await session.call(session.client.drivers.get_driver_list, request=GetDriverListRequest(**query))


async def ids(session: Session, **query: object) -> list[str]:
    return [driver.driver_id for driver in (await listed(session, limit=200, **query)).data.drivers]


async def one(session: Session, **query: object) -> Any:  # noqa: ANN401
    details = session.client.drivers.get_driver_details
    found = (await session.call(details, request=GetDriverDetailsRequest(**query))).data.drivers
    assert len(found) == 1
    return found[0]


async def add(session: Session, *, reinstate: bool | None = None, **fields: object) -> str:
    query = AddDriverQueryRequest(reinstate_driver=reinstate)
    body = AddDriverRequest(**fields)
    return str((await session.call(session.client.drivers.add_driver, request=query, body=body)).data.message)


async def edit(session: Session, old_id: str, /, **fields: object) -> str:
    request = EditDriverRequest(**fields)
    answered = await session.call(session.client.drivers.edit_driver, driver_id=old_id, request=request)
    return str(answered.data.message)


async def refused(call: Any) -> Any:  # noqa: ANN401 - the client's exception
    with pytest.raises(NetradyneError) as raised:
        await call
    return raised.value


async def test_a_token_is_reused_over_several_starts(official: Official) -> None:
    tokens = {(await official.start()).client.token for _ in range(4)}
    active = (await (session := await official.start()).call(session.client.access_token.get_active_access_tokens)).data
    assert [token.access_token for token in active] == list(tokens)


async def test_at_most_two_tokens_are_active_and_the_one_that_lasts_longest_is_reused(official: Official) -> None:
    session = await official.start()
    tokens = session.client.access_token
    official.time.now += 60
    second = (await session.call(tokens.generate_access_token)).data
    assert (await refused(session.call(tokens.generate_access_token))).status == 400
    assert (await official.start()).client.token == second.access_token != session.client.token
    assert len((await session.call(tokens.get_active_access_tokens)).data) == 2


async def test_a_token_is_revoked_as_a_whole_or_by_its_id(official: Official) -> None:
    session = await official.start()
    tokens = session.client.access_token
    second = (await session.call(tokens.generate_access_token)).data
    assert (await session.call(tokens.revoke_access_token_by_id, second.access_token_id)).data.message
    assert (await session.call(tokens.revoke_access_token)).data.message
    assert (await session.call(tokens.get_active_access_tokens)).data == []
    assert (await refused(listed(session))).status == 401
    assert (await official.start()).client.token not in (session.client.token, second.access_token)


async def test_configurations_say_what_the_codes_mean(started: Session) -> None:
    configurations = started.client.configurations
    for call in (
        configurations.get_tenant_configuration_details,
        configurations.get_tenant_configuration_details_v2,
    ):
        known = (await started.call(call)).data.configuration
        assert {row.status: row.description for row in known.driver_status} == {
            ACTIVE: "Active",
            AWAY: "On leave",
            DELETED: "Deleted",
        }
        assert [row.authorized_to_drive for row in known.authorized_to_drive_status] == [0, 1]
        assert [row.key for row in known.group_action] == ["ADD", "REMOVE"]


async def test_a_list_is_scanned_by_its_links(started: Session) -> None:
    page = await listed(started, limit=100, show_all=True)
    assert page.total_count == EVERYBODY
    seen = [driver.driver_id for driver in page.data.drivers]
    while page.links.next:
        query = httpx.URL(page.links.next).params
        assert query["showAll"] == "True"
        page = await listed(started, offset=int(query["offset"]), limit=int(query["limit"]), show_all=True)
        seen += [driver.driver_id for driver in page.data.drivers]
    assert len(set(seen)) == len(seen) == EVERYBODY
    assert page.links.prev
    assert page.links.first


async def test_a_list_is_narrowed_by_every_filter(started: Session) -> None:
    assert "C3" not in await ids(started)
    assert await ids(started, show_all=True, to_date=3000) == ["A1", "B 2/ü", "C3"]
    assert await ids(started, state=f"{AWAY},{DELETED}", show_all=True) == ["B 2/ü", "C3"]
    assert await ids(started, from_date=1000, to_date=2000) == ["A1", "B 2/ü"]
    assert await ids(started, group="north") == ["A1"]
    assert await ids(started, offset=1, to_date=2000) == ["B 2/ü"]
    assert (await refused(listed(started, sub_fleet="south"))).status == 501


async def test_preferences_are_shown_where_they_are_asked_for(started: Session) -> None:
    without = (await listed(started, limit=1)).data.drivers[0]
    among = (await listed(started, limit=1, include_driver_preferences=True)).data.drivers[0]
    alone = await one(started, driver_id="A1", include_driver_preferences=True)
    assert without.driver_preferences is None
    assert among.driver_preferences.exempt_hos is alone.driver_preferences.exempt_hos is True


async def test_one_driver_is_found_by_id_email_or_user_name(started: Session) -> None:
    for query in ({"driver_id": "A1"}, {"email": "ann@acme.test"}, {"user_name": "ann"}):
        found = await one(started, **query)
        assert (found.driver_id, found.first_name, found.status) == ("A1", "Ann", ACTIVE)
        assert (found.group.group_name, found.group.group_unique_name) == ("North Region", "north")
        assert (found.created_date, found.updated_date, found.last_login) == (500, 1000, 700)
    assert (await one(started, driver_id="B 2/ü")).status == AWAY
    assert (await refused(one(started, driver_id="nobody"))).status == 404


async def test_a_driver_is_created_and_a_taken_id_is_refused(started: Session) -> None:
    fields: dict[str, Any] = {
        "driver_id": "N 1",
        "first_name": "Nia",
        "last_name": "New",
        "phone": "555",
        "licence_number": "L9",
        "license_country": "US",
        "license_state": "TX",
        "email": "nia@acme.test",
        "user_name": "nia",
        "enable_driveri_app": True,
        "set_password": True,
        "password": "hush",
        "authorized_to_drive": 1,
    }
    assert await add(started, **fields, group=GroupRequest(name="north", action="ADD"))
    found = await one(started, driver_id="N 1")
    shown = {name: getattr(found, name) for name in fields if hasattr(found, name)}
    assert shown == {name: fields[name] for name in shown}
    assert (found.status, found.group.group_name) == (ACTIVE, "North Region")
    assert (await refused(add(started, driver_id="N 1", first_name="Two"))).status in (400, 409)


async def test_a_deleted_driver_is_reinstated(started: Session) -> None:
    assert (await refused(add(started, driver_id="C3", first_name="Cid"))).status in (400, 409)
    assert await add(started, reinstate=True, driver_id="C3", first_name="Cid")
    assert (await one(started, driver_id="C3")).status == ACTIVE


async def test_drivers_are_created_in_bulk(started: Session) -> None:
    rows = [AddBulkDriverRequest(driver_id=f"N{number}", first_name="Nia") for number in range(3)]
    request = BulkDriversRequest(drivers=rows, group=GroupRequest(name="north", action="ADD"))
    assert (await started.call(started.client.drivers.add_bulk_drivers, request=request)).data.message
    assert await ids(started, group="north") == ["A1", "N0", "N1", "N2"]


async def test_a_driver_is_edited_renamed_and_put_into_another_status(started: Session) -> None:
    assert await edit(started, "B 2/ü", last_name="Best", email="bob@acme.test")
    assert await edit(started, "B 2/ü", driver_id="B2")
    assert await edit(started, "B2", status=DELETED)
    found = await one(started, driver_id="B2")
    assert (found.first_name, found.last_name, found.email, found.status) == ("Bob", "Best", "bob@acme.test", DELETED)
    assert (await refused(edit(started, "B 2/ü", last_name="Other"))).status == 404
    assert (await refused(edit(started, "B2", driver_id="A1"))).status in (400, 409)


async def test_a_group_is_left_by_its_unique_name(started: Session) -> None:
    assert await edit(started, "A1", group=GroupRequest(name="north", action="REMOVE"))
    assert (await one(started, driver_id="A1")).group is None


async def test_a_call_is_repeated_after_a_limit_and_a_gateway_failure(official: Official) -> None:
    session = await official.start()
    rules = [
        {"fault": "limited", "retry_after": 0, "times": 1},
        {"fault": "failing", "status": 503, "times": 1},
    ]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(official.app), base_url="http://sandbox") as client:
        (await client.put("/sandbox/faults", json={"rules": rules})).raise_for_status()
    assert (await one(session, driver_id="A1")).driver_id == "A1"


async def test_every_answer_has_the_form_of_its_model(official: Official) -> None:
    session = await official.start()
    raw = session.raw
    issued = (await asyncio.to_thread(session.client.request_with_basic_auth, "POST", "/v1/auth/token")).body
    tokens = (await asyncio.to_thread(session.client.request_with_basic_auth, "GET", "/v1/auth/tokens")).body
    page = await raw("GET", f"{TENANT}/drivers?limit=2&offset=2&showAll=true&includeDriverPreferences=true")
    found = await raw("GET", f"{TENANT}/driver?driverId=A1&includeDriverPreferences=true")
    first = await raw("GET", f"{TENANT}/configurations")
    second = await raw("GET", "/v2/tenants/acme/configurations")
    edited = await raw("PUT", f"{TENANT}/drivers/A1", body={"lastName": "Other"})
    added = await raw("POST", f"{TENANT}/drivers", body={"driverId": "N1", "firstName": "Nia"})
    unknown = (await refused(raw("GET", f"{TENANT}/driver?driverId=nobody"))).body
    revoked = await raw("DELETE", "/v1/auth/token/revoke")
    unauthorized = (await refused(raw("GET", f"{TENANT}/drivers"))).body
    parts: list[tuple[type, object]] = [
        (AccessTokenResult, issued["data"]),
        *((AccessTokenResult, token) for token in tokens["data"]),
        *((Drivers, driver) for driver in (*page["data"]["drivers"], *found["data"]["drivers"])),
        (PagedLinks, page["links"]),
        (TenantConfiguration, first["data"]["configuration"]),
        (TenantConfigurationV2, second["data"]["configuration"]),
        (AddDriverResult, edited["data"]),
        (AddDriverResult, added["data"]),
        (RevokeAccessTokenResult, revoked["data"]),
        (ErrorResponse, unknown["error"]),
        (ErrorResponse, unauthorized["error"]),
    ]
    assert [misfit for model, part in parts for misfit in misfits(model, part)] == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (DriverRow, Drivers),
        (GroupRow, Drivers.__dataclass_fields__ and declared_fields(Drivers)["group"].__args__[0]),
        (PageLinks, PagedLinks),
        (StatusRow, declared_fields(TenantConfiguration)["driverStatus"].__args__[0].__args__[0]),
        (TokenRow, AccessTokenResult),
        (DriveriProblem, ErrorResponse),
    ],
)
def test_the_adapter_reads_no_field_that_the_official_client_does_not_have(ours: Any, theirs: type) -> None:  # noqa: ANN401
    fields = getattr(ours, "__pydantic_fields__", None) or ours.__dataclass_fields__
    aliases = {field.alias or name for name, field in fields.items()}
    assert aliases <= declared_fields(theirs).keys()


def test_the_adapter_writes_no_field_that_the_official_client_does_not_have() -> None:
    body = {"driverId": "A1", "status": 2, **to_wire(dict.fromkeys(FIELDS, "x"))}
    assert body.keys() <= declared_fields(EditDriverRequest).keys()
    assert body.keys() - {"status"} <= declared_fields(AddDriverRequest).keys()
    assert body["group"].keys() <= declared_fields(GroupRequest).keys()  # type: ignore[attr-defined]
    reads_types = {name: str for name in body if name not in ("group", "status")}
    assert [
        name for name in reads_types if str(declared_fields(EditDriverRequest)[name]) != "typing.Optional[str]"
    ] == []
