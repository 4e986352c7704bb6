"""How every page is made: its template, the headers that keep it safe, and how a refusal is shown."""

from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from json import dumps, loads
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from domain.account import Account
from domain.identity import PORTAL, Target
from services.api import V1
from services.api.authentication import CSRF_FIELD, cookie_name
from services.api.explanation_text import field_name, named
from services.api.installation import Installation
from services.api.permissions import PERMISSIONS, Caller, Scope
from services.api.routing import GuardedRoute
from services.api.schema import to_json
from services.runtime.context import utc_now

ROOT: Final = "/console"
"""Where the console is."""

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but our own files, no inline script or style, and no frame of another site around it."""

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

STATE_WORDS: Final[Mapping[str, str]] = {
    "in_sync": "in sync",
    "pending": "on its way",
    "parked": "set aside",
    "held": "held",
    "kept": "kept",
    "ended": "ended",
    "undecided": "undecided",
    "unmanaged": "unmanaged",
}
"""How a driver can stand on a target, in words for people."""


def place_named(place: str) -> str:
    """The Portal, or a target, within a sentence."""
    return "the Portal" if place == PORTAL else named(place)


DONE: Final[Mapping[str, str]] = {
    "turned-off": "Sync Drivers is off. Nothing is written any more, and nothing was changed.",
    "applied": "The plan was requested. The reconciliation does exactly what you saw, or nothing.",
    "approved": "Approved. Exactly these deletes go out now.",
    "rejected": "Rejected. These drivers stay.",
    "retried": "Requested. What was set aside is looked at again.",
    "reconciled": "Requested. A reconciliation reads the whole roster, and then decides.",
    "mode": "The mode is set.",
    "time": "The time of daily reconciliations is set.",
    "allowed": "The account may turn Sync Drivers on now.",
    "rekeyed": "Approved. The next list of the Portal gives exactly these drivers their other identifiers.",
    "revoked": "Revoked. What this sender pushes is refused from now on.",
    "webhook-on": "The endpoint is on: what waits is sent now.",
    "webhook-off": "Nothing is sent to the endpoint until it is enabled.",
    "webhook-deleted": "The endpoint is deleted, with its secret and its messages.",
    "pinged": "A ping is sent: load the page again to see whether it arrived.",
    "resent": "The message is sent again: load the page again to see whether it arrived.",
    "key-revoked": "Revoked. The key is refused from now on.",
    "resubmitted": "Resubmitted. The service looks at it again, and what fails again comes back.",
    "dropped": "Dropped for good.",
    "added": "The account is added, and its targets are only observed: enter its credentials, and set the modes.",
    "people": "The tier and the people are set.",
    **{
        f"{done}-{place}": sentence.format(place_named(place))
        for place in (PORTAL, *Target)
        for done, sentence in {
            "connected": "The credentials for {0} are stored, and never shown again. Check whether they work.",
            "removed": "The credentials for {0} are removed.",
            "checked": "The credentials work: {0} answered just now.",
        }.items()
    },
}
"""What a page says after something was done; only these texts can be named in a link."""


def _moment(at: datetime | str | None) -> Markup:
    if not at:
        return Markup('<span class="dim">never</span>')
    moment = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{} UTC</time>').format(
        moment.isoformat(), moment.isoformat(), f"{moment:%Y-%m-%d %H:%M:%S}"
    )


def _ago(at: datetime | str | None) -> Markup:
    """How long ago, or in how long; the moment itself is its title."""
    if not at:
        return Markup('<span class="dim">never</span>')
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    seconds = (at - utc_now()).total_seconds()
    words = f"in {_countdown(seconds)}" if seconds > 0 else f"{_duration(-seconds)} ago"
    moment = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC" data-relative>{}</time>').format(
        moment.isoformat(), f"{moment:%Y-%m-%d %H:%M:%S}", words
    )


def _countdown(seconds: float) -> str:
    """How long it is until then, to the second within the last hour."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if 1 <= minutes < _HOUR else _duration(seconds)


_HOUR = 60
"""Minutes."""


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{int(seconds)} s"


