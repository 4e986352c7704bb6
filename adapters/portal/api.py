"""One account's drivers, read by the Portal's API v2. Source: the API Guide for Developers of GPS Insight.

Each call is a GET with all of its parameters in the URL, secrets too, so no URL is ever shown or logged whole.
All calls share one session. How long it lasts is not documented, about a day to a week: it is used until it is refused.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar, Unpack

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from adapters.http.client import Call, Sender, SenderOptions
from adapters.http.oauth import SharedToken, Token, checked
from adapters.http.response import (
    IF_LEGIBLE,
    MOST_OF_THE_PORTAL,
    OF_A_LIST,
    ByteBudget,
    OddLine,
    UnexpectedForm,
    are_many,
    down,
    legible,
    limited,
    parsed,
    parsed_if,
    parsed_python,
)
from domain.cleaning import flaw, is_shortened, normal_form, text_of, to_iana
from domain.failures import Reason, Rejected, TargetFailed
from domain.identity import PortalDriverId
from domain.ports import NO_ID, PortalLine
from domain.profile import NOTHING_STATED, Profile, StatedProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalAccess:
    """A user of the Portal, and the names of the custom attributes that hold fields of a profile, by field."""

    base_url: str
    username: str
    app_token: str = field(repr=False)
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def login(self) -> str:
        """Whose rights these are: a digest, because a user name is a person's."""
        return sha256(f"{self.base_url}\0{self.username}".encode()).hexdigest()[:16]


PAGE: Final = 500
"""Lines that are made of an answer at a time."""

_NO_ATTRIBUTES: Final = "its attributes have a form that cannot be read"


