"""What the Portal's API answers. Source: the API Guide for Developers of GPS Insight's API v2."""

from typing import Annotated, Any, Final, TypeVar

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from adapters.http import UnexpectedForm, down, parsed, parsed_if
from adapters.lenient import IF_LEGIBLE, legible, parsed_python
from adapters.pace import limited
from domain.cleaning import text_of
from domain.failures import Reason, Rejected, TargetFailed, Unavailable

REFUSED_ACCESS: Final = frozenset({401, 403})
"""No session, one that the Portal does not know any more, or one without the right."""


def _to_text(value: object) -> object:
    """Ids and phones are numbers in one answer and texts in another; null is blank."""
    text = text_of(value)
    return value if text is None else text


Text = Annotated[str, BeforeValidator(_to_text)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


Form = TypeVar("Form", bound=_Form)


class Head(_Form):
    """How a call went: OK or ERROR."""

    status: str


class Problem(_Form):
    """Why it did not go well: as a rule the code of an HTTP status."""

    code: Annotated[Text | None, IF_LEGIBLE] = None


class Answer(_Form):
    """The frame of every answer, whatever its status."""

    head: Head
    errors: tuple[Annotated[Problem | None, IF_LEGIBLE], ...] | None = None
    data: Any = None

    @property
    def code(self) -> int:
        """The HTTP status that the answer stands for: some come with 200."""
        if self.head.status.upper() == "OK" and not self.errors:
            return httpx.codes.OK
        code = next((problem.code for problem in self.errors or () if problem and problem.code), "")
        return int(code) if code.isdecimal() and len(code) == len("400") else httpx.codes.BAD_REQUEST


class Session(_Form):
    """What a login gives."""

    token: Text = Field(min_length=1, repr=False)


class AttributeRow(_Form):
    """One custom attribute of a driver."""

    id: Text
    key: Text
    value: Text = ""


def answer_of(reply: httpx.Response) -> Answer:
    """A success in its frame. Raises `TargetFailed` for anything else.

    The Portal's own words are not repeated: they may hold what was asked with.
    """
    code = code_of(reply)
    if code == httpx.codes.OK:
        return _answer(reply)
    raise TargetFailed(_failure(code))


def code_of(reply: httpx.Response) -> int:
    """What an answer stands for as an HTTP status. Raises `TargetFailed` for a success that has no frame."""
    return _answer(reply).code if reply.is_success else reply.status_code


def _answer(reply: httpx.Response) -> Answer:
    """The answer in its frame; a text in it that holds half of a character hides no others. Raises `TargetFailed`."""
    try:
        return parsed(reply, Answer)
    except UnexpectedForm:
        answer = parsed_python(legible(reply.content), Answer)
        if answer is None:
            raise
        return answer


def is_framed(reply: httpx.Response) -> bool:
    """Whether it is the API that speaks, and not something that stands before it."""
    return parsed_if(reply, Answer) is not None


def validated(form: type[Form], data: object) -> Form:
    """What an answer's data has in this form. Raises `UnexpectedForm` when it has another."""
    try:
        return form.model_validate(data)
    except ValidationError:
        raise UnexpectedForm(down("data of an unexpected form")) from None


def _failure(code: int) -> Rejected | Unavailable:
    detail = f"answered {code}"
    if code in REFUSED_ACCESS:
        return Rejected(reason=Reason.CREDENTIALS, detail=detail)
    if code == httpx.codes.NOT_FOUND:
        return Rejected(reason=Reason.NOT_CONFIGURED, detail=f"{detail}: nothing is known at this address")
    if code == httpx.codes.TOO_MANY_REQUESTS:
        return limited(None)
    return down(detail) if httpx.codes.is_server_error(code) else Rejected(reason=Reason.INVALID, detail=detail)
