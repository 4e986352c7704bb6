"""What a vendor's answer, or its absence, means for a call.

no connection, so nothing was sent    retried, then DOWN
an answer too long, or without end    a read is DOWN, and not retried; a write is NO_ANSWER
silence after sending                 a read is retried, then DOWN; a write is NO_ANSWER at once
429                                   the rate is lowered; retried if the wait is short, then LIMITED
502, 503, 504                         retried if the wait is short, but a create never; then as below
301, 302, 303, 307, 308               never followed: NOT_CONFIGURED, with the setting and where the redirect points;
                                      NO_ANSWER for a write that may have taken effect
other 5xx, 408, 3xx, web pages,
404 or 410 in words that are not JSON a read is DOWN; the outcome of a write is unknown: NO_ANSWER
401, 403                              an answer: CREDENTIALS
404                                   an answer: the call knows what it means, else NOT_CONFIGURED
other 4xx                             an answer: INVALID

A refusal of a repeat says nothing about the first try, which may have taken effect: such a write is NO_ANSWER too,
whatever the refusal says, until its outcome is read back.
"""

import codecs
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import httpx

from adapters.http.rate_limit import LONGEST_WAIT, limited
from domain.cleaning import DAY, bounded, seconds
from domain.failures import (
    CLASSES,
    CallFailure,
    FailureClass,
    Reason,
    Rejected,
    TargetFailed,
    Unavailable,
    redacted,
)
from domain.ports import Answer
from domain.profile import Profile

P = ParamSpec("P")
T = TypeVar("T")

REFUSED: Final = frozenset({400, 409, 422})
"""The statuses by which a vendor refuses what a write says."""

_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
_BEFORE: Final = b" \t\r\n" + codecs.BOM_UTF8
_JSON: Final = (b"{", b"[", b'"', b"null")
_PASSING: Final = frozenset({502, 503, 504})
_PERSONAL: Final = re.compile(r"\S*@\S*|\+?\d[\d().\- ]{5,}\d")


class UnboundedAnswer(httpx.RequestError):
    """An answer was given up because of its length or duration; the message says so in words for people."""


class Intent(Enum):
    """What a call is for, and so what may be done when its answer is lost."""

    READ = auto()
    """Leaves nothing behind that counts: may be repeated in any case."""

    WRITE = auto()
    """States a whole desired state: may be repeated after a gateway's failure, not after silence."""

    CREATE = auto()
    """Makes something new: never repeated once it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTry:
    """Why one try of a call failed, and whether the next one may succeed."""

    failure: CallFailure
    is_passing: bool

    @property
    def wait(self) -> float:
        """How many seconds the vendor asked to wait."""
        return (self.failure.retry_after if isinstance(self.failure, Unavailable) else None) or 0.0


class RepeatRefused(TargetFailed):
    """A repeat was refused after a first try that may have taken effect: NO_ANSWER until it is read back.

    `reply` is the refusal, for a caller that can find out from it what became of the first try.
    """

    def __init__(self, first: Unavailable, reply: httpx.Response) -> None:
        super().__init__(no_answer(f"{first.detail}, and {reply.status_code} to the repeat"))
        self.reply = reply


def failure_of_error(error: httpx.RequestError, intent: Intent) -> FailedTry:
    """What it means that no answer came."""
    if isinstance(error, _NOT_SENT):
        through = ", and none through the environment's proxy" if isinstance(error, httpx.ProxyError) else ""
        return FailedTry(failure=down(f"no connection{through}"), is_passing=True)
    if isinstance(error, UnboundedAnswer):
        failing = down if intent is Intent.READ else no_answer
        return FailedTry(failure=failing(str(error)), is_passing=False)
    if intent is Intent.READ:
        return FailedTry(failure=down("no answer to a read"), is_passing=True)
    return FailedTry(failure=no_answer("sent, but no answer came"), is_passing=False)


def failure_of_redirect(
    reply: httpx.Response, url: httpx.URL, intent: Intent, *, path: str, setting: str
) -> FailedTry | None:
    """What a redirect means; None for any other answer. `path` is what the call added to the setting's address."""
    failure = redirected(reply, url, path, setting)
    if failure is None:
        return None
    # "See other", or "found" at the same host, may answer a write that took effect.
    is_found = reply.status_code == httpx.codes.FOUND
    may_be_done = reply.status_code == httpx.codes.SEE_OTHER or (
        is_found and _joined(url, reply.headers["Location"]).raw_host == url.raw_host
    )
    is_open = intent is not Intent.READ and may_be_done
    return FailedTry(failure=in_doubt(failure) if is_open else failure, is_passing=False)


def failure_of_reply(reply: httpx.Response, intent: Intent, now: float, *, may_lack: bool) -> FailedTry | None:
    """What an answer means that leaves the call open; None for one that ends it."""
    status = reply.status_code
    wait = seconds_until(reply.headers.get("Retry-After"), now)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return FailedTry(failure=limited(wait), is_passing=_is_short(wait))
    if _is_answer(reply) or (may_lack and status == httpx.codes.NOT_FOUND):
        return None
    failing = down if intent is Intent.READ else no_answer
    is_passing = status in _PASSING and _is_short(wait) and intent is not Intent.CREATE
    return FailedTry(failure=failing(f"answered {status}", wait), is_passing=is_passing)