class _ListedDrivers:
    """An answer of the Portal that is read line by line: `PortalList`."""

    def __init__(self, rows: Sequence[object]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def pages(self) -> Iterator[Sequence[PortalLine]]:
        """See `PortalList.pages`."""
        if are_many(sum(to_line(row, 0).driver == NO_ID for row in self._rows), len(self._rows)):
            raise TargetFailed(down("many lines of the list have no id that can be read"))
        for start in range(0, len(self._rows), PAGE):
            yield [to_line(row, number) for number, row in enumerate(self._rows[start : start + PAGE], start + 1)]


class PortalApiDrivers:
    """The drivers of the Portal that one of its users may see: `PortalDrivers`."""

    def __init__(self, access: PortalAccess, **options: Unpack[SenderOptions]) -> None:
        self._access = access
        self._total = _total()
        self._client = _PortalClient(access, **options)

    @property
    def login(self) -> str:
        """See `PortalAccess.login`."""
        return self._access.login

    @property
    def has_attributes(self) -> bool:
        """Whether any attribute holds a field."""
        return bool(self._access.attributes)

    async def list_all(self) -> _ListedDrivers:
        """The whole list, which comes in one answer."""
        self._total = _total()
        return _ListedDrivers(await self._total.of(self._client.drivers)())

    async def with_attributes(self, lines: Sequence[PortalLine]) -> Sequence[PortalLine]:
        """The same lines with what the attributes of their drivers state: one call for each."""
        asked = [asyncio.create_task(self._with_attributes(line)) for line in lines]
        try:
            stated = await asyncio.gather(*asked)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if are_many(sum(line.flaw == _NO_ATTRIBUTES for line in stated), len(stated)):
            raise TargetFailed(down("the attributes of many drivers have a form that cannot be read"))
        return stated

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _with_attributes(self, line: PortalLine) -> PortalLine:
        try:
            rows = await self._total.of(self._client.attributes)(line.driver)
        except OddLine:
            return replace(line, flaw=_NO_ATTRIBUTES)
        if rows is None:
            return replace(line, flaw="the Portal lists it, and knows no attributes of it")
        legible = [row for row in rows if row is not None]
        if len(legible) < len(rows):
            return replace(line, flaw="one of its attributes has a form that cannot be read")
        return with_attributes(line, legible, self._access.attributes)


def _total() -> ByteBudget:
    return ByteBudget("the list with all attributes", MOST_OF_THE_PORTAL)


_REFUSED_ACCESS: Final = frozenset({401, 403})
"""No session, one that the Portal does not know any more, or one without the right."""


def _to_text(value: object) -> object:
    """Ids and phones are numbers in one answer and texts in another; null is blank."""
    text = text_of(value)
    return value if text is None else text


Text = Annotated[str, BeforeValidator(_to_text)]


class _PortalForm(BaseModel):
    model_config = ConfigDict(frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


Form = TypeVar("Form", bound=_PortalForm)


class _Head(_PortalForm):
    """How a call went: OK or ERROR."""

    status: str


class _PortalProblem(_PortalForm):
    """Why it did not go well: as a rule the code of an HTTP status."""

    code: Annotated[Text | None, IF_LEGIBLE] = None


class _PortalAnswer(_PortalForm):
    """The frame of every answer, whatever its status."""

    head: _Head
    errors: tuple[Annotated[_PortalProblem | None, IF_LEGIBLE], ...] | None = None
    data: Any = None

    @property
    def code(self) -> int:
        """The HTTP status that the answer stands for: some come with 200."""
        if self.head.status.upper() == "OK" and not self.errors:
            return httpx.codes.OK
        code = next((problem.code for problem in self.errors or () if problem and problem.code), "")
        return int(code) if code.isdecimal() and len(code) == len("400") else httpx.codes.BAD_REQUEST


class _Session(_PortalForm):
    """What a login gives."""

    token: Text = Field(min_length=1, repr=False)


class AttributeRow(_PortalForm):
    """One custom attribute of a driver."""

    id: Text
    key: Text
    value: Text = ""


def _answer_of(reply: httpx.Response) -> _PortalAnswer:
    """A success in its frame. Raises `TargetFailed` for anything else.

    The Portal's own words are not repeated: they may hold what was asked with.
    """
    code = _code_of(reply)
    if code == httpx.codes.OK:
        return _answer(reply)
    detail = f"answered {code}"
    if code in _REFUSED_ACCESS:
        raise TargetFailed(Rejected(reason=Reason.CREDENTIALS, detail=detail))
    if code == httpx.codes.NOT_FOUND:
        detail = f"{detail}: nothing is known at this address"
        raise TargetFailed(Rejected(reason=Reason.NOT_CONFIGURED, detail=detail))
    if code == httpx.codes.TOO_MANY_REQUESTS:
        raise TargetFailed(limited(None))
    is_down = httpx.codes.is_server_error(code)
    raise TargetFailed(down(detail) if is_down else Rejected(reason=Reason.INVALID, detail=detail))


def _code_of(reply: httpx.Response) -> int:
    """What an answer stands for as an HTTP status. Raises `TargetFailed` for a success that has no frame."""
    return _answer(reply).code if reply.is_success else reply.status_code


def _answer(reply: httpx.Response) -> _PortalAnswer:
    """The answer in its frame; a text in it that holds half of a character hides no others. Raises `TargetFailed`."""
    try:
        return parsed(reply, _PortalAnswer)
    except UnexpectedForm:
        answer = parsed_python(legible(reply.content), _PortalAnswer)
        if answer is None:
            raise
        return answer


def _validated(form: type[Form], data: object) -> Form:
    """What an answer's data has in this form. Raises `UnexpectedForm` when it has another."""
    try:
        return form.model_validate(data)
    except ValidationError:
        raise UnexpectedForm(down("data of an unexpected form")) from None


_LIST: Final = "driver/list"
_REFUSED_LIST: Final = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND})


