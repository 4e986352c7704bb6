import httpx
import pytest
from pydantic import BaseModel

from adapters.http.client import STEPS, UNLIMITED, Call, RateLimiter, Sender
from adapters.http.response import REFUSED, Intent, RepeatRefused, answered, parsed, refusal, seconds_until
from domain.failures import Reason, Rejected, TargetFailed, Unavailable
from domain.identity import Key
from domain.ports import Answer, Missing
from tests.unit.adapters.vendor import Answer as Answered
from tests.unit.adapters.vendor import Vendor, answer, failure, page

pytestmark = pytest.mark.anyio

DAY = 86_400.0
NOON = 1_767_268_800.0  # Thu, 01 Jan 2026 12:00:00 GMT

READ = Call(path="/things")
WRITE = Call(method="PUT", path="/things", intent=Intent.WRITE, body={"a": 1})
CREATE = Call(method="POST", path="/things", intent=Intent.CREATE, body={"a": 1})


class Thing(BaseModel):
    """A form to read into."""

    name: str
    size: int


def sender(vendor: Vendor) -> Sender:
    return Sender(
        base_url="https://vendor.test/api",
        headers={},
        transport=vendor.transport,
        rate_limiter=RateLimiter(UNLIMITED, clock=vendor.clock, pause=vendor.pause),
        clock=lambda: NOON,
        pause=vendor.pause,
        jitter=lambda: 0.0,
    )


async def failure_of(vendor: Vendor, call: Call) -> object:
    with pytest.raises(TargetFailed) as raised:
        await sender(vendor).send(call)
    return raised.value.failure


@pytest.mark.parametrize("status", [200, 201, 204, 400, 401, 403, 404, 409, 422])
async def test_a_success_or_a_refusal_is_an_answer(status: int) -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(status))
    assert (await sender(vendor).send(READ)).status_code == status
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("call", [READ, WRITE])
async def test_a_blip_is_tried_again_at_once(call: Call) -> None:
    vendor = Vendor()
    vendor.on(f"{call.method} /api/things", failure(httpx.ConnectError), answer(503), answer(200))
    assert (await sender(vendor).send(call)).status_code == 200
    assert vendor.waits == [0.2, 0.4]


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
async def test_a_write_that_was_never_sent_is_down_after_three_retries(error: type[httpx.TransportError]) -> None:
    vendor = Vendor()
    vendor.on("PUT /api/things", failure(error))
    assert await failure_of(vendor, WRITE) == Unavailable(reason=Reason.DOWN, detail="no connection")
    assert vendor.waits == [0.2, 0.4, 0.8]


@pytest.mark.parametrize("call", [WRITE, CREATE])
@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.ReadError, httpx.RemoteProtocolError])
async def test_a_write_without_an_answer_is_never_repeated(call: Call, error: type[httpx.TransportError]) -> None:
    vendor = Vendor()
    vendor.on(f"{call.method} /api/things", failure(error))
    assert await failure_of(vendor, call) == Unavailable(reason=Reason.NO_ANSWER, detail="sent, but no answer came")
    assert len(vendor.requests) == 1


async def test_a_read_without_an_answer_is_repeated() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", failure(httpx.ReadTimeout), answer(200))
    assert (await sender(vendor).send(READ)).status_code == 200


async def test_a_read_that_is_never_answered_is_down() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", failure(httpx.ReadTimeout))
    assert await failure_of(vendor, READ) == Unavailable(reason=Reason.DOWN, detail="no answer to a read")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 302])
async def test_a_create_with_an_unknown_outcome_is_not_repeated(status: int) -> None:
    vendor = Vendor()
    vendor.on("POST /api/things", answer(status))
    assert await failure_of(vendor, CREATE) == Unavailable(reason=Reason.NO_ANSWER, detail=f"answered {status}")
    assert len(vendor.requests) == 1


async def test_a_create_that_was_never_sent_is_tried_again_at_once() -> None:
    vendor = Vendor()
    vendor.on("POST /api/things", failure(httpx.ConnectError), answer(201))
    assert (await sender(vendor).send(CREATE)).status_code == 201


