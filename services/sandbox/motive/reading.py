"""The calls that read: the list with its filters, single users, look-ups, and who the company is.

Source: Motive's public API reference; what is assumed beyond it is in docs/reference/sandbox.md.

Who calls Motive: a company's API key, or an access token of one of its grants; and how tokens are renewed.

Source: developer-docs.gomotive.com, OAuth 2.0; RFC 6749, 5 and 6.
"""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.sandbox.faults.faults import arrangement_of
from services.sandbox.journal import note_owner
from services.sandbox.motive import licences
from services.sandbox.motive.company import LOOKUPS, ROLES, STATUSES, Company, Grant, User, as_listed, as_read, field_of
from services.sandbox.motive.seed import MotiveState
from services.sandbox.motive.wire import Refused, check_parameters, invalid

_DEFAULT_PAGE = "25"
_FILTERS = ("role", "status", "name", "duty_status", "page_no", "per_page")
_DUTY_STATUSES = frozenset({"on_duty", "off_duty", "driving", "sleeper", "waiting"})


class Reading:
    """The calls that read."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Where users and companies are read."""
        return [
            Route("/v1/companies", self.companies, methods=["GET"]),
            Route("/v1/users", self.page, methods=["GET"]),
            Route("/v1/users/me", self.me, methods=["GET"]),
            Route("/v1/users/lookup", self.lookup, methods=["GET"]),
            Route("/v1/users/lookup_by_external_id", self.lookup_by_external_id, methods=["GET"]),
            Route("/v1/users/{user_id:int}", self.one, methods=["GET"]),
        ]

    async def companies(self, request: Request) -> Response:
        """The one company that the call is for."""
        company = self._owner(request)
        check_parameters(request.query_params, ())
        number = list(self._state.companies).index(company.api_key) + 1
        shown = {"id": number, "company_id": company.name, "name": company.name}
        return JSONResponse({"companies": [{"company": shown}]})

    async def page(self, request: Request) -> Response:
        """One page of the list."""
        company, asked = self._owner(request), request.query_params
        check_parameters(asked, _FILTERS)
        page_no, per_page = _number(asked, "page_no", "1"), _per_page(company, asked)
        numbers = arrangement_of(request)(self._ordered(company, _chosen(company, asked)))
        users = [company.user(number) for number in numbers[(page_no - 1) * per_page : page_no * per_page]]
        total = _total(company, len(numbers), len(users))
        pagination = {"per_page": per_page, "page_no": page_no, **total}
        shown = [{"user": _listed(company, user)} for user in users]
        return JSONResponse({"users": shown, "pagination": pagination})

    async def me(self, request: Request) -> Response:
        """Whose key it is: the company's first admin, or who comes next to one."""
        company = self._owner(request)
        check_parameters(request.query_params, ())
        roles = ("admin", "fleet_user", "driver")
        ids = [number for role in roles for number in company.listed(role, "active")]
        return answer(company, known(company, company.find(ids[0]) if ids else None))

    async def one(self, request: Request) -> Response:
        """One user."""
        company = self._owner(request)
        check_parameters(request.query_params, ())
        user = known(company, company.find(request.path_params["user_id"]))
        return JSONResponse({"user": _in_own_form(company, as_read(user))})

    async def lookup(self, request: Request) -> Response:
        """The user of a name."""
        company = self._owner(request)
        check_parameters(request.query_params, LOOKUPS)
        stated = [(field, value) for field in LOOKUPS if (value := request.query_params.get(field))]
        if len(stated) != 1:
            raise invalid("exactly one of " + ", ".join(LOOKUPS) + " is required")
        return answer(company, known(company, company.with_name(*stated[0])))

    async def lookup_by_external_id(self, request: Request) -> Response:
        """The user of an external id."""
        company, asked = self._owner(request), request.query_params
        check_parameters(asked, ("external_id", "integration_name"))
        external_id, integration_name = asked.get("external_id"), asked.get("integration_name")
        if not external_id or not integration_name:
            raise invalid("external_id and integration_name are required")
        return answer(company, known(company, company.holder(external_id, integration_name)))

    def _owner(self, request: Request) -> Company:
        """The company that a call is for, as it is shown now."""
        return owner(self._state, request).shown(self._state.now())

    def _ordered(self, company: Company, numbers: Sequence[int]) -> Sequence[int]:
        match company.assumptions.list_order:
            case "newest_first":
                return numbers[::-1]
            case "shuffled":
                return self._state.order.sample(numbers, len(numbers))
        return numbers


def owner(state: MotiveState, request: Request) -> Company:
    """The company that a call is for, noted for the journal; raises `Refused`."""
    company = authorized_company(request, state)
    note_owner(request, company.name)
    return company


def known(company: Company, user: User | None) -> User:
    """The user, if there is one; raises `Refused`."""
    if user is None:
        raise Refused(company.assumptions.miss, "user not found")
    return user


def answer(company: Company, user: User, status: int = 200) -> Response:
    """A user as every call but one shows it."""
    return JSONResponse({"user": _listed(company, user)}, status_code=status)


