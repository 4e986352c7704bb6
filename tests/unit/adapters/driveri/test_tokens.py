import asyncio
from base64 import b64encode

import httpx
import pytest

from adapters.driveri.client import USUAL_LIFETIME, DriveriTokens
from adapters.driveri.wire import DriveriAccess
from adapters.http.client import Sender
from adapters.http.oauth import RENEW_AGAIN
from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from tests.unit.adapters.vendor import Answer, Vendor, answer, failure

pytestmark = pytest.mark.anyio

NOW = 1_000_000.0
HOUR = 3600.0
ACCESS = DriveriAccess(base_url="https://driveri.test", tenant="acme", client_id="id", client_secret="hush")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def row(name: str, *, expires: float = NOW + HOUR, created: float = NOW, shown: bool = True) -> dict[str, object]:
    secret = {"accessToken": f"secret-{name}"} if shown else {}
    return {"accessTokenId": f"id-{name}", "expiresOn": expires * 1000, "createdOn": created * 1000} | secret


def issued(name: str, expires: float = NOW + HOUR) -> Answer:
    return answer(200, {"data": {"tokenType": "Bearer", "scope": "View Drivers"} | row(name, expires=expires)})


def active(*rows: dict[str, object]) -> Answer:
    return answer(200, {"data": list(rows)})


def tokens(vendor: Vendor, clock: Clock | None = None) -> DriveriTokens:
    clock = clock or Clock()
    sender = Sender(
        base_url="https://driveri.test",
        headers={},
        transport=vendor.transport,
        clock=clock,
        pause=vendor.pause,
        jitter=lambda: 0.0,
    )
    return DriveriTokens(ACCESS, sender, clock)


def vendor_with(*rows: dict[str, object]) -> Vendor:
    vendor = Vendor()
    vendor.on("GET /v1/auth/tokens", active(*rows))
    vendor.on("POST /v1/auth/token", issued("new"))
    return vendor


SCOPES = "the API key needs the scopes Create Access Token, View Access Token, Delete Access Token"
LIST = "GET /v1/auth/tokens"
ASK = "POST /v1/auth/token"


async def test_a_token_is_asked_for_with_the_api_key() -> None:
    vendor = vendor_with()
    token = await tokens(vendor).current()
    assert token.headers() == {"Authorization": "Bearer secret-new"}
    basic = "Basic " + b64encode(b"id:hush").decode()
    assert [request.headers["Authorization"] for request in vendor.requests] == [basic, basic]


async def test_a_token_is_kept_until_it_has_to_be_renewed() -> None:
    vendor, clock = vendor_with(), Clock()
    ours = tokens(vendor, clock)
    await ours.current()
    clock.now += HOUR - 301
    await ours.current()
    assert vendor.calls == [LIST, ASK]


async def test_a_token_is_renewed_some_time_before_it_expires() -> None:
    vendor, clock = vendor_with(), Clock()
    ours = tokens(vendor, clock)
    await ours.current()
    clock.now += HOUR - 300
    vendor.on(ASK, issued("next", expires=NOW + 2 * HOUR))
    assert (await ours.current()).secret == "secret-next"


async def test_a_token_of_a_short_life_is_used_for_most_of_it() -> None:
    vendor, clock = vendor_with(), Clock()
    vendor.on(ASK, issued("brief", expires=NOW + 30))
    ours = tokens(vendor, clock)
    await ours.current()
    clock.now += 26
    await ours.current()
    assert vendor.calls == [LIST, ASK]


async def test_callers_who_come_together_share_one_renewal() -> None:
    vendor = vendor_with()
    ours = tokens(vendor)
    found = await asyncio.gather(*(ours.current() for _ in range(5)))
    assert len(set(found)) == 1
    assert vendor.calls == [LIST, ASK]


async def test_callers_who_come_together_share_one_failure() -> None:
    vendor = Vendor()
    vendor.on(LIST, answer(500))
    ours = tokens(vendor)
    found = await asyncio.gather(*(ours.current() for _ in range(5)), return_exceptions=True)
    assert {str(failed) for failed in found} == {"down: answered 500"}
    assert vendor.calls == [LIST]


