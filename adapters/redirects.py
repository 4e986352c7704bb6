"""A redirect is never followed: it would carry credentials to an address that no setting names.

It is a setting that is wrong, so the failure names the setting and where the redirect points: host and path, without
the part of the path that our own call added. Source of the statuses: RFC 9110, 15.4.
"""

from typing import Final

import httpx

from domain.failures import Reason, Rejected

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_LONGEST: Final = 100
_SEGMENTS: Final = 3
"""How much of a foreign path is shown: what follows may name a driver."""


def redirected(reply: httpx.Response, url: httpx.URL, call_path: str, setting: str) -> Rejected | None:
    """The setting to correct, where this answer to a call at `url` is a redirect; None for any other answer."""
    if reply.status_code not in _MOVED or "Location" not in reply.headers:
        return None
    where = _where(url, reply.headers["Location"], call_path)
    detail = f"answered {reply.status_code}, a redirect to {where}, which is not followed: correct {setting}"
    return Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)


def may_be_done(reply: httpx.Response, url: httpx.URL) -> bool:
    """Whether a redirect may answer a write that took effect: "see other", or "found" at the same host."""
    if reply.status_code == httpx.codes.SEE_OTHER:
        return True
    return reply.status_code == httpx.codes.FOUND and _joined(url, reply.headers["Location"]).raw_host == url.raw_host


def _where(url: httpx.URL, location: str, call_path: str) -> str:
    target = _joined(url, location)
    if not target.raw_host:
        return "an address that cannot be read"
    path = target.raw_path.decode("ascii").partition("?")[0].rstrip("/")
    base = path.removesuffix(call_path) if path.endswith(call_path) else _beginning(path)
    port = f":{target.port}" if target.port else ""
    return f"{target.scheme}://{target.raw_host.decode('ascii')[:_LONGEST]}{port}{base[:_LONGEST]}"


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError):
        return httpx.URL()


def _beginning(path: str) -> str:
    segments = path.split("/")
    shown = "/".join(segments[: _SEGMENTS + 1])
    return shown if len(segments) <= _SEGMENTS + 1 else f"{shown}/..."