def _coded(text: str) -> Markup:
    """A sentence of ours, with what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _number(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _plural(number: int, one: str, many: str = "") -> str:
    return f"{_number(number)} {one if number == 1 else many or one + 's'}"


def _pretty(value: object) -> str:
    return dumps(to_json(value), indent=2, ensure_ascii=False, default=str)


def url(*parts: str, **query: str | int | None) -> str:
    """A path of the console; parts that are empty or None in the query are left out."""
    asked = {name.rstrip("_"): value for name, value in query.items() if value not in ("", None)}
    path = "/".join((ROOT, *(quote(part, safe="") for part in parts)))
    return f"{path}?{urlencode(asked)}" if asked else path


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("services.console"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "moment": _moment,
    "ago": _ago,
    "coded": _coded,
    "number": _number,
    "plural": _plural,
    "pretty": _pretty,
    "target": named,
    "field": field_name,
    "state": lambda state: STATE_WORDS.get(state, state.replace("_", " ")),
    "words": lambda text: text.replace("_", " "),
}
_ENVIRONMENT.globals |= {"url": url}


def render(template: str, **values: object) -> str:
    """A part of a page, in one line."""
    return _ENVIRONMENT.get_template(template).render(**values).replace("\n", "")


def page(request: Request, template: str, status: int = 200, /, **values: object) -> HTMLResponse:
    """A page of this template. `may` says whether who looks at it may do what an API route of this name does."""
    caller: Caller | None = getattr(request.state, "caller", None)
    known: Account | None = getattr(request.state, "account", None)

    def may(route: str) -> bool:
        account = None if PERMISSIONS[route].scope is Scope.INSTALLATION else known
        held = caller and (caller.principal.roles_on(account) if account else caller.principal.roles_everywhere)
        return bool(held and held & PERMISSIONS[route].roles)

    shown = {
        "path": request.url.path,
        "query": request.url.query,
        "done": DONE.get(request.query_params.get("done", ""), ""),
        "person": caller.principal.who if caller else "",
        "csrf": getattr(request.state, "csrf", ""),
        "may": may,
        "account": "",
        "find": "",
        **values,
    }
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(**shown), status, HEADERS)


def see_other(*parts: str, **query: str | int | None) -> RedirectResponse:
    """The page to look at after something was done."""
    headers = {**HEADERS, "content-type": "text/html; charset=utf-8"}
    return RedirectResponse(url(*parts, **query), HTTPStatus.SEE_OTHER, headers)


Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Refuse = Callable[[Request, Exception], Coroutine[Any, Any, Response]]


def shown_to_browsers(refuse: Refuse) -> Refuse:
    """The same refusals, as pages of the same status and sentence for browsers; the API's own paths answer in JSON."""

    async def refused(request: Request, refusal: Exception) -> Response:
        answer = await refuse(request, refusal)
        if request.url.path.startswith(f"{V1}/") or "text/html" not in request.headers.get("accept", ""):
            return answer
        problem = loads(bytes(answer.body))
        is_bare = problem["detail"] == HTTPStatus(answer.status_code).phrase
        sentence = problem["title" if is_bare else "detail"]
        shown = page(request, "refused.html", answer.status_code, sentence=sentence)
        for name, value in answer.headers.items():
            shown.headers.setdefault(name, value)
        return shown

    return refused


class PageRoute(GuardedRoute):
    """A route of a page, whose forms carry the token of the session."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - see `APIRoute`
        super().__init__(path, endpoint, **options | {"name": f"console.{endpoint.__name__}"})

    def get_route_handler(self) -> Handler:
        """See `GuardedRoute`."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            request.state.csrf = await _csrf_of(request)
            return await handle(request)

        return handled


async def _csrf_of(request: Request) -> str | Markup:
    """What each form of a page carries, so that no other site can send it; empty where there is no session."""
    installation = cast("Installation", request.app.state.installation)
    secret = request.cookies.get(cookie_name(request), "")
    session = await installation.access.call(installation.access.session, secret) if secret else None
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, session.csrf) if session else ""
