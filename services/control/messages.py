"""What a command sends, checked where it comes in."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from domain.account import Mode, Tier
from domain.identity import Target

_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Malformed(Exception):
    """A command sent something that is not as it should be; the message says what."""


class Message(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


class AddAccount(Message):
    """A new account."""

    account: str = Field(pattern=_ID)
    tier: Tier
    master_user: str = Field(min_length=1, max_length=200)
    account_manager: str = Field(default="", max_length=200)
    targets: tuple[Target, ...] = tuple(Target)
    mode: Mode = Mode.FULL


class ByPerson(Message):
    """Something that a person asks for."""

    by: str = Field(min_length=1, max_length=200)


class SetMode(ByPerson):
    """How far synchronisation with a target may go."""

    target: Target
    mode: Mode


class TurnSync(ByPerson):
    """Tick or untick Sync Drivers."""

    on: bool


def _sendable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be plain ASCII on one line")
    return text


class Connect(Message):
    """An account's credentials at a target; never logged."""

    target: Target
    values: dict[str, Annotated[str, AfterValidator(_sendable)]] = Field(repr=False)


class StatedLine(Message):
    """A line of a list. A refused one has no profile, but may name its driver."""

    line: int
    driver: str | None = Field(default=None, max_length=200)
    profile: dict[str, str] = Field(default_factory=dict)


class TakeList(Message):
    """A part of a list of drivers; `snapshot` names the full snapshot that it is part of."""

    lines: tuple[StatedLine, ...] = Field(max_length=5000)
    source: str = "export"
    snapshot: str | None = None


class FinishSnapshot(Message):
    """The list was read to its end; `refused` are lines that name a driver and could not be taken over."""

    snapshot: str
    source: str = "export"
    refused: tuple[StatedLine, ...] = ()


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


Printable = Annotated[str, AfterValidator(_printable)]


class StateDriver(Message):
    """One driver, from the command line. `create` and `update` say what the caller believes to be the case."""

    action: Literal["create", "update", "delete"]
    driver: Printable = Field(min_length=1, max_length=200)
    profile: dict[str, Printable] = Field(default_factory=dict)


class Judge(ByPerson):
    """A person's word on a set of held deletes."""

    target: Target
    digest: str
    approve: bool


M = TypeVar("M", bound=Message)


async def received(request: Request, kind: type[M]) -> M:
    """The body of a request as this kind of message. Raises `Malformed`."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as wrong:
        raise Malformed("; ".join(_problem(each) for each in wrong.errors())) from None


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's own shape
    place = ".".join(str(part) for part in error["loc"]) or "body"
    return f"{place.replace('_', ' ')}: {error['msg'][:1].lower()}{error['msg'][1:]}"
