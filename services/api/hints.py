"""`/accounts/{account}/hints/motive`: Motive's webhooks about its users, as hints that a user has changed.

What they say of the user is not believed: the user is read again, by the projector, after the answer.
Motive wants an answer within three seconds, and a 403 would end its webhook for good.
"""

from collections.abc import Iterator
from typing import Final

from fastapi import Request
from pydantic_core import from_json

from domain.cleaning import text_of
from domain.identity import Key, Target
from services.api.routing import Installed, new_router
from services.api.schema import ResponseBody
from services.api.webhooks import CountedRefusals, signed_push, verify_motive

router = new_router("hints", prefix="/accounts/{account}/hints")

_ACTION: Final = "user_upserted"
_LONGEST_KEY: Final = 20


class AcceptedHints(ResponseBody):
    """How many users are going to be read; none for a test request, or for what is not about a driver."""

    hints: int


@router.post("/motive")
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
            if user.get("role", "driver") == "driver" and key.isdecimal() and len(key) <= _LONGEST_KEY:
                yield Key(key)