@pytest.mark.parametrize(("status", "requests"), [(500, 1), (503, 4), (408, 1), (302, 1)])
async def test_a_write_with_an_unknown_outcome_has_no_answer(status: int, requests: int) -> None:
    vendor = Vendor()
    vendor.on("PUT /api/things", answer(status))
    assert await failure_of(vendor, WRITE) == Unavailable(reason=Reason.NO_ANSWER, detail=f"answered {status}")
    assert len(vendor.requests) == requests


@pytest.mark.parametrize("last", [failure(httpx.ConnectError), answer(429, headers={"Retry-After": "60"})])
async def test_a_write_that_was_sent_once_stays_in_doubt_whatever_comes_of_its_repetition(last: Answered) -> None:
    vendor = Vendor()
    vendor.on("PUT /api/things", answer(503), last)
    failed = await failure_of(vendor, WRITE)
    assert isinstance(failed, Unavailable)
    assert failed.reason is Reason.NO_ANSWER


async def test_a_proxy_that_leads_nowhere_is_reported_and_nothing_was_sent() -> None:
    vendor = Vendor()
    vendor.on("POST /api/things", failure(httpx.ProxyError))
    detail = "no connection, and none through the environment's proxy"
    assert await failure_of(vendor, CREATE) == Unavailable(reason=Reason.DOWN, detail=detail)


@pytest.mark.parametrize("call", [WRITE, CREATE])
async def test_a_web_page_does_not_tell_what_became_of_a_write(call: Call) -> None:
    vendor = Vendor()
    vendor.on(f"{call.method} /api/things", page(200))
    assert await failure_of(vendor, call) == Unavailable(reason=Reason.NO_ANSWER, detail="answered 200")


@pytest.mark.parametrize("status", [502, 504])
async def test_a_write_that_states_the_whole_desired_is_repeated_behind_a_gateway(status: int) -> None:
    vendor = Vendor()
    vendor.on("PUT /api/things", answer(status), answer(200))
    assert (await sender(vendor).send(WRITE)).status_code == 200


@pytest.mark.parametrize("refusal", [400, 401, 403, 404, 409, 422])
async def test_a_refusal_of_a_repeat_leaves_open_what_became_of_the_first_try(refusal: int) -> None:
    vendor = Vendor()
    vendor.on("PUT /api/things", answer(502), answer(refusal))
    with pytest.raises(RepeatRefused) as raised:
        await sender(vendor).send(WRITE)
    detail = f"answered 502, and {refusal} to the repeat"
    assert raised.value.failure == Unavailable(reason=Reason.NO_ANSWER, detail=detail)
    assert raised.value.reply.status_code == refusal


async def test_a_refusal_after_a_try_that_was_never_sent_is_an_answer() -> None:
    vendor = Vendor()
    vendor.on("PUT /api/things", failure(httpx.ConnectError), answer(404))
    assert (await sender(vendor).send(WRITE)).status_code == 404


async def test_a_refusal_of_a_repeated_read_is_an_answer() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(502), answer(404))
    assert (await sender(vendor).send(READ)).status_code == 404


@pytest.mark.parametrize("status", [500, 501, 408, 302])
async def test_what_is_neither_success_nor_refusal_is_down(status: int) -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(status))
    assert await failure_of(vendor, READ) == Unavailable(reason=Reason.DOWN, detail=f"answered {status}")
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_a_web_page_is_not_an_answer(status: int) -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", page(status))
    assert await failure_of(vendor, READ) == Unavailable(reason=Reason.DOWN, detail=f"answered {status}")


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("said", [b"default backend - 404", b"404 page not found\n", b"\xef\xbb\xbf <!doctype html>"])
async def test_a_miss_in_other_words_than_an_apis_says_nothing_of_the_driver_asked_for(
    status: int, said: bytes
) -> None:
    for call, reason in ((READ, Reason.DOWN), (WRITE, Reason.NO_ANSWER)):
        vendor = Vendor()
        vendor.on(f"{call.method} /api/things", lambda _: httpx.Response(status, content=said))
        assert await failure_of(vendor, call) == Unavailable(reason=reason, detail=f"answered {status}")


