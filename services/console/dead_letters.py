"""The records that a service could not handle: in groups of one cause, and each as a document that can be mended."""

from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services.api import dead_letters
from services.api.dead_letters import LetterFilter, ListedLetter
from services.api.routing import Called, Installed
from services.console.rendering import page, see_other
from services.console.routing import Form, body_of, new_pages

router = new_pages(prefix="/dead-letters")


@router.get("")
async def show_letters(
    request: Request,
    installation: Installed,
    service: str = "",
    type: str = "",  # noqa: A002 - as in addresses of events
    reason: str = "",
    after: str = "",
) -> HTMLResponse:
    """The groups, by service, type and reason; and the letters of one group."""
    wanted = LetterFilter(service=service or None, account=None, reason=reason or None)
    is_chosen = bool(service and type)
    found = await dead_letters.page_of(installation, wanted, after or None) if is_chosen else None
    return page(
        request,
        "dead_letters.html",
        groups=await dead_letters.list_letter_groups(installation),
        letters=[each for each in found.letters if (each.type, each.reason) == (type, reason)] if found else [],
        next=found.next if found else None,
        is_chosen=is_chosen,
        service=service,
        type=type,
        reason=reason,
        after=after,
    )


@router.get("/letter")
async def show_letter_page(request: Request, installation: Installed, name: str = "") -> HTMLResponse:
    """One dead letter, as a document to mend."""
    document = await dead_letters.show_letter(installation, name)
    return page(
        request, "dead_letter.html", letter=document, text=document.model_dump_json(indent=2, exclude_unset=True)
    )


@router.post("/resubmitted")
async def resubmit_letter_of_page(form: Form, installation: Installed, caller: Called) -> RedirectResponse:
    """Let one letter be consumed again: as it was, or as it was mended."""
    body = body_of(dead_letters.Resubmit, name=form.get("name"), mended=form.get("mended"), note=form.get("note"))
    await dead_letters.resubmit_letter(body, installation, caller)
    return see_other("dead-letters", done="resubmitted")


@router.post("/resubmitted-group")
async def resubmit_group(form: Form, installation: Installed, caller: Called) -> RedirectResponse:
    """Let every letter of a group be consumed again, as it was."""
    async for each in _group(form, installation):
        await dead_letters.resubmit_letter(
            dead_letters.Resubmit(name=each.name, note=form.get("note", "")), installation, caller
        )
    return see_other("dead-letters", done="resubmitted")


@router.post("/dropped")
async def drop_letter(form: Form, installation: Installed, caller: Called) -> RedirectResponse:
    """Drop one letter for good."""
    body = body_of(dead_letters.DiscardLetter, name=form.get("name"), note=form.get("note"))
    await dead_letters.discard_letter(body, installation, caller)
    return see_other("dead-letters", done="dropped")


@router.post("/dropped-group")
async def drop_group(form: Form, installation: Installed, caller: Called) -> RedirectResponse:
    """Drop every letter of a group for good."""
    async for each in _group(form, installation):
        await dead_letters.discard_letter(
            dead_letters.DiscardLetter(name=each.name, note=form.get("note", "")), installation, caller
        )
    return see_other("dead-letters", done="dropped")


async def _group(form: Form, installation: Installed) -> AsyncIterator[ListedLetter]:
    """The letters of the group that a form names."""
    kind, reason = form.get("type", ""), form.get("reason", "")
    wanted = LetterFilter(service=form.get("service", ""), account=None, reason=reason)
    after: str | None = None
    while True:
        found = await dead_letters.page_of(installation, wanted, after)
        for each in found.letters:
            if (each.type, each.reason) == (kind, reason):
                yield each
        if (after := found.next) is None:
            return