async def test_the_active_token_that_lasts_longest_is_reused() -> None:
    vendor = vendor_with(row("short", expires=NOW + 600), row("long", expires=NOW + 1200))
    assert (await tokens(vendor).current()).secret == "secret-long"
    assert vendor.calls == [LIST]


async def test_active_tokens_may_be_listed_below_a_name() -> None:
    vendor = vendor_with()
    vendor.on(LIST, answer(200, {"data": {"tokens": [row("old")]}}))
    assert (await tokens(vendor).current()).secret == "secret-old"


@pytest.mark.parametrize("nothing", [answer(200), answer(404), answer(200, {"data": None}), answer(200, {"data": {}})])
async def test_a_missing_list_of_tokens_has_no_active_token(nothing: Answer) -> None:
    vendor = vendor_with()
    vendor.on(LIST, nothing)
    assert (await tokens(vendor).current()).secret == "secret-new"


@pytest.mark.parametrize(
    "useless", [row("hidden", shown=False), row("expiring", expires=NOW + 60)], ids=["hidden", "expiring"]
)
async def test_a_token_that_cannot_be_used_is_not_reused(useless: dict[str, object]) -> None:
    assert (await tokens(vendor_with(useless)).current()).secret == "secret-new"


@pytest.mark.parametrize("status", [400, 403, 409])
async def test_the_oldest_token_makes_room_when_a_third_is_refused(status: int) -> None:
    vendor = vendor_with(row("younger", shown=False, created=NOW - 5), row("older", shown=False, created=NOW - 9))
    vendor.on(ASK, answer(status), issued("new"))
    vendor.on("DELETE /v1/auth/token/revoke/id-older", answer(200, {"data": {"message": "revoked"}}))
    assert (await tokens(vendor).current()).secret == "secret-new"
    assert vendor.calls == [LIST, ASK, LIST, "DELETE /v1/auth/token/revoke/id-older", ASK]


@pytest.mark.parametrize("first", [answer(400), failure(httpx.ReadTimeout)], ids=["refused", "unanswered"])
async def test_a_token_that_came_meanwhile_is_used_in_place_of_a_third(first: Answer) -> None:
    """Another process was first; or our own request was, and its answer was lost."""
    vendor = vendor_with()
    vendor.on(LIST, active(row("hidden", shown=False)), active(row("hidden", shown=False), row("theirs")))
    vendor.on(ASK, first, answer(400))
    assert (await tokens(vendor).current()).secret == "secret-theirs"
    assert set(vendor.calls) == {LIST, ASK}


async def test_nothing_is_revoked_while_our_own_token_lasts() -> None:
    vendor, clock = vendor_with(), Clock()
    ours = tokens(vendor, clock)
    first = await ours.current()
    vendor.on(LIST, active(row("new"), row("hidden", shown=False)))
    vendor.on(ASK, answer(400), issued("next", expires=NOW + 2 * HOUR))
    clock.now += HOUR - 300
    assert (await ours.current()).secret == first.secret
    assert vendor.calls == [LIST, ASK, LIST, ASK, LIST]
    clock.now += 300
    vendor.on(LIST, active(row("hidden", shown=False)))
    assert (await ours.current()).secret == "secret-next"


async def test_a_renewal_that_fails_leaves_a_token_in_use_that_still_lasts() -> None:
    vendor, clock = vendor_with(), Clock()
    ours = tokens(vendor, clock)
    first = await ours.current()
    vendor.on(LIST, answer(500))
    clock.now += HOUR - 300
    assert (await ours.current()).secret == first.secret
    assert (await ours.current()).secret == first.secret
    assert vendor.calls == [LIST, ASK, LIST]
    vendor.on(LIST, active())
    vendor.on(ASK, issued("next", expires=NOW + 2 * HOUR))
    clock.now += RENEW_AGAIN
    assert (await ours.current()).secret == "secret-next"


async def test_a_token_that_has_ended_is_used_no_more_though_it_cannot_be_renewed() -> None:
    vendor, clock = vendor_with(), Clock()
    ours = tokens(vendor, clock)
    await ours.current()
    vendor.on(LIST, answer(500))
    clock.now += HOUR
    with pytest.raises(TargetFailed, match="down: answered 500"):
        await ours.current()