@pytest.mark.parametrize("said", [b"", b"{}", b" []", b"\xef\xbb\xbf{}", b'"not found"'])
async def test_a_miss_in_json_or_without_words_is_an_answer(said: bytes) -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", lambda _: httpx.Response(404, content=said))
    assert (await sender(vendor).send(READ)).status_code == 404


async def test_a_short_limit_is_waited_for() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(429, headers={"Retry-After": "1"}), answer(200))
    assert (await sender(vendor).send(READ)).status_code == 200
    assert vendor.waits == [1.0]


async def test_a_long_limit_is_the_callers_decision() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(429, headers={"Retry-After": "Thu, 01 Jan 2026 12:01:30 GMT"}))
    expected = Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=90.0)
    assert await failure_of(vendor, READ) == expected
    assert len(vendor.requests) == 1


async def test_a_limit_without_a_time_is_tried_again_with_growing_delays() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(429))
    assert await failure_of(vendor, READ) == Unavailable(reason=Reason.LIMITED, detail="answered 429")
    assert vendor.waits == pytest.approx([0.2, 0.4, 0.8, 1.6, *[2.0] * 6])


@pytest.mark.parametrize("call", [READ, WRITE, CREATE])
async def test_a_limit_is_waited_out_whatever_the_call_is_for(call: Call) -> None:
    vendor = Vendor()
    vendor.on(f"{call.method} /api/things", *[answer(429, headers={"Retry-After": "2"})] * 10, answer(200))
    assert (await sender(vendor).send(call)).status_code == 200
    assert vendor.waits == [2.0] * 10


async def test_blips_and_limits_are_counted_apart() -> None:
    vendor = Vendor()
    limit = answer(429, headers={"Retry-After": "1"})
    vendor.on("GET /api/things", *[limit] * 5, *[answer(503)] * 3, *[limit] * 5, answer(200))
    assert (await sender(vendor).send(READ)).status_code == 200


async def test_a_long_limit_stops_the_calls_behind_it_too() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(429, headers={"Retry-After": "90"}), answer(200))
    account = sender(vendor)
    for _ in range(2):
        with pytest.raises(TargetFailed) as raised:
            await account.send(READ)
        assert raised.value.failure == Unavailable(reason=Reason.LIMITED, detail="answered 429", retry_after=90.0)
    assert len(vendor.requests) == 1
    assert account.slots() == 0
    await vendor.pause(90.0)
    assert (await account.send(READ)).status_code == 200


async def test_a_server_in_trouble_does_not_raise_the_pace() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(429, headers={"Retry-After": "1"}), *[answer(500)] * 4, answer(200))
    account = sender(vendor)
    for _ in range(4):
        with pytest.raises(TargetFailed):
            await account.send(READ)
    await vendor.pause(60.0)
    assert account.slots() == UNLIMITED.calls_at_once - 1
    for _ in range(STEPS // UNLIMITED.calls_at_once + 1):
        await account.send(READ)
    assert account.slots() == UNLIMITED.calls_at_once


async def test_maintenance_with_a_long_wait_says_for_how_long() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(503, headers={"Retry-After": "600"}))
    expected = Unavailable(reason=Reason.DOWN, detail="answered 503", retry_after=600.0)
    assert await failure_of(vendor, READ) == expected