class _PortalClient:
    """The calls of one user. Each raises `TargetFailed` when there is no answer or the user is refused."""

    def __init__(self, access: PortalAccess, **options: Unpack[SenderOptions]) -> None:
        self._sender = Sender(
            base_url=access.base_url,
            setting="DRIVERLINK_PORTAL_URL",
            headers={},
            limits=OF_A_LIST,
            **options,
        )
        self._access = access
        self._session = SharedToken(self._log_in, lambda: 0.0)
        self._has_worked = ""

    async def drivers(self) -> list[object]:
        """Every driver that the user may see, as it came over the wire; the list has no pages."""
        return _listed(_answer_of(await self._ask(_LIST, {})).data)

    async def attributes(self, driver: PortalDriverId) -> tuple[AttributeRow | None, ...] | None:
        """The custom attributes of the driver that the Portal finds for this id; None if it finds none.

        One whose value has an odd form is None in its place. Raises `OddLine` for what is not a list of attributes.
        """
        reply = await self._ask("driver/getattributes", {"driver": driver})
        # Something that stands before the API answers without its frame.
        if _code_of(reply) == httpx.codes.NOT_FOUND and parsed_if(reply, _PortalAnswer) is not None:
            return None
        data = _answer_of(reply).data
        try:
            return tuple(
                parsed_python(row, AttributeRow)
                if isinstance(row, Mapping) and {"id", "key"} <= row.keys()
                else _validated(AttributeRow, row)
                for row in _listed(data)
            )
        except UnexpectedForm as odd:
            raise OddLine(odd.failure) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._session.finish()
        await self._sender.close()

    async def _ask(self, method: str, params: Mapping[str, str]) -> httpx.Response:
        """The answer in the current session, or in another one if that is over."""
        session = await self._session.current()
        reply = await self._sender.send(_in_session(method, params, session))
        code = _code_of(reply)
        # How the Portal refuses a session that is over is documented for some calls only. A list needs nothing else, so
        # a refusal of it in a session that has worked is about the session too.
        is_list_refused = method == _LIST and code in _REFUSED_LIST and session.secret == self._has_worked
        if code not in _REFUSED_ACCESS and not is_list_refused:
            self._has_worked = session.secret if code == httpx.codes.OK else self._has_worked
            return reply
        self._session.refuse(session)
        return await self._sender.send(_in_session(method, params, await self._session.current()))

    async def _log_in(self) -> Token:
        stated = {"username": self._access.username, "app_token": self._access.app_token}
        reply = await self._sender.send(Call(path="/v2/userauth/login", params=stated))
        session = _validated(_Session, _answer_of(reply).data)
        return Token(secret=checked(session.token), renew_at=math.inf, ends_at=math.inf)


def _in_session(method: str, params: Mapping[str, str], session: Token) -> Call:
    return Call(path=f"/v2/{method}", params={**params, "session_token": session.secret})


def _listed(data: object) -> list[object]:
    if isinstance(data, list):
        return data
    raise UnexpectedForm(down("data that are not a list"))


_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {"firstname": "first_name", "lastname": "last_name", "email": "email", "phone": "phone"}
)

_DRIVER: Final = "driver"


def to_line(data: object, number: int) -> PortalLine:
    """The line of one row of the list. What cannot be read in it is its flaw; without an id it names no driver.

    `number` is its place in the list, from 1 on.
    """
    row = data if isinstance(data, Mapping) else {}
    driver = text_of(row.get("id")) or ""
    if not normal_form(_DRIVER, driver) or flaw(_DRIVER, driver):
        return PortalLine(driver=NO_ID, profile=NOTHING_STATED, flaw=f"line {number} has no id that can be read")
    texts = {field: text_of(row[name]) for name, field in _FIELDS.items() if name in row}
    written = _useful({field: text for field, text in texts.items() if text is not None})
    stated = {field: normal_form(field, text) for field, text in written.items()}
    odd = next((f"its {field} is neither text nor number" for field, text in texts.items() if text is None), "")
    return PortalLine(
        driver=PortalDriverId(normal_form(_DRIVER, driver)),
        profile=StatedProfile(fields=stated),
        flaw=odd or _flaw(written),
    )


def with_attributes(line: PortalLine, rows: Sequence[AttributeRow], attributes: Mapping[str, str]) -> PortalLine:
    """The line with what these attributes state; one that is not there states nothing.

    `attributes` are their names by field. The Portal looks for a driver by RefID before it looks by id, so rows may be
    about another driver: then nothing is known of this one.
    """
    if any(normal_form(_DRIVER, row.id) != line.driver for row in rows):
        return replace(line, flaw="the Portal answers with the attributes of another driver, whose RefID is this id")
    fields = {name.casefold(): field for field, name in attributes.items()}
    stated = {fields[row.key.casefold()]: row.value for row in rows if row.key.casefold() in fields}
    useful = _useful(stated)
    cleaned = {field: normal_form(field, text) for field, text in useful.items()}
    return replace(line, profile=line.profile.and_also(cleaned), flaw=line.flaw or _flaw(useful))


def _useful(stated: Profile) -> dict[str, str]:
    """What is stated, time zones by their IANA names, without what is unusable and recognises no driver."""
    useful = {field: text for field, text in stated.items() if not (field == "phone" and is_shortened(text))}
    if zone := normal_form("time_zone", useful.get("time_zone", "")):
        useful["time_zone"] = to_iana(zone) or ""
        if not useful["time_zone"]:
            del useful["time_zone"]
    return useful


def _flaw(profile: Profile) -> str:
    found = ((field, flaw(field, text)) for field, text in profile.items())
    return next((f"its {field} {reason}" for field, reason in found if reason), "")
