"""`/accounts/{account}/webhooks`: the endpoints to which we send what happens to drivers, and what was sent to each.

Messages are signed by the Standard Webhooks specification (https://www.standardwebhooks.com), and have no personal
data.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from ipaddress import ip_address
from secrets import token_hex
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from fastapi import Query
from pydantic import AfterValidator, Field

from domain.ports import SigningSecrets
from domain.webhooks import MessageState, MessageType, is_loopback_address, is_public_address
from services.api.installation import Installation, ServiceDown
from services.api.journal import noted
from services.api.permissions import Caller
from services.api.push_secrets import former_until, new_standard_secret, rotated, too_many
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import Malformed, Moment, Reasoned, ResponseBody, Storable
from services.runtime.service import P
from services.webhooks.endpoints import EndpointRefused, KnownEndpoint
from services.webhooks.read_models import EndpointId, EndpointRow, MessageRow

router = new_router("webhooks", prefix="/accounts/{account}/webhooks")

MOST_LISTED: Final = 100
"""Messages in one response."""

_LONGEST_URL: Final = 2000
_SENDING: Final = ("create_webhook", "enable_webhook", "ping_webhook", "resend_webhook_message")

T = TypeVar("T")


def _address(text: str) -> str:
    """An address of HTTP without a user name and a fragment; raises `ValueError`."""
    parts = urlsplit(text)
    is_clean = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not is_clean or parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be an address as https://host/path")
    if parts.username is not None or parts.password is not None or "#" in text:
        raise ValueError("must be an address without a user name, a password and a fragment")
    if parts.port == 0:
        raise ValueError("must not have the port 0")
    return text


class CreateWebhook(Reasoned):
    """Where messages of these types are to go; without `types`, all."""

    url: Annotated[Storable, AfterValidator(_address), Field(max_length=_LONGEST_URL)]
    types: tuple[MessageType, ...] = Field(default=tuple(MessageType), min_length=1, max_length=len(MessageType))


class RotateWebhook(Reasoned):
    """Another secret. We sign by the former too for a day more; `at_once`: no more by that."""

    at_once: bool = False


class WebhookEndpoint(ResponseBody):
    """An endpoint, and how many messages to it wait, were delivered and are parked.

    `state` is `on`, `off` by a person's word, or `ended` by us, for the reason in `ended`. `failing_since` is when the
    first of its failures in a row was.
    """

    account: str
    endpoint: str
    url: str
    types: tuple[str, ...]
    state: str
    created: Moment
    ended: str = ""
    failing_since: Moment | None = None
    former_secret_until: Moment | None = None
    waiting: int = 0
    delivered: int = 0
    parked: int = 0


class WebhookSecret(ResponseBody):
    """An endpoint's secret, which is shown this one time; we sign by the one before too, until `former_until`."""

    account: str
    endpoint: str
    url: str
    secret: str = Field(repr=False)
    former_until: Moment | None = None


class DeletedWebhook(ResponseBody):
    """An endpoint that there is not any more."""

    account: str
    endpoint: str


class AskedMessage(ResponseBody):
    """A message that is about to be sent."""

    account: str
    endpoint: str
    message: str


class WebhookAttempt(ResponseBody):
    """One try of a message: the status that was answered, 0 where none was, and how long it took."""

    at: Moment
    status: int
    detail: str
    seconds: float


class WebhookMessage(ResponseBody):
    """A message with its last twenty tries: `message` is its webhook-id, `body` what is sent, `due` the next try."""

    message: str
    type: str
    state: str
    at: Moment
    due: Moment | None
    body: dict[str, Any]
    attempts: tuple[WebhookAttempt, ...]


class WebhookMessages(ResponseBody):
    """Some of an endpoint's messages, the newest first. `next` is the `after` of the next page, None at the end."""

    messages: tuple[WebhookMessage, ...] = Field(max_length=MOST_LISTED)
    next: str | None


@router.get("")
async def list_webhooks(known: KnownAccount, installation: Installed) -> list[WebhookEndpoint]:
    """List an account's endpoints, and how each does."""
    found = await _store(installation, installation.webhooks.all, known.account)
    return [await _shown(installation, each) for each in found]