async def test_jitter_spreads_retries_by_up_to_half() -> None:
    vendor = Vendor()
    vendor.on("GET /api/things", answer(503), answer(200))
    spread = Sender(
        base_url="https://vendor.test/api",
        headers={},
        transport=vendor.transport,
        rate_limiter=RateLimiter(UNLIMITED, clock=vendor.clock, pause=vendor.pause),
        clock=lambda: NOON,
        pause=vendor.pause,
        jitter=lambda: 0.5,
    )
    await spread.send(READ)
    assert vendor.waits == [0.25]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 17 ", 17.0),
        ("Thu, 01 Jan 2026 12:00:05 GMT", 5.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 12:00:00 GMT", 86_400.0),
        ("Thu, 01 Jan 99999999999 12:00:00 GMT", None),
        (str(int(NOON) + 90), 90.0),
        (str((int(NOON) + 90) * 1000), 90.0),
        ("9" * 5_000, 86_400.0),
        ("soon", None),
        ("-1", None),
        ("1.5", 1.5),
        ("Thu, 01 Jan 2026 07:00:05 -0500", 5.0),
        ("3567268860", DAY),
        ("3567268860000", DAY),
        ("1e400", DAY),
        ("inf", DAY),
        ("NaN", None),
        ("-inf", None),
        ("-1e400", None),
        ("Fri, 01 Jan 2083 12:00:00 GMT", DAY),
        ("Thu, 01 Jan 0001 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 99999 12:00:00 GMT", None),
        ("Thu, 01 Jan 2026 12:00:05 +99999999999999999999", None),
        ("Thu, 99 Jan 2026 12:00:05 GMT", None),
        ("", None),
        (",,,", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert seconds_until(text, NOON) == seconds


def test_a_body_of_another_form_is_named_by_its_places_only() -> None:
    reply = httpx.Response(200, json={"name": 7, "size": "Jane"})
    with pytest.raises(TargetFailed) as raised:
        parsed(reply, Thing)
    expected = Unavailable(reason=Reason.DOWN, detail="an answer of an unexpected form at name, size")
    assert raised.value.failure == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "Jos\xe9", "size": 1}',
        b'{"name": "Jos\\ud83d", "size": 1}',
        b'{"name": "Jos\x01", "size": 1}',
        b"[" * 100_000,
        b"NaN",
    ],
)
def test_what_cannot_be_read_to_the_last_character_is_down(body: bytes) -> None:
    with pytest.raises(TargetFailed) as raised:
        parsed(httpx.Response(200, content=body), Thing)
    assert raised.value.failure.reason is Reason.DOWN


def test_an_empty_body_where_one_is_needed_is_down() -> None:
    with pytest.raises(TargetFailed) as raised:
        parsed(httpx.Response(200), Thing)
    assert raised.value.failure == Unavailable(reason=Reason.DOWN, detail="an answer of an unexpected form at body")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_distinguished(status: int) -> None:
    expected = Rejected(reason=Reason.CREDENTIALS, detail=f"answered {status}")
    assert refusal(httpx.Response(status), "no", {}) == expected


def test_an_unknown_address_is_a_matter_of_configuration() -> None:
    assert refusal(httpx.Response(404), "", {}).reason is Reason.NOT_CONFIGURED


@pytest.mark.parametrize("status", sorted(REFUSED))
def test_a_refusal_repeats_the_vendor_without_personal_data(status: int) -> None:
    words = "Doe: jane@fleet.test and JANE@other.test or +1 (555) 123-4567 are in use"
    profile = {"last_name": "Doe", "email": "jane@fleet.test"}
    expected = Rejected(
        reason=Reason.INVALID, detail=f"answered {status}: <last_name>: <email> and <...> or <...> are in use"
    )
    assert refusal(httpx.Response(status), words, profile) == expected


def test_a_refusal_without_a_profile_keeps_the_vendors_words_to_itself() -> None:
    assert refusal(httpx.Response(400), "Jane Doe", {}) == Rejected(reason=Reason.INVALID, detail="answered 400")


async def test_a_failure_on_the_way_becomes_the_answer() -> None:
    failed = Unavailable(reason=Reason.DOWN, detail="answered 500")

    async def call() -> Answer:
        raise TargetFailed(failed)

    async def other_call() -> Answer:
        return Missing(key=Key("A1"))

    assert await answered(call)() == failed
    assert await answered(other_call)() == Missing(key=Key("A1"))
