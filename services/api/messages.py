"""What a command sends, checked where it comes in.

Answers as plain JSON, for the control socket and for scripts.
"""

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request

from domain.account import Mode, Tier
from domain.cleaning import LONGEST, clean, storable
from domain.identity import Connectable, Target

_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_MOST = 2**63 - 1
"""The largest number that every store can hold."""


class Malformed(Exception):
    """A command sent something that is not as it should be; the message says what."""


class Message(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


Printable = Annotated[str, AfterValidator(_printable)]


def _named(text: str) -> str:
    if storable(text) != text or any(character < " " for character in text):
        raise ValueError("must not hold control characters")
    if not (named := clean(text, len(text) + 1)):
        raise ValueError("must not be blank")
    return named


Named = Annotated[str, AfterValidator(_named), Field(max_length=LONGEST["driver"])]
"""The name of somebody or something, in the normal form in which such names are stored."""


class AddAccount(Message):
    """A new account."""

    account: str = Field(pattern=_ID)
    tier: Tier
    master_user: Named
    account_manager: str = Field(default="", max_length=200)
    targets: tuple[Target, ...] = tuple(Target)
    mode: Mode = Mode.FULL


class ByPerson(Message):
    """Something that a person asks for."""

    by: Named


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
    """An account's credentials at the Portal or at a target; never logged."""

    target: Connectable
    values: dict[str, Annotated[str, AfterValidator(_sendable)]] = Field(repr=False)


class Disconnect(Message):
    """An account is not connected to the Portal, or to a target, any more."""

    target: Connectable


class SetReconciliationTime(ByPerson):
    """When daily reconciliations begin: HH:MM in UTC, or empty for a time of the account's own."""

    reconcile_at: str = Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9])?$")


class RequestReconciliation(ByPerson):
    """A reconciliation on a target, or on all; of one driver, or of everybody. What is None is not asked about."""

    target: Target | None = None
    driver: Named | None = None


class StatedLine(Message):
    """A line of a list. A refused one has no profile, but may name its driver."""

    line: int
    driver: Named | None = None
    profile: dict[str, str] = Field(default_factory=dict)


class TakeList(Message):
    """A part of a list of drivers; `snapshot` names the full snapshot that it is part of.

    `review`: say what would become of it, and store nothing.
    """

    lines: tuple[StatedLine, ...] = Field(max_length=5000)
    source: Named = "export"
    snapshot: Named | None = None
    review: bool = False


class ReKeyed(Message):
    """A driver whom a list would re-key, and the identifiers that it would have."""

    driver: str
    after: dict[str, str]


class JudgeList(Message):
    """What the review of all parts of a list has found; see `services.intake.rekeying.Reviewed`."""

    rekeyed: tuple[ReKeyed, ...] = ()
    new: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    refused: tuple[StatedLine, ...] = ()
    complete: bool = False
    may_lack_many: bool = False
    approve: str | None = None
    dry_run: bool = False
    source: Named = "export"


class FinishSnapshot(Message):
    """The list was read to its end; `refused` are lines that name a driver and could not be taken over.

    `may_lack_many`: a person says that so many drivers have really left.
    """

    snapshot: Named
    source: Named = "export"
    refused: tuple[StatedLine, ...] = ()
    may_lack_many: bool = False


class StateDriver(Message):
    """One driver, from the command line. `create` and `update` say what the caller believes to be the case."""

    action: Literal["create", "update", "delete"]
    driver: Named
    profile: dict[str, str] = Field(default_factory=dict)


class Judge(ByPerson):
    """A person's word on a set of held deletes."""

    target: Target
    digest: str
    approve: bool


class ApproveReKeyings(ByPerson):
    """A person's word on exactly these held re-keyings."""

    digest: str


class Retry(ByPerson):
    """Parked links to look at again: of this target, driver and reason; what is None is not asked about."""

    target: Target | None = None
    driver: Named | None = None
    reason: Named | None = None


class ApplyPlan(ByPerson):
    """Do exactly what the plan of this hash says: of this target, or of all that are synchronised."""

    plan: str = Field(pattern=r"^[0-9a-f]{16}$")
    target: Target | None = None


class Resubmit(Message):
    """Let a dead letter be taken over again: as it was, or as the text of its document says by now."""

    name: str
    mended: str | None = None


class ResubmitMany(Message):
    """Let the next dead letters be taken over again that are of this service and account, for this reason."""

    service: str | None = None
    account: str | None = None
    reason: str | None = None
    after: str | None = None


class DiscardLetter(Message):
    """Remove a dead letter for good."""

    name: str


def _event_id(text: str) -> str:
    originator, _, version = text.partition("/")
    if not (version.isascii() and version.isdigit() and len(version) <= len(str(_MOST))):
        raise ValueError("must end in a slash and the version")
    if not 1 <= int(version) <= _MOST:
        raise ValueError("must have a version from 1 on")
    return f"{UUID(originator)}/{int(version)}"


def _written(stated: object) -> bytes:
    if isinstance(stated, dict):
        return json.dumps(stated, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if isinstance(stated, str):
        return stated.encode()
    raise ValueError("must be a JSON object, or text")


def _decoded(stated: bytes) -> bytes:
    return b64decode(stated, validate=True)


class Mended(Message):
    """The document of a dead letter after somebody mended it; what else it says is not looked at."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    name: str
    id: Annotated[str, AfterValidator(_event_id)]
    type: Printable = Field(min_length=1, max_length=200)
    sequence: int = Field(ge=0, le=_MOST)
    body: Annotated[bytes, BeforeValidator(_written)] | None = None
    body_base64: Annotated[bytes, AfterValidator(_decoded)] | None = None

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if (self.body is None) == (self.body_base64 is None):
            raise ValueError("must have a body or a body_base64, and not both")
        return self

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if self.body is not None else self.body_base64 or b""


M = TypeVar("M", bound=Message)


async def received(request: Request, kind: type[M]) -> M:
    """The body of a request as this kind of message. Raises `Malformed`."""
    return parsed(await request.body(), kind)


def parsed(text: str | bytes, kind: type[M]) -> M:
    """JSON as this kind of message. Raises `Malformed`."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as wrong:
        raise Malformed("; ".join(_problem(each) for each in wrong.errors())) from None


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's own shape
    place = ".".join(str(part) for part in error["loc"]) or "body"
    return f"{place.replace('_', ' ')}: {error['msg'][:1].lower()}{error['msg'][1:]}"


class Answer:
    """An answer to a question, as a frozen dataclass."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """The answer as a plain JSON object: moments in ISO 8601, values within it as objects."""
        found: dict[str, Any] = _plain(self)
        return found


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
