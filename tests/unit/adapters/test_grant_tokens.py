import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import pytest

from adapters.credentials import CredentialsFile
from adapters.http.oauth import DELAYS, LOOKS, RENEW_AGAIN, GrantTokens, OAuthGrant
from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Target
from domain.ports import CredentialsUnreadable, RenewableTokens
from domain.store import StoreFailed
from tests.unit.adapters.vendor import Answer, Vendor, answer, failure, page

pytestmark = pytest.mark.anyio

NOW = 1_000_000.0
HOURS = 7200.0
RENEW = "POST /oauth/token"
STATED = {"client_id": "app", "client_secret": "hush-app", "refresh_token": "hush-0"}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Keeper(CredentialsFile):
    """The credentials' file, which does not work while it is set so, and records what was going on as it was read."""

    failure: Exception | None = None
    before_reading: Iterator[object] = iter(())

    def tokens(self, account: str, target: Target) -> RenewableTokens | None:
        next(self.before_reading, None)
        return super().tokens(account, target)

    def replace_tokens(self, account: str, target: Target, spent: str, tokens: RenewableTokens) -> bool:
        if self.failure is not None:
            raise self.failure
        return super().replace_tokens(account, target, spent, tokens)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    keeper = Keeper(tmp_path / "credentials")
    keeper.keep("acme", Target.MOTIVE, STATED)
    return keeper


@pytest.fixture
def clock() -> Clock:
    return Clock()


def renewed(number: int, expires_in: float = HOURS) -> Answer:
    tokens = {"access_token": f"hush-access-{number}", "refresh_token": f"hush-{number}", "expires_in": expires_in}
    return answer(200, {**tokens, "token_type": "Bearer"})


def to_tokens(number: int, expires_at: float = NOW + HOURS) -> RenewableTokens:
    return RenewableTokens(access_token=f"hush-access-{number}", refresh_token=f"hush-{number}", expires_at=expires_at)


def vendor_with(*answers: Answer) -> Vendor:
    vendor = Vendor()
    vendor.on(RENEW, *answers)
    return vendor


def tokens(vendor: Vendor, keeper: Keeper, clock: Clock) -> GrantTokens:
    grant = OAuthGrant(
        target=Target.MOTIVE,
        account="acme",
        token_url="https://motive.test/oauth/token",
        keeper=keeper,
        **STATED,
    )
    return GrantTokens(grant, transport=vendor.transport, clock=clock, pause=vendor.pause)


def sent(vendor: Vendor) -> list[dict[str, list[str]]]:
    return [parse_qs(request.content.decode()) for request in vendor.requests]


async def failed(tokens: GrantTokens) -> Rejected | Unavailable:
    with pytest.raises(TargetFailed) as raised:
        await tokens.current()
    assert "hush" not in f"{raised.value} {raised.value!r}"
    return raised.value.failure