def down(detail: str, retry_after: float | None = None) -> Unavailable:
    """The vendor does not work at the moment."""
    return Unavailable(reason=Reason.DOWN, detail=detail, retry_after=retry_after)


def in_doubt(failure: CallFailure) -> Unavailable:
    """The same failure of a write that may have taken effect."""
    return no_answer(failure.detail, failure.retry_after if isinstance(failure, Unavailable) else None)


def no_answer(detail: str, retry_after: float | None = None) -> Unavailable:
    """The outcome of a write is unknown until it is read back."""
    return Unavailable(reason=Reason.NO_ANSWER, detail=detail, retry_after=retry_after)


def _is_short(wait: float | None) -> bool:
    return wait is None or wait <= LONGEST_WAIT


def _is_answer(reply: httpx.Response) -> bool:
    """Whether the API answers, and not a server in front of it: by a web page, or by text that knows no address."""
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return True
    said = reply.content.lstrip(_BEFORE)
    is_miss = reply.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE)
    if said.startswith(b"<") or (is_miss and said and not said.startswith(_JSON)):
        return False
    return reply.is_success or (reply.is_client_error and reply.status_code != httpx.codes.REQUEST_TIMEOUT)


def seconds_until(text: str | None, now: float) -> float | None:
    """The meaning of a `Retry-After`, in seconds, at most a day: a number, or an HTTP date. Source: RFC 9110, 10.2.3.

    Some send the time itself, in seconds or milliseconds since the epoch.
    """
    if text is None:
        return None
    if (wait := seconds(text, now)) is not None:
        return wait
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    ends_at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return bounded(ends_at - now, least=0.0, most=DAY)


def refusal(reply: httpx.Response, words: str, profile: Profile) -> Rejected:
    """What a refusing answer means.

    The vendor's words are repeated only if the profile is there to take personal data out of them.
    """
    status = reply.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Rejected(reason=Reason.CREDENTIALS, detail=f"answered {status}")
    if status == httpx.codes.NOT_FOUND:
        return Rejected(reason=Reason.NOT_CONFIGURED, detail="answered 404: nothing is known at this address")
    repeated = _PERSONAL.sub("<...>", redacted(words, profile)) if profile else ""
    return Rejected(reason=Reason.INVALID, detail=f"answered {status}: {repeated}".rstrip(": "))


def answered(call: Callable[P, Coroutine[None, None, Answer]]) -> Callable[P, Coroutine[None, None, Answer]]:
    """The same call; a failure on its way becomes the value that it carries."""

    @wraps(call)
    async def with_failures(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return await call(*args, **kwargs)
        except TargetFailed as failed:
            return failed.failure

    return with_failures


UNKNOWN_OUTCOME: Final = no_answer("answered in an unknown form, and what was written is not seen")
"""The call was sent, and whether it took effect has to be looked up."""


def without_effect(detail: str) -> Rejected:
    """The target reported success, and yet it does not show what was asked for."""
    return Rejected(reason=Reason.NOT_EFFECTIVE, detail=detail)


_UNREAD: Final = "written, but not read back: "


def unconfirmed(failed: TargetFailed) -> CallFailure:
    """The write succeeded, and a call after it did not: read back, unless the target refuses the desired state."""
    failure = failed.failure
    return failure if CLASSES[failure.reason] is FailureClass.FINAL else _unread(failure)


def _unread(failure: CallFailure) -> Unavailable:
    """The write succeeded, and then the target could not be read, for whatever reason."""
    doubt = in_doubt(failure)
    return no_answer(_UNREAD + doubt.detail.removeprefix(_UNREAD), doubt.retry_after)


async def read_back(reading: Awaitable[T]) -> T:
    """What a target shows after it has answered a write.

    Raises `TargetFailed` with NO_ANSWER where it cannot be read, because the write may have taken effect: a target that
    refuses to show a driver, in whatever words, does not refuse what was written.
    """
    try:
        return await reading
    except TargetFailed as failed:
        raise TargetFailed(_unread(failed.failure)) from failed


_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST: Final = 100
_SEGMENTS: Final = 3
"""How much of another address's path is shown: what follows may name a driver."""


def redirected(reply: httpx.Response, url: httpx.URL, call_path: str, setting: str) -> Rejected | None:
    """The setting to correct, where this answer to a call at `url` is a redirect; None for any other answer.

    A redirect is never followed: it would carry credentials to an address that no setting names. The failure shows host
    and path, without the part of the path that the call itself added. Source of the statuses: RFC 9110, 15.4.
    """
    if reply.status_code not in _MOVED or "Location" not in reply.headers:
        return None
    target = _joined(url, reply.headers["Location"])
    where = "an address that cannot be read"
    if target.raw_host:
        path = target.raw_path.decode("ascii").partition("?")[0].rstrip("/")
        if path.endswith(call_path):
            base = path.removesuffix(call_path)
        else:
            segments = path.split("/")
            base = "/".join(segments[: _SEGMENTS + 1]) + ("/..." if len(segments) > _SEGMENTS + 1 else "")
        port = f":{target.port}" if target.port else ""
        where = f"{target.scheme}://{target.raw_host.decode('ascii')[:_LONGEST]}{port}{base[:_LONGEST]}"
    detail = f"answered {reply.status_code}, a redirect to {where}, which is not followed: correct {setting}"
    return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError):
        return httpx.URL()
