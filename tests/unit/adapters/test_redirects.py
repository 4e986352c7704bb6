"""A redirect is not followed, and is filed as the setting to correct, at every vendor and in reads and writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.credentials import CredentialsFile
from adapters.http.client import Call, Sender
from adapters.http.oauth import GrantTokens, OAuthGrant
from adapters.http.response import Intent
from adapters.motive.target import MotiveDrivers
from adapters.motive.wire import MotiveAccess
from adapters.portal.api import PortalAccess, PortalApiDrivers
from domain.failures import CallFailure, Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Key, Target
from domain.ports import TargetDrivers
from tests.unit.adapters.driveri import tenant as driveri
from tests.unit.adapters.vendor import Answer, Vendor, answer

pytestmark = pytest.mark.anyio

READ = Call(path="/v1/drivers/Jane%20Doe")
WRITE = Call(method="PUT", path="/v1/drivers/Jane%20Doe", intent=Intent.WRITE, body={"a": 1})
CREATE = Call(method="POST", path="/v1/drivers", intent=Intent.CREATE, body={"a": 1})


def to(location: str, status: int = 308) -> Answer:
    return answer(status, headers={"Location": location})


async def failure_of(call: Call, *answers: Answer) -> CallFailure:
    vendor = Vendor()
    vendor.on(f"{call.method} /api{call.path}", *answers)
    sender = Sender(
        base_url="https://vendor.test/api",
        setting="DRIVERLINK_VENDOR_URL",
        headers={"Authorization": "Bearer hush"},
        transport=vendor.transport,
        clock=lambda: 0.0,
        pause=vendor.pause,
        jitter=lambda: 0.0,
    )
    with pytest.raises(TargetFailed) as raised:
        await sender.send(call)
    assert {request.url.host for request in vendor.requests} == {"vendor.test"}
    return raised.value.failure


def moved(where: str, status: int = 308) -> Rejected:
    detail = f"answered {status}, a redirect to {where}, which is not followed: correct DRIVERLINK_VENDOR_URL"
    return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("call", [READ, WRITE, CREATE])
async def test_a_redirect_to_another_host_says_the_setting_and_the_new_base_address(call: Call, status: int) -> None:
    location = f"https://other.test/driveri{call.path}"
    assert await failure_of(call, to(location, status)) == moved("https://other.test/driveri", status)


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("http://vendor.test/api/v1/drivers/Jane%20Doe", "http://vendor.test/api"),
        ("https://other.test:8443/login?next=/api&session=hush", "https://other.test:8443/login"),
        ("https://maria:hush@other.test/", "https://other.test"),
        ("//other.test/x#hush", "https://other.test/x"),
        ("/sign-in", "https://vendor.test/sign-in"),
        ("https://other.test/api/v1/drivers/Jane%20Doe/", "https://other.test/api"),
        ("https://other.test/api/v2/drivers/Jane%20Doe", "https://other.test/api/v2/drivers/..."),
        ("https://other.test/" + "x" * 5000, "https://other.test/" + "x" * 99),
        ("https://other.test/\x1b[31m", "an address that cannot be read"),
        ("https://other.test:port/", "an address that cannot be read"),
        ("https://xn--a/", "https://xn--a"),
        ("", "https://vendor.test/api"),
    ],
)
async def test_where_a_redirect_points_is_shown_by_host_and_path_only(location: str, where: str) -> None:
    assert await failure_of(READ, to(location)) == moved(where)


@pytest.mark.parametrize(
    ("status", "location"), [(303, "https://other.test/done"), (302, "/done"), (303, "https://xn--a/")]
)
async def test_a_redirect_that_may_answer_a_write_that_took_effect_leaves_it_unknown(
    status: int, location: str
) -> None:
    for call in (WRITE, CREATE):
        failure = await failure_of(call, to(location, status))
        assert isinstance(failure, Unavailable)
        assert failure.reason is Reason.NO_ANSWER
        assert "correct DRIVERLINK_VENDOR_URL" in failure.detail
    assert (await failure_of(READ, to(location, status))).reason is Reason.NOT_CONFIGURED


async def test_a_host_whose_name_cannot_be_decoded_is_another_host() -> None:
    assert (await failure_of(WRITE, to("https://xn--a/", 302))).reason is Reason.NOT_CONFIGURED


async def test_a_write_that_was_sent_before_the_redirect_stays_unknown() -> None:
    failure = await failure_of(WRITE, answer(503), to("https://other.test/"))
    assert failure.reason is Reason.NO_ANSWER
    assert "correct DRIVERLINK_VENDOR_URL" in failure.detail


async def test_a_redirect_that_points_nowhere_is_not_a_setting() -> None:
    assert (await failure_of(READ, answer(308))).reason is Reason.DOWN


def motive_drivers(vendor: Vendor) -> TargetDrivers:
    access = MotiveAccess(base_url="https://vendor.test/driveri", api_key="hush")
    return MotiveDrivers(access, transport=vendor.transport, clock=vendor.clock, pause=vendor.pause, jitter=lambda: 0.0)


@pytest.mark.parametrize(
    ("connected", "setting"),
    [(driveri.drivers, "DRIVERLINK_DRIVERI_URL"), (motive_drivers, "DRIVERLINK_MOTIVE_URL")],
)
async def test_each_target_names_its_own_setting_in_reads_and_writes(
    connected: Callable[[Vendor], TargetDrivers], setting: str
) -> None:
    vendor = _everywhere(to("https://other.test/login"))
    target = connected(vendor)
    with pytest.raises(TargetFailed) as scanned:
        await anext(target.scan())
    failures = [
        scanned.value.failure,
        await target.create(Key("7"), driveri.JANE),
        await target.update(Key("7"), driveri.JANE, ["email"]),
        await target.rename(Key("7"), Key("8"), driveri.JANE),
        await target.delete(Key("7")),
        await target.reinstate(Key("7"), driveri.JANE),
    ]
    assert {each.reason for each in failures if isinstance(each, Rejected)} == {Reason.NOT_CONFIGURED}
    assert all(isinstance(each, Rejected) and each.detail.endswith(f"correct {setting}") for each in failures)
    assert {request.url.host for request in vendor.requests} == {"vendor.test"}


async def test_the_portal_names_its_setting_and_not_its_session() -> None:
    vendor = _everywhere(to("https://other.test/v2/userauth/login?username=maria&app_token=hush-app"))
    access = PortalAccess(base_url="https://portal.test", username="maria", app_token="hush-app", attributes={})
    portal = PortalApiDrivers(
        access, transport=vendor.transport, clock=vendor.clock, pause=vendor.pause, jitter=lambda: 0.0
    )
    with pytest.raises(TargetFailed) as raised:
        await portal.list_all()
    where = "answered 308, a redirect to https://other.test, which is not followed: correct DRIVERLINK_PORTAL_URL"
    assert raised.value.failure == Rejected(reason=Reason.NOT_CONFIGURED, detail=where)


async def test_an_address_for_renewing_tokens_that_has_moved_gets_no_secret(tmp_path: Path) -> None:
    stated = {"client_id": "app", "client_secret": "hush-app", "refresh_token": "hush-0"}
    keeper = CredentialsFile(tmp_path / "credentials")
    keeper.keep("acme", Target.MOTIVE, stated)
    vendor = _everywhere(to("https://other.test/oauth/token?client_secret=hush-app", 307))
    grant = OAuthGrant(
        target=Target.MOTIVE,
        account="acme",
        token_url="https://vendor.test/oauth/token",
        keeper=keeper,
        **stated,
    )
    tokens = GrantTokens(grant, transport=vendor.transport, clock=vendor.clock, pause=vendor.pause)
    with pytest.raises(TargetFailed) as raised:
        await tokens.current()
    detail = (
        "no access token: answered 307, a redirect to https://other.test/oauth/token, which is not followed: "
        "correct DRIVERLINK_MOTIVE_TOKEN_URL"
    )
    assert raised.value.failure == Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
    assert [request.url.host for request in vendor.requests] == ["vendor.test"]


def _everywhere(given: Answer) -> Vendor:
    """A vendor that gives one answer to every call."""
    vendor = Vendor()
    vendor.otherwise = given
    return vendor