@router.post("", status_code=201)
async def create_webhook(
    body: CreateWebhook, known: KnownAccount, installation: Installed, caller: Called
) -> WebhookSecret:
    """Create an endpoint, and show the secret by which we sign what we send there, once."""
    _check_reachable(body.url, allows_private=installation.webhooks.allows_private)
    to = EndpointId(known.account, f"ep_{token_hex(8)}")
    secrets = SigningSecrets(secret=new_standard_secret(), since=installation.clock().timestamp())
    await _keep_secrets(installation, to, secrets)
    add = installation.webhooks.add
    try:
        row = await _command(installation, "create_webhook", to, caller, body, add, body.url, body.types)
    except (EndpointRefused, ServiceDown):
        await _keep_secrets(installation, to, None)
        raise
    return _with_secret(row, secrets, installation.clock())


@router.post("/{endpoint}/rotation")
async def rotate_webhook(
    endpoint: str, body: RotateWebhook, known: KnownAccount, installation: Installed, caller: Called
) -> WebhookSecret:
    """Replace the secret of an endpoint; for a day each message has a signature by both.

    Replaced once more within the day, messages have one by all three; then no other can be made before the first of
    them has had its day.
    """
    to, now = EndpointId(known.account, endpoint), installation.clock()
    await _store(installation, installation.webhooks.show, to)
    former = await installation.accounts_service.call(installation.credentials.signing_secrets, *to)
    secrets = SigningSecrets(secret=new_standard_secret(), since=now.timestamp())
    if former:
        after = rotated(former, secrets.secret, now, at_once=body.at_once)
        if after is None:
            raise EndpointRefused(too_many(former))
        secrets = after
    await _keep_secrets(installation, to, secrets)
    row = await _command(installation, "rotate_webhook", to, caller, body, installation.webhooks.note)
    return _with_secret(row, secrets, installation.clock())


@router.post("/{endpoint}/disabled")
async def disable_webhook(
    endpoint: str, known: KnownAccount, installation: Installed, caller: Called, body: Reasoned | None = None
) -> WebhookEndpoint:
    """Send nothing to an endpoint until it is enabled again; what happens meanwhile is not kept for it."""
    return await _turn(installation, EndpointId(known.account, endpoint), caller, body, on=False)


@router.post("/{endpoint}/enabled")
async def enable_webhook(
    endpoint: str, known: KnownAccount, installation: Installed, caller: Called, body: Reasoned | None = None
) -> WebhookEndpoint:
    """Send to an endpoint again, first what still waits."""
    return await _turn(installation, EndpointId(known.account, endpoint), caller, body, on=True)


@router.post("/{endpoint}/deletion")
async def delete_webhook(
    endpoint: str, known: KnownAccount, installation: Installed, caller: Called, body: Reasoned | None = None
) -> DeletedWebhook:
    """Delete an endpoint with its secret, and what was sent and waits."""
    to = EndpointId(known.account, endpoint)
    await _command(installation, "delete_webhook", to, caller, body, installation.webhooks.delete)
    await _keep_secrets(installation, to, None)
    return DeletedWebhook(account=to.account, endpoint=to.endpoint)


@router.post("/{endpoint}/ping", status_code=202)
async def ping_webhook(
    endpoint: str, known: KnownAccount, installation: Installed, caller: Called, body: Reasoned | None = None
) -> AskedMessage:
    """Send a message of the type `webhook.ping`; whether it arrived is in the list of messages."""
    to, message = EndpointId(known.account, endpoint), f"msg_{token_hex(16)}"
    await _command(installation, "ping_webhook", to, caller, body, installation.webhooks.ping, message)
    return AskedMessage(account=to.account, endpoint=to.endpoint, message=message)


@router.get("/{endpoint}/messages")
async def list_webhook_messages(
    endpoint: str,
    known: KnownAccount,
    installation: Installed,
    state: MessageState | None = None,
    after: Annotated[Storable, Query()] = "",
) -> WebhookMessages:
    """List what was sent to an endpoint in the last thirty days, with every try, the newest first."""
    to = EndpointId(known.account, endpoint)
    found = await _store(installation, installation.webhooks.messages, to, state or "", after, MOST_LISTED + 1)
    page = found[:MOST_LISTED]
    return WebhookMessages(
        messages=tuple(map(_to_message, page)), next=page[-1].place if len(found) > MOST_LISTED else None
    )


