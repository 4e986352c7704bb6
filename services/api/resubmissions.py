"""`/v1/dead-letters/resubmission` and `.../resubmissions`: dead letters consumed again, as they were or mended."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from domain.store import DeadLetter, Resubmission, Store, Unit
from services.api.dead_letters import LetterFilter, LetterName, letter_named, letter_of, page_of
from services.api.routing import Installed, new_router
from services.api.schema import LARGEST_INTEGER, Malformed, RequestBody, ResponseBody, parse

router = new_router("dead letters", prefix="/dead-letters")


class Resubmit(RequestBody):
    """Let a dead letter be consumed again: as it was, or as the text of its edited document says."""

    name: str
    mended: str | None = None


class ResubmitMany(RequestBody):
    """Let the next dead letters of this service and account, and for this reason, be consumed again."""

    service: str | None = None
    account: str | None = None
    reason: str | None = None
    after: str | None = None


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def _to_event_id(text: str) -> str:
    originator, _, version = text.partition("/")
    if not (version.isascii() and version.isdigit() and len(version) <= len(str(LARGEST_INTEGER))):
        raise ValueError("must end in a slash and the version")
    if not 1 <= int(version) <= LARGEST_INTEGER:
        raise ValueError("must have a version from 1 on")
    return f"{UUID(originator)}/{int(version)}"


def _to_bytes(stated: object) -> bytes:
    if isinstance(stated, dict):
        return json.dumps(stated, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if isinstance(stated, str):
        return stated.encode()
    raise ValueError("must be a JSON object, or text")


class Mended(RequestBody):
    """The document of a dead letter after a person edited it; its other fields are ignored."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    name: str
    id: Annotated[str, AfterValidator(_to_event_id)]
    type: Annotated[str, AfterValidator(_check_printable)] = Field(min_length=1, max_length=200)
    sequence: int = Field(ge=0, le=LARGEST_INTEGER)
    body: Annotated[bytes, BeforeValidator(_to_bytes)] | None = None
    body_base64: Annotated[bytes, AfterValidator(lambda stated: b64decode(stated, validate=True))] | None = None

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if (self.body is None) == (self.body_base64 is None):
            raise ValueError("must have a body or a body_base64, and not both")
        return self

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body if self.body is not None else self.body_base64 or b""


class SubmittedLetter(ResponseBody):
    """The name of the dead letter that was submitted again."""

    name: str


class SubmittedLetters(ResponseBody):
    """How many dead letters were submitted again; `next` is the `after` of the next ones, None at the end."""

    submitted: int
    next: str | None


@router.post("/resubmission")
async def resubmit_letter(body: Resubmit, installation: Installed) -> SubmittedLetter:
    """Submit a dead letter again, edited or as it was."""
    name, service = letter_named(installation, body.name)
    mended = parse_mended(body.mended, name) if body.mended is not None else None
    await service.call(_submit, service.store, name, mended)
    service.notify()
    return SubmittedLetter(name=str(name))


@router.post("/resubmissions")
async def resubmit_letters(body: ResubmitMany, installation: Installed) -> SubmittedLetters:
    """Submit the next dead letters again, as they were."""
    wanted = LetterFilter(service=body.service, account=body.account, reason=body.reason)
    page = await page_of(installation, wanted, body.after)
    names, submitted = [LetterName.parse(letter.name) for letter in page.letters], 0
    for service in installation.services:
        if its_own := [name for name in names if name.service == service.name]:
            submitted += await service.call(_submit_all, service.store, its_own)
            service.notify()
    return SubmittedLetters(submitted=submitted, next=page.next)


def parse_mended(text: str, name: LetterName) -> Mended:
    """What a person made of the letter of this name. Raises `Malformed`."""
    try:
        mended = parse(text, Mended)
    except Malformed as wrong:
        raise Malformed(f"what is mended cannot be taken: {wrong}") from None
    if mended.name != str(name):
        raise Malformed(f"what is mended there is {mended.name!r}, not {name}")
    return mended


def _submit(store: Store, name: LetterName, mended: Mended | None) -> None:
    letter = letter_of(store, name)
    submitted = _as_it_was(letter)
    if mended is not None:
        submitted = replace(
            submitted,
            log_position=mended.sequence or letter.position,
            id=mended.id,
            topic=mended.type,
            body=b64encode(_with_unstated_fields(letter, mended)).decode(),
        )
    _keep(store, [submitted])


def _with_unstated_fields(letter: DeadLetter, mended: Mended) -> bytes:
    """The mended body; a field of the driver's profile that is not in it any more stays as the letter has it.

    To take a field back, a person leaves it there, and blank.
    """
    before, after = _stated_fields(b64decode(letter.body)), _stated_fields(mended.content)
    if mended.id != letter.id or not before or after is None or before.keys() <= after.keys():
        return mended.content
    body = json.loads(mended.content)
    return json.dumps({**body, "profile": {**before, **after}}, ensure_ascii=False, separators=(",", ":")).encode()


def _stated_fields(body: bytes) -> Mapping[str, object] | None:
    """The fields of the profile in a body; None where it is not JSON, or has none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    profile = document.get("profile") if isinstance(document, dict) else None
    return profile if isinstance(profile, dict) else None


def _submit_all(store: Store, names: Sequence[LetterName]) -> int:
    letters = [letter for name in names for letter in store.select(DeadLetter, name.place)]
    _keep(store, [_as_it_was(letter) for letter in letters])
    return len(letters)


def _as_it_was(letter: DeadLetter) -> Resubmission:
    return Resubmission(
        stream=letter.stream,
        position=letter.position,
        log_position=letter.log_position or letter.position,
        id=letter.id,
        topic=letter.topic,
        body=letter.body,
    )


def _keep(store: Store, submitted: Sequence[Resubmission]) -> None:
    unit = Unit()
    unit.keep(submitted)
    store.commit(unit)