def _listed(company: Company, user: User) -> dict[str, object]:
    none = () if company.assumptions.no_external_ids == "empty" else None
    return _in_own_form(company, as_listed(user, none=none))


def _in_own_form(company: Company, shown: dict[str, object]) -> dict[str, object]:
    """What is shown of a user, as far as Motive has a form of its own for it."""
    assumptions = company.assumptions
    forms: list[tuple[bool, str, Callable[[str], str]]] = [
        (assumptions.phones == "digits", "phone", lambda text: "".join(filter(str.isdigit, text))),
        (assumptions.emails == "lower_case", "email", str.lower),
        (assumptions.licences == "bare_capitals", "drivers_license_number", _bare),
        (True, "drivers_license_state", lambda text: licences.shown(text, assumptions.license_states)),
    ]
    turned = {name: form(str(shown[name])) for is_on, name, form in forms if is_on and shown.get(name)}
    return {**shown, **turned}


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).upper()


def _per_page(company: Company, asked: Mapping[str, str]) -> int:
    assumptions, per_page = company.assumptions, _number(asked, "per_page", _DEFAULT_PAGE)
    if per_page > assumptions.longest_page and assumptions.longer_pages == "refused":
        raise invalid(f"per_page is at most {assumptions.longest_page}")
    return min(per_page, assumptions.longest_page)


def _total(company: Company, listed: int, on_page: int) -> dict[str, int]:
    match company.assumptions.total:
        case "missing":
            return {}
        case "all_roles":
            return {"total": len(company.listed(None, None))}
        case "page":
            return {"total": on_page}
        case "zero":
            return {"total": 0}
    return {"total": listed}


def _chosen(company: Company, asked: Mapping[str, str]) -> Sequence[int]:
    """The ids of the users that pass the filters."""
    numbers = company.listed(_choice(asked, "role", ROLES), _choice(asked, "status", STATUSES))
    name, duty_status = asked.get("name", "").casefold(), _choice(asked, "duty_status", _DUTY_STATUSES)
    if not name and duty_status is None:
        return numbers
    return [number for number in numbers if _is_like(company.user(number), name, duty_status)]


def _is_like(user: User, name: str, duty_status: str | None) -> bool:
    is_named = name in f"{user.first_name or ''} {user.last_name or ''}".casefold()
    return is_named and duty_status in (None, field_of(user, "duty_status"))


def _number(parameters: Mapping[str, str], name: str, default: str) -> int:
    text = parameters.get(name) or default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise invalid(f"{name} is a whole number, 1 or more")
    return int(text)


def _choice(parameters: Mapping[str, str], name: str, choices: frozenset[str]) -> str | None:
    chosen = parameters.get(name) or None
    if chosen is not None and chosen not in choices:
        raise invalid(f"{name} is one of " + ", ".join(sorted(choices)))
    return chosen


_FORM = "application/x-www-form-urlencoded"


def calling_company(headers: Mapping[str, str], state: MotiveState) -> Company | None:
    """The company whose API key or access token a call carries; None if it carries neither, or not a good one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        name = state.grants.company(token.strip(), state.now())
        return next((company for company in state.companies.values() if company.name == name), None)
    return state.companies.get(headers.get("x-api-key", ""))


def authorized_company(request: Request, state: MotiveState) -> Company:
    """The company that a call is for; raises `Refused`."""
    company = calling_company(request.headers, state)
    if company is None:
        raise Refused(_refused_with(request, state), "the X-Api-Key or the access token is missing, unknown or expired")
    return company


def _refused_with(request: Request, state: MotiveState) -> int:
    """The status for a key of no company: as the first company of the seed has it. Tokens end with 401."""
    first = next(iter(state.companies.values()), None)
    return 401 if first is None or "authorization" in request.headers else first.assumptions.wrong_key


class TokenCalls:
    """The call that renews tokens."""

    def __init__(self, state: MotiveState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Where tokens are renewed."""
        return [Route("/oauth/token", self.renew, methods=["POST"])]

    async def renew(self, request: Request) -> Response:
        """New tokens for a refresh token, which is good for this once."""
        body = await request.body()
        is_form = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        stated = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()} if is_form else {}
        problem = self._problem(stated)
        if problem is not None:
            return problem
        renewed = self._state.grants.renew(stated["client_id"], stated["refresh_token"], self._state.now())
        return _refusal(400, "invalid_grant") if renewed is None else JSONResponse(_shown(renewed, self._state.now()))

    def _problem(self, stated: Mapping[str, str]) -> Response | None:
        if not stated.keys() >= {"grant_type", "refresh_token", "client_id", "client_secret"}:
            return _refusal(400, "invalid_request")
        if stated["grant_type"] != "refresh_token":
            return _refusal(400, "unsupported_grant_type")
        if not self._state.grants.has_client(stated["client_id"], stated["client_secret"]):
            return _refusal(401, "invalid_client")
        return None


def _refusal(status: int, code: str) -> Response:
    return JSONResponse({"error": code}, status_code=status)


def _shown(grant: Grant, at: int) -> dict[str, object]:
    return {
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": grant.token_lifetime // 1000,
        "refresh_token": grant.refresh_token,
        "created_at": at // 1000,
    }