async def test_our_own_token_is_not_taken_for_its_successor() -> None:
    vendor, clock = vendor_with(), Clock()
    ours = tokens(vendor, clock)
    await ours.current()
    vendor.on(LIST, active(row("new")))
    vendor.on(ASK, issued("next", expires=NOW + 2 * HOUR))
    clock.now += HOUR - 300
    assert (await ours.current()).secret == "secret-next"


async def test_a_lost_answer_about_a_token_leaves_no_doubt_about_a_driver() -> None:
    vendor = vendor_with(row("hidden", shown=False), row("other", shown=False))
    vendor.on(ASK, answer(400))
    vendor.on("DELETE /v1/auth/token/revoke/id-hidden", failure(httpx.ReadTimeout))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    assert isinstance(raised.value.failure, Unavailable)
    assert raised.value.failure.reason is Reason.DOWN


@pytest.mark.parametrize(
    ("status", "reason"), [(400, Reason.CREDENTIALS), (409, Reason.CREDENTIALS), (404, Reason.NOT_CONFIGURED)]
)
async def test_a_token_that_is_refused_speaks_of_the_account_and_never_of_a_driver(status: int, reason: Reason) -> None:
    vendor = vendor_with()
    vendor.on(ASK, answer(status))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    assert raised.value.failure.reason is reason


async def test_nothing_is_revoked_when_a_first_token_is_refused() -> None:
    vendor = vendor_with(row("hidden", shown=False))
    vendor.on(ASK, answer(403))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    expected = Rejected(reason=Reason.CREDENTIALS, detail=f"no access token: answered 403; {SCOPES}")
    assert raised.value.failure == expected
    assert vendor.calls == [LIST, ASK, LIST]


async def test_a_wrong_api_key_is_a_matter_of_credentials() -> None:
    vendor = Vendor()
    vendor.on(LIST, answer(401))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    expected = Rejected(reason=Reason.CREDENTIALS, detail="no access token: answered 401")
    assert raised.value.failure == expected


async def test_a_token_answer_without_a_token_is_down() -> None:
    vendor = vendor_with()
    vendor.on(ASK, answer(200, {"data": row("hidden", shown=False)}))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    expected = Unavailable(reason=Reason.DOWN, detail="an answer of an unexpected form at data.accessToken")
    assert raised.value.failure == expected


UNSENDABLE = ["", "hush\u00e9", "hush\r\nX-Other: 1", "hush\0", "two words", "x" * 20_000]


@pytest.mark.parametrize("secret", UNSENDABLE, ids=range(len(UNSENDABLE)))
async def test_a_token_that_no_call_can_carry_is_down_and_not_shown(secret: str) -> None:
    vendor = vendor_with()
    vendor.on(ASK, answer(200, {"data": row("new") | {"accessToken": secret}}))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    detail = "a token came that no call can carry: it is blank, too long, or not plain ASCII"
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail=detail)


@pytest.mark.parametrize("secret", UNSENDABLE, ids=range(len(UNSENDABLE)))
async def test_an_active_token_that_no_call_can_carry_is_not_reused(secret: str) -> None:
    ours = tokens(vendor_with(row("a") | {"accessToken": secret}))
    assert (await ours.current()).secret == "secret-new"


async def test_a_refused_token_is_not_taken_from_the_list_again() -> None:
    vendor = vendor_with(row("old"))
    ours = tokens(vendor)
    ours.refuse(await ours.current())
    assert (await ours.current()).secret == "secret-new"


async def test_a_token_refused_late_does_not_push_out_its_successor() -> None:
    vendor = vendor_with(row("old"))
    ours = tokens(vendor)
    old = await ours.current()
    ours.refuse(old)
    new = await ours.current()
    ours.refuse(old)
    assert await ours.current() == new


async def test_a_token_refused_late_does_not_bring_back_its_successor_that_was_refused_too() -> None:
    vendor = vendor_with()
    vendor.on(LIST, active(row("old")), active(row("other")))
    ours = tokens(vendor)
    old = await ours.current()
    ours.refuse(old)
    ours.refuse(await ours.current())
    ours.refuse(old)
    assert (await ours.current()).secret == "secret-new"


