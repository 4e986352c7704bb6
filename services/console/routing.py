"""What every route of the console is made with: its router, who asks, and the fields of a form."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from domain.account import Role
from services.api.permissions import Caller
from services.api.schema import Malformed, RequestBody, field_errors, in_one_line
from services.console.rendering import ROOT, PageRoute

LARGEST_FORM = 64 * 2**10
"""Bytes of the largest form that is read."""

_MOST_FIELDS = 100


async def _form(request: Request) -> Mapping[str, str]:
    """The fields of a form that a page of ours has sent. Raises `HTTPException`, `Malformed`."""
    _check_origin(request)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_FORM:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Malformed("the form cannot be read") from None


def _check_origin(request: Request) -> None:
    """Refuse a form of another site, as browsers say it; the token of the session is the other lock."""
    site, origin = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin")
    if site != "same-origin" or (origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise HTTPException(HTTPStatus.FORBIDDEN, "the form was not sent by a page of this console")


Form = Annotated[Mapping[str, str], Depends(_form)]
"""The fields of the form that was sent."""


B = TypeVar("B", bound=RequestBody)


def body_of(kind: type[B], **fields: object) -> B:
    """These fields as the body of a request, apart from blank ones. Raises `Malformed`."""
    return body_with_blanks(kind, {name: value for name, value in fields.items() if value not in ("", None)})


def body_with_blanks(kind: type[B], fields: Mapping[str, object]) -> B:
    """Just these fields as the body of a request. Raises `Malformed`."""
    try:
        return kind.model_validate(fields)
    except ValidationError as wrong:
        raise Malformed(in_one_line(field_errors(wrong.errors())).replace("_", " ")) from None


def new_pages(tag: str = "console", *, prefix: str = "") -> APIRouter:
    """For some of the pages."""
    return APIRouter(
        prefix=f"{ROOT}{prefix}",
        tags=[tag],
        route_class=PageRoute,
        default_response_class=HTMLResponse,
        include_in_schema=False,
        generate_unique_id_function=lambda route: route.name,
    )


def in_name_of(caller: Caller, person: str) -> str | None:
    """Who asks what only this person may: an admin does it in their name, which is stored; None: the caller does."""
    is_admin = Role.ADMIN in caller.principal.roles_everywhere
    return person if is_admin and caller.principal.who != person else None
