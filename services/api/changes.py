"""`/v1/accounts/{account}/changes` and `.../hints/motive`: what others push to us, signed.

What the Portal pushes is accepted when it is committed. A push is stored whole or not at all, and once, however often
it comes. What Motive's webhooks say of a user is not believed: it is a hint, and the user is read again, by the
projector, after the answer. Motive wants an answer within three seconds, and a 403 would end its webhook for good.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Annotated, Final, Literal

from fastapi import Request
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from domain.cleaning import LONGEST_ID, clean, flaw, normal_form, text_of
from domain.identity import Key, PortalDriverId, Target
from domain.portal import PushedChange
from domain.profile import FIELDS, StatedProfile
from services.api.drivers import flaws_of, stored_form
from services.api.push_secrets import CountedRefusals, signed_push, verify_motive, verify_standard
from services.api.routing import Installed, new_router
from services.api.schema import FieldError, Malformed, RequestBody, ResponseBody, field_errors, malformed
from services.intake.handlers import ChangesRefused
from services.intake.pushing import Push

router = new_router("changes", prefix="/accounts/{account}/changes")

MOST_CHANGES: Final = 500
"""Changes that one push may have."""

_MOST_ERRORS = 50


def _stated(value: object) -> str:
    text = text_of(value)
    if text is None:
        raise ValueError("is neither a text nor a whole number")
    return text


_Text = Annotated[str, BeforeValidator(_stated)]
_TextOrNull = Annotated[str | None, BeforeValidator(lambda value: None if value is None else _stated(value))]


class PushedDriver(RequestBody):
    """A driver by the Portal's own id, and what is stated of it.

    Of a field that is absent, or null, nothing is said; an empty text says that it is blank.
    """

    driver: _Text
    profile: dict[str, _TextOrNull] = Field(default_factory=dict)


class PortalChange(RequestBody):
    """One change. `timestamp` is for people to read: changes count in the order in which they come.

    The profile of a deleted driver need only have the RefID, and only where the driver came to us without an id.
    """

    type: Literal["driver.changed", "driver.deleted"]
    timestamp: str = ""
    data: PushedDriver


class AcceptedChanges(ResponseBody):
    """How many changes of each kind were stored; `unchanged` are those that state what was known."""

    changes: dict[str, int]


_ONE_OR_MANY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        PortalChange.model_json_schema(),
                        {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MOST_CHANGES,
                            "items": PortalChange.model_json_schema(),
                        },
                    ]
                }
            }
        },
    }
}


@router.post("", status_code=202, openapi_extra=_ONE_OR_MANY)
async def accept_changes(
    account: str, request: Request, installation: Installed, refusals: CountedRefusals
) -> AcceptedChanges:
    """Accept a change, or a list of up to 500, that the Portal pushes, signed as Standard Webhooks says."""
    signed = await signed_push(request, account, "portal", verify_standard, refusals, installation)
    push = Push(id=signed.id, digest=sha256(signed.body).hexdigest(), changes=to_changes(signed.body))
    try:
        stored = await installation.intake_service.call_again(installation.pushes.accept, signed.account, push)
    except ChangesRefused as refused:
        flaws = [_flaw(at, f"profile.{field}", reason) for at, field, reason in refused.flaws]
        raise malformed(flaws[:_MOST_ERRORS]) from None
    installation.intake_service.notify()
    return AcceptedChanges(changes=dict(stored))


def to_changes(body: bytes) -> list[PushedChange]:
    """The changes in a body. Raises `Malformed`, which names every field that is wrong, up to fifty of them."""
    try:
        document = from_json(body)
    except ValueError:
        raise Malformed("body: is not JSON") from None
    documents = document if isinstance(document, list) else [document]
    if not 1 <= len(documents) <= MOST_CHANGES:
        advice = "send them in parts" if documents else "where nothing has changed, there is nothing to push"
        raise Malformed(f"body: has {len(documents)} changes, and may have 1 to {MOST_CHANGES}: {advice}")
    try:
        changes = _CHANGES.validate_python(documents)
    except ValidationError as wrong:
        raise malformed(field_errors(wrong.errors()[:_MOST_ERRORS])) from None
    if flaws := [*islice(_flaws(changes), _MOST_ERRORS)]:
        raise malformed(flaws)
    return [_to_change(change.type, change.data) for change in changes]


_CHANGES = TypeAdapter(list[PortalChange])


def _flaws(changes: Iterable[PortalChange]) -> Iterator[FieldError]:
    for at, change in enumerate(changes):
        driver = change.data.driver
        if reason := flaw("driver", driver) or ("" if normal_form("driver", driver) else "is blank"):
            yield _flaw(at, "driver", reason)
        stated = _said(change.data)
        for field in sorted(stated.keys() - set(FIELDS)):
            reason = f"there is no such field; there are: {', '.join(FIELDS)}"
            yield _flaw(at, f"profile.{clean(field, LONGEST_ID)}", reason)
        for field, reason in flaws_of(stated):
            yield _flaw(at, f"profile.{field}", reason)


def _flaw(at: int, field: str, reason: str) -> FieldError:
    """What is wrong with a field of the change in this place, from 0 on."""
    return FieldError(field=f"{at}.data.{field}", detail=reason)


def _to_change(kind: str, data: PushedDriver) -> PushedChange:
    return PushedChange(
        driver=PortalDriverId(normal_form("driver", data.driver)),
        profile=StatedProfile(fields=stored_form(_said(data))),
        is_deleted=kind == "driver.deleted",
    )


def _said(data: PushedDriver) -> dict[str, str]:
    return {field: text for field, text in data.profile.items() if text is not None}


hints_router = new_router("hints", prefix="/accounts/{account}/hints")

_ACTION: Final = "user_upserted"
_LONGEST_KEY: Final = 20


class AcceptedHints(ResponseBody):
    """How many users are going to be read; none for a test request, or for what is not about a driver."""

    hints: int


@hints_router.post("/motive")
async def accept_hints(
    account: str, request: Request, installation: Installed, refusals: CountedRefusals
) -> AcceptedHints:
    """Accept Motive's webhook `user_upserted`, of version 1 or 2, signed with HMAC-SHA1."""
    signed = await signed_push(request, account, "motive", verify_motive, refusals, installation)
    keys = frozenset(hinted(signed.body))
    lost = await installation.projectors[Target.MOTIVE].hint(signed.account, keys) if keys else 0
    return AcceptedHints(hints=len(keys) - lost)


def hinted(body: bytes) -> Iterator[Key]:
    """The users that a webhook is about; none where it is a test, or of another form than is known."""
    try:
        document = from_json(body)
    except ValueError:
        return
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict) and each.get("action", _ACTION) == _ACTION:
            within = each.get("user")
            user = within if isinstance(within, dict) else each
            key = text_of(user.get("id")) or ""
            if (
                user.get("role", "driver") == "driver"
                and key.isascii()
                and key.isdecimal()
                and len(key) <= _LONGEST_KEY
            ):
                yield Key(key)