async def test_an_access_token_is_had_for_the_refresh_token_by_a_form(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(renewed(1))
    token = await tokens(vendor, keeper, clock).current()
    assert token.headers() == {"Authorization": "Bearer hush-access-1"}
    assert sent(vendor) == [{"grant_type": ["refresh_token"], **{name: [value] for name, value in STATED.items()}}]
    assert vendor.requests[0].url == "https://motive.test/oauth/token"


async def test_what_comes_is_stored_before_it_is_used(keeper: Keeper, clock: Clock) -> None:
    ours = tokens(vendor_with(renewed(1)), keeper, clock)
    keeper.failure = StoreFailed("no route to 10.1.2.3")
    expected = Unavailable(
        reason=Reason.DOWN, detail="access tokens cannot be kept: the credentials' database does not work"
    )
    assert await failed(ours) == expected
    assert keeper.tokens("acme", Target.MOTIVE) == RenewableTokens(refresh_token="hush-0")


async def test_what_could_not_be_stored_is_stored_later_and_not_asked_for_again(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(renewed(1), answer(400, {"error": "invalid_grant"}))
    ours = tokens(vendor, keeper, clock)
    keeper.failure = CredentialsUnreadable("credentials.json cannot be written: No space left on device")
    assert (await failed(ours)).detail.endswith("No space left on device")
    keeper.failure = None
    assert (await ours.current()).secret == "hush-access-1"
    assert keeper.tokens("acme", Target.MOTIVE) == to_tokens(1)
    assert vendor.calls == [RENEW]


async def test_an_access_token_is_renewed_with_the_newest_refresh_token_before_it_ends(
    keeper: Keeper, clock: Clock
) -> None:
    vendor = vendor_with(renewed(1), renewed(2))
    ours = tokens(vendor, keeper, clock)
    await ours.current()
    clock.now += HOURS - 301
    assert (await ours.current()).secret == "hush-access-1"
    clock.now += 1
    assert (await ours.current()).secret == "hush-access-2"
    assert [form["refresh_token"] for form in sent(vendor)] == [["hush-0"], ["hush-1"]]


async def test_another_process_goes_on_with_what_is_stored(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(renewed(1))
    await tokens(vendor, keeper, clock).current()
    assert (await tokens(vendor, keeper, clock).current()).secret == "hush-access-1"
    assert vendor.calls == [RENEW]


async def test_a_token_that_another_process_has_renewed_is_used_when_ours_is_refused(
    keeper: Keeper, clock: Clock
) -> None:
    vendor = vendor_with(renewed(1), renewed(2))
    ours, theirs = tokens(vendor, keeper, clock), tokens(vendor, keeper, clock)
    first = await ours.current()
    theirs.refuse(await theirs.current())
    await theirs.current()
    ours.refuse(first)
    assert (await ours.current()).secret == "hush-access-2"
    assert vendor.calls == [RENEW, RENEW]


async def test_a_refresh_token_that_another_process_used_first_is_not_a_failure(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(answer(400, {"error": "invalid_grant"}))
    ours = tokens(vendor, keeper, clock)
    keeper.before_reading = iter(_reading(keeper, at=3))
    assert (await ours.current()).secret == "hush-access-9"
    assert vendor.waits == list(LOOKS[:1])


def _reading(keeper: Keeper, at: int) -> Iterator[object]:
    """Just before it is read for this time, another process has stored what came to it."""
    yield from range(1, at)
    yield CredentialsFile.replace_tokens(keeper, "acme", Target.MOTIVE, "hush-0", to_tokens(9))


async def test_a_refresh_token_that_is_refused_says_what_to_do(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(answer(400, {"error": "invalid_grant", "error_description": "hush-0 is spent"}))
    assert await failed(tokens(vendor, keeper, clock)) == Rejected(
        reason=Reason.CREDENTIALS,
        detail="no access token: answered 400: the refresh token was used already, or withdrawn; "
        "run `driverlink accounts connect acme motive` with a new refresh token",
    )
    assert vendor.waits == list(LOOKS)
    assert vendor.calls == [RENEW]


async def test_a_wrong_client_secret_costs_no_new_grant(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(answer(401, {"error": "invalid_client"}))
    expected = await failed(tokens(vendor, keeper, clock))
    assert expected.detail == (
        "no access token: answered 401: the client id or the client secret is not known; "
        "run `driverlink accounts connect acme motive` with the application's own client id and client secret; "
        "the same refresh token will do, unless it is refused then"
    )


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (answer(401, {"error": "invalid_client"}), Reason.CREDENTIALS),
        (answer(403, {"message": "hush-0"}), Reason.CREDENTIALS),
        (answer(400), Reason.CREDENTIALS),
        (page(404), Reason.NOT_CONFIGURED),
    ],
)
async def test_other_refusals_speak_of_the_account_too(
    keeper: Keeper, clock: Clock, refusal: Answer, reason: Reason
) -> None:
    assert (await failed(tokens(vendor_with(refusal), keeper, clock))).reason is reason


@pytest.mark.parametrize(
    "trouble", [answer(503), failure(httpx.ConnectError), failure(httpx.ReadTimeout)], ids=["503", "away", "silent"]
)
async def test_a_blip_is_tried_again_at_once(keeper: Keeper, clock: Clock, trouble: Answer) -> None:
    vendor = vendor_with(trouble, trouble, renewed(1))
    assert (await tokens(vendor, keeper, clock).current()).secret == "hush-access-1"
    assert vendor.waits == list(DELAYS[:2])


@pytest.mark.parametrize(
    "trouble",
    [
        answer(500),
        failure(httpx.ReadTimeout),
        page(200),
        page(302),
        answer(200),
        answer(200, {"refresh_token": "hush-1"}),
    ],
    ids=["500", "silent", "page", "redirect", "empty", "odd"],
)
async def test_no_answer_of_any_sense_leaves_no_doubt_about_a_driver(
    keeper: Keeper, clock: Clock, trouble: Answer
) -> None:
    assert (await failed(tokens(vendor_with(trouble), keeper, clock))).reason is Reason.DOWN


@pytest.mark.parametrize(
    "stated",
    [
        {"access_token": "hush\u00e9"},
        {"access_token": ""},
        {"access_token": "hush\r\nX-Other: 1"},
        {"access_token": "hush", "refresh_token": "hush\0"},
    ],
    ids=["not ascii", "blank", "two lines", "nul"],
)
async def test_a_token_that_no_call_can_carry_is_down_and_not_stored(
    keeper: Keeper, clock: Clock, stated: dict[str, str]
) -> None:
    before = keeper.tokens("acme", Target.MOTIVE)
    found = await failed(tokens(vendor_with(answer(200, stated)), keeper, clock))
    assert found.reason is Reason.DOWN
    assert "a token came that no call can carry" in found.detail
    assert "hush" not in found.detail
    assert keeper.tokens("acme", Target.MOTIVE) == before


async def test_a_limit_says_when_to_come_back(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(answer(429, headers={"Retry-After": "30"}))
    expected = Unavailable(reason=Reason.LIMITED, detail="no access token: answered 429", retry_after=30.0)
    assert await failed(tokens(vendor, keeper, clock)) == expected


async def test_a_renewal_that_fails_leaves_a_token_in_use_that_still_lasts(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(renewed(1), answer(429), renewed(2))
    ours = tokens(vendor, keeper, clock)
    await ours.current()
    clock.now += HOURS - 300
    assert [(await ours.current()).secret for _ in range(2)] == ["hush-access-1"] * 2
    clock.now += RENEW_AGAIN
    assert (await ours.current()).secret == "hush-access-2"


async def test_a_refresh_token_that_is_not_replaced_stays_good(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(answer(200, {"access_token": "hush-access-1"}), renewed(2))
    ours = tokens(vendor, keeper, clock)
    await ours.current()
    clock.now += 3600
    await ours.current()
    assert [form["refresh_token"] for form in sent(vendor)] == [["hush-0"], ["hush-0"]]


async def test_callers_who_come_together_share_one_renewal(keeper: Keeper, clock: Clock) -> None:
    vendor = vendor_with(renewed(1))
    ours = tokens(vendor, keeper, clock)
    found = await asyncio.gather(*(ours.current() for _ in range(5)))
    assert {token.secret for token in found} == {"hush-access-1"}
    assert vendor.calls == [RENEW]


async def test_credentials_that_were_stated_meanwhile_are_not_overwritten(keeper: Keeper, clock: Clock) -> None:
    def state_others(_: httpx.Request) -> httpx.Response:
        keeper.keep("acme", Target.MOTIVE, {**STATED, "refresh_token": "hush-new"})
        return renewed(1)(_)

    assert (await failed(tokens(vendor_with(state_others), keeper, clock))).reason is Reason.DOWN
    assert keeper.tokens("acme", Target.MOTIVE) == RenewableTokens(refresh_token="hush-new")


async def test_an_account_that_has_an_api_key_by_now_is_not_called_by_the_former_grant(
    keeper: Keeper, clock: Clock
) -> None:
    ours = tokens(vendor_with(renewed(1)), keeper, clock)
    keeper.keep("acme", Target.MOTIVE, {"api_key": "hush-key"})
    expected = Unavailable(reason=Reason.DOWN, detail="the account is not connected by OAuth any more")
    assert await failed(ours) == expected


async def test_closing_lets_a_renewal_end_and_be_stored(keeper: Keeper, clock: Clock) -> None:
    goes_on = threading.Event()

    def reading() -> Iterator[object]:
        yield goes_on.wait(10)

    keeper.before_reading = reading()
    ours = tokens(vendor_with(renewed(1)), keeper, clock)
    caller = asyncio.create_task(ours.current())
    await asyncio.sleep(0)
    caller.cancel()
    goes_on.set()
    await ours.close()
    assert caller.cancelled()
    assert keeper.tokens("acme", Target.MOTIVE) == to_tokens(1)


async def test_closing_stores_what_could_not_be_stored_before(keeper: Keeper, clock: Clock) -> None:
    ours = tokens(vendor_with(renewed(1)), keeper, clock)
    keeper.failure = StoreFailed("away")
    await failed(ours)
    keeper.failure = None
    await ours.close()
    assert keeper.tokens("acme", Target.MOTIVE) == to_tokens(1)


async def test_closing_is_not_kept_from_ending_by_a_keeper_that_does_not_work(keeper: Keeper, clock: Clock) -> None:
    ours = tokens(vendor_with(renewed(1)), keeper, clock)
    keeper.failure = StoreFailed("away")
    await failed(ours)
    await ours.close()
    assert keeper.tokens("acme", Target.MOTIVE) == RenewableTokens(refresh_token="hush-0")


def test_tokens_never_show_their_secrets(keeper: Keeper) -> None:
    grant = OAuthGrant(
        target=Target.MOTIVE,
        account="acme",
        token_url="https://motive.test/oauth/token",
        keeper=keeper,
        **STATED,
    )
    assert "hush" not in f"{grant!r} {to_tokens(1)!r}"


@pytest.mark.parametrize(
    "odd",
    [{"expires_in": "soon"}, {"expires_in": None}, {"expires_in": {}}, {"expires_in": -1}, {"refresh_token": None}],
    ids=str,
)
async def test_a_spent_refresh_token_is_never_lost_to_an_odd_field_beside_its_successor(
    keeper: Keeper, clock: Clock, odd: dict[str, object]
) -> None:
    vendor = vendor_with(answer(200, {"access_token": "hush-access-1", "refresh_token": "hush-1", **odd}))
    assert (await tokens(vendor, keeper, clock).current()).secret == "hush-access-1"
    stored = keeper.tokens("acme", Target.MOTIVE)
    assert stored is not None
    assert stored.refresh_token == ("hush-0" if "refresh_token" in odd else "hush-1")
