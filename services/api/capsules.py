"""`/v1/accounts/{account}/drivers/{driver}/capsule`: what happened to one driver, masked, as one file."""

import asyncio
from typing import Any

from fastapi.responses import StreamingResponse

from domain.cleaning import LONGEST, clean
from domain.identity import AccountId, PortalDriverId
from services.api.as_of import logs_of
from services.api.installation import Installation
from services.api.journal import note_for_account, noted
from services.api.naming import is_stated, unknown_driver
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import ResponseBody
from services.api.version import version_line
from services.capsules import file_name
from services.capsules.capsule import Capsule, encoded
from services.capsules.gathering import gather
from services.capsules.masking import masked

router = new_router("capsules", prefix="/accounts/{account}/drivers")


class CapsuleDocument(ResponseBody):
    """What a capsule holds, as `docs/how-to/capsules.md` says it.

    `facts` are by log; each has its `position` there, the `type` and `version` of the event, and the event's fields.
    `batches` say in what order the decider handled them; of `unordered` facts that is not stored.
    """

    format: str
    version: int
    made_by: str
    made_at: str
    account: str
    driver: str
    is_erased: bool
    facts: dict[str, list[dict[str, Any]]]
    batches: list[dict[str, Any]]
    unordered: int
    dead_letters: list[dict[str, Any]]


@router.get("/{driver:path}/capsule", response_model=CapsuleDocument)
async def make_capsule(driver: str, known: KnownAccount, installation: Installed, caller: Called) -> StreamingResponse:
    """Put everything that happened to a driver into a capsule: masked, as one file that can be replayed.

    That it was made is in the journal.
    """
    readers, named = installation.readers, PortalDriverId(clean(driver, LONGEST["driver"]))
    if not await readers.call(is_stated, readers.intake, named, known.account):
        raise await readers.call(unknown_driver, readers.intake, known.account, driver)
    raw = await readers.call(_gathered, installation, known.account, named)
    capsule = await asyncio.to_thread(masked, raw)
    entry = noted(caller, installation.clock, "make_capsule", named, "", account=known.account)
    await note_for_account(installation, entry)
    stated = f'attachment; filename="{file_name(capsule.driver)}"'
    return StreamingResponse(encoded(capsule), media_type="application/json", headers={"Content-Disposition": stated})


def _gathered(installation: Installation, account: AccountId, driver: PortalDriverId) -> Capsule:
    now = installation.clock()
    return gather(logs_of(installation.readers), account, driver, made_by=version_line(), now=now)