@router.post("/{endpoint}/messages/{message}/resend", status_code=202)
async def resend_webhook_message(
    endpoint: str,
    message: str,
    known: KnownAccount,
    installation: Installed,
    caller: Called,
    body: Reasoned | None = None,
) -> AskedMessage:
    """Send a message again that was delivered or parked, under the same id and with the same body."""
    to = EndpointId(known.account, endpoint)
    await _command(installation, "resend_webhook_message", to, caller, body, installation.webhooks.resend, message)
    return AskedMessage(account=to.account, endpoint=to.endpoint, message=message)


async def _store(installation: Installation, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await installation.service("webhooks").call(work, *args, **kwargs)


async def _command(
    installation: Installation,
    command: str,
    to: EndpointId,
    caller: Caller,
    body: Reasoned | None,
    work: Callable[..., T],
    *args: object,
    **kwargs: object,
) -> T:
    """Do what is asked of an endpoint, with a note of who asked and why, and let the service look.

    Raises `ServiceDown` where something is to be sent, and the service that sends does not run.
    """
    if command in _SENDING:
        await installation.readers.call(installation.running.check, "webhooks")
    row = noted(caller, installation.clock, command, to.endpoint, body.note if body else "", account=to.account)
    service = installation.service("webhooks")
    done = await service.call(partial(work, to, *args, row, **kwargs))
    service.notify()
    return done


async def _turn(
    installation: Installation, to: EndpointId, caller: Caller, body: Reasoned | None, *, on: bool
) -> WebhookEndpoint:
    command = "enable_webhook" if on else "disable_webhook"
    await _command(installation, command, to, caller, body, installation.webhooks.turn, on=on)
    found = await _store(installation, installation.webhooks.all, to.account)
    return await _shown(installation, next(each for each in found if each.row.endpoint == to.endpoint))


async def _keep_secrets(installation: Installation, to: EndpointId, secrets: SigningSecrets | None) -> None:
    await installation.accounts_service.call(installation.credentials.keep_signing_secrets, *to, secrets)


async def _shown(installation: Installation, known: KnownEndpoint) -> WebhookEndpoint:
    row, messages = known.row, known.messages
    secrets = await installation.accounts_service.call(
        installation.credentials.signing_secrets, row.account, row.endpoint
    )
    return WebhookEndpoint(
        account=row.account,
        endpoint=row.endpoint,
        url=row.url,
        types=tuple(row.types),
        state="off" if not row.is_on else "ended" if known.ended else "on",
        created=datetime.fromisoformat(row.created),
        ended=known.ended if row.is_on else "",
        failing_since=datetime.fromisoformat(known.failing_since) if known.failing_since else None,
        former_secret_until=former_until(secrets, installation.clock()) if secrets else None,
        waiting=messages.get(MessageState.WAITING, 0),
        delivered=messages.get(MessageState.DELIVERED, 0),
        parked=messages.get(MessageState.PARKED, 0),
    )


def _with_secret(row: EndpointRow, secrets: SigningSecrets, now: datetime) -> WebhookSecret:
    return WebhookSecret(
        account=row.account,
        endpoint=row.endpoint,
        url=row.url,
        secret=secrets.secret,
        former_until=former_until(secrets, now),
    )


def _to_message(row: MessageRow) -> WebhookMessage:
    return WebhookMessage(
        message=row.message,
        type=row.type,
        state=row.state,
        at=datetime.fromisoformat(row.at),
        due=datetime.fromisoformat(row.due) if row.due else None,
        body=row.body,
        attempts=tuple(WebhookAttempt.model_validate(each) for each in row.attempts),
    )


def _check_reachable(url: str, *, allows_private: bool) -> None:
    """Refuse an address that would be refused when it is connected to, as far as it says so. Raises `Malformed`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_literal = host == "localhost" or _is_address(host)
    is_local = host == "localhost" or (is_literal and is_loopback_address(host))
    if parts.scheme == "http" and not (allows_private and is_local):
        raise Malformed("url: must begin with https://")
    if is_literal and not allows_private and (is_local or not is_public_address(host)):
        raise Malformed("url: must not be a private address, nor one of this machine")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