async def test_only_our_own_token_is_given_back() -> None:
    vendor = vendor_with()
    ours = tokens(vendor)
    await ours.current()
    vendor.on("DELETE /v1/auth/token/revoke", answer(500))
    await ours.let_go()
    await ours.let_go()
    assert vendor.calls == [LIST, ASK, "DELETE /v1/auth/token/revoke"]
    assert vendor.requests[-1].headers["Authorization"] == "Bearer secret-new"


async def test_a_reused_token_is_left_to_its_owner() -> None:
    vendor = vendor_with(row("old"))
    ours = tokens(vendor)
    await ours.current()
    await ours.let_go()
    assert vendor.calls == [LIST]


async def test_a_key_that_may_not_see_its_tokens_gets_one_all_the_same() -> None:
    vendor = vendor_with()
    vendor.on(LIST, answer(403, {"message": "no scope"}))
    assert (await tokens(vendor).current()).secret == "secret-new"


async def test_a_token_that_does_not_say_when_it_expires_is_used_until_it_is_refused() -> None:
    nameless: dict[str, object] = {"accessToken": "secret-shown", "expiresOn": None, "createdOn": None}
    vendor = vendor_with(nameless)
    vendor.on(ASK, answer(200, {"data": {"accessToken": "secret-new"}}))
    token = await tokens(vendor).current()
    assert (token.secret, token.ends_at) == ("secret-new", NOW + USUAL_LIFETIME)


async def test_only_a_token_with_an_id_is_revoked_and_its_id_is_quoted() -> None:
    vendor = vendor_with({**row("a", created=NOW + 5, shown=False), "accessTokenId": "a/1"}, {"expiresOn": 1})
    vendor.on(ASK, answer(400), issued("new"))
    vendor.on("DELETE /v1/auth/token/revoke/a%2F1", answer(200))
    assert (await tokens(vendor).current()).secret == "secret-new"
    assert "DELETE /v1/auth/token/revoke/a%2F1" in vendor.calls


ODD = {
    "an object for its secret": {**row("odd"), "accessToken": {"of": "some"}},
    "no text for its end": {**row("odd", shown=False), "expiresOn": "soon"},
    "an object for its id": {**row("odd", shown=False), "accessTokenId": []},
    "a text": "secret-odd",
    "null": None,
    "a number": 7,
    "a secret that no header takes": {**row("odd", expires=NOW + 9 * HOUR), "accessToken": "sécret\r\nX: 1"},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_an_odd_row_spoils_no_other_of_the_active_tokens(odd: object) -> None:
    vendor = vendor_with()
    vendor.on(LIST, answer(200, {"data": [odd, row("good")]}))
    assert (await tokens(vendor).current()).secret == "secret-good"
    assert vendor.calls == [LIST]


async def test_an_odd_row_counts_as_active_so_that_the_other_one_makes_room() -> None:
    vendor = vendor_with()
    vendor.on(LIST, answer(200, {"data": [None, row("other", shown=False)]}))
    vendor.on(ASK, answer(400), issued("new"))
    assert (await tokens(vendor).current()).secret == "secret-new"
    assert "DELETE /v1/auth/token/revoke/id-other" in vendor.calls


@pytest.mark.parametrize("expires", ["soon", {}, [], True, 1e400, None])
async def test_a_new_token_whose_end_cannot_be_read_is_used_until_it_is_refused(expires: object) -> None:
    vendor, clock = vendor_with(), Clock()
    vendor.on(ASK, answer(200, {"data": {"accessToken": "secret-new", "expiresOn": expires, "createdOn": {}}}))
    assert (await tokens(vendor, clock).current()).ends_at >= NOW + 60


@pytest.mark.parametrize("frame", ["text", 7, [row("bare")], {"data": "text"}, {"data": 7}])
async def test_what_is_not_a_list_of_tokens_is_down(frame: object) -> None:
    vendor = vendor_with()
    vendor.on(LIST, answer(200, frame))
    with pytest.raises(TargetFailed) as raised:
        await tokens(vendor).current()
    assert raised.value.failure.reason is Reason.DOWN
