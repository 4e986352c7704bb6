"""`/accounts/{account}/push-secrets`: the secrets by which others sign what they push, and how a signature is verified.

The Portal signs by the Standard Webhooks specification, Motive by the HMAC-SHA1 of the body. A push for an account that
there is not is refused as one with a wrong signature is.
"""

import asyncio
import hmac
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from secrets import token_bytes, token_hex
from typing import Annotated, Final, cast

import structlog
from fastapi import Depends, Request
from pydantic import Field
from starlette.exceptions import HTTPException

from domain.identity import AccountId, PushSender
from domain.ports import SigningSecrets
from domain.store import JournalRow, StoreFailed
from services.accounts.handlers import find_account
from services.api.installation import Installation
from services.api.journal import note_for_account, noted
from services.api.routing import Called, Installed, KnownAccount, new_router
from services.api.schema import SIGNING_FORM, Moment, Reasoned, ResponseBody
from services.intake.pushing import Refused

TOLERANCE: Final = timedelta(minutes=5)
"""How far the time of a signature may be from ours."""

LARGEST_PUSH: Final = 2**20
"""Bytes of the largest body that is pushed."""

SLOWEST_PUSH: Final = 10.0
"""Seconds in which a body has to have come."""

FORMER_LASTS: Final = timedelta(hours=24)
"""How long the former secret is good after a rotation."""

_TOO_LARGE = f"a push has at most {LARGEST_PUSH // 2**20} MB: send it in parts"
_PREFIX = "whsec_"
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID = re.compile(r"[!-~]{1,200}")
_SECONDS = re.compile(r"[0-9]{1,12}")

_log = structlog.get_logger()


class SignatureRefused(Exception):
    """A push was not signed as it has to be; the message says what is wrong, as far as a stranger may know."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


Verify = Callable[[Mapping[str, str], bytes, tuple[str, ...], datetime], str]
"""Whether headers sign a body by one of these secrets now; the id of the push. Raises `SignatureRefused`."""


def verify_standard(headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], now: datetime) -> str:
    """As the Standard Webhooks specification says; see https://www.standardwebhooks.com."""
    push, at, stated = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (_ID.fullmatch(push) and _SECONDS.fullmatch(at) and stated):
        raise SignatureRefused("unsigned", "the headers webhook-id, webhook-timestamp and webhook-signature are needed")
    if abs(now.timestamp() - int(at)) > TOLERANCE.total_seconds():
        raise SignatureRefused("outdated", "webhook-timestamp is more than five minutes from now: sign it again")
    signed = f"{push}.{at}.".encode() + body
    expected = [
        b"v1," + b64encode(hmac.digest(b64decode(secret.removeprefix(_PREFIX)), signed, sha256)) for secret in secrets
    ]
    if not _is_one_of(stated.split(" "), expected):
        raise SignatureRefused("wrong", "webhook-signature is not that of this body by a secret of this account")
    return push


def verify_motive(headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], _: datetime) -> str:
    """As Motive does: the hexadecimal HMAC-SHA1 of the body. It signs neither an id nor a time."""
    stated = headers.get("x-kt-webhook-signature", "")
    if not stated:
        raise SignatureRefused("unsigned", "the header X-KT-Webhook-Signature is needed")
    expected = [hmac.digest(secret.encode(), body, sha1).hex().encode() for secret in secrets]
    if not _is_one_of([stated.lower()], expected):
        raise SignatureRefused("wrong", "X-KT-Webhook-Signature is not that of this body by a secret of this account")
    return ""


def _is_one_of(stated: list[str], expected: list[bytes]) -> bool:
    return any(hmac.compare_digest(each.encode(), right) for each in stated for right in expected)


_NO_ONES: Final[Mapping[PushSender, str]] = {
    "portal": _PREFIX + b64encode(token_bytes(32)).decode(),
    "motive": token_hex(20),
}
"""Secrets by which what is pushed for unknown accounts is verified, so that it takes as long."""


class Refusals:
    """Counts what was refused; what comes while one count is stored is stored together."""

    def __init__(self) -> None:
        self._waiting: Counter[Refused] = Counter()
        self._storing = asyncio.Lock()

    async def count(self, installation: Installation, refused: Refused) -> None:
        """Count one; it is stored when this returns, unless the store fails, which the sender cannot change."""
        self._waiting[refused] += 1
        async with self._storing:
            counted, self._waiting = self._waiting, Counter()
            for (account, sender, reason), times in counted.items():
                _log.warning("push refused", account=account, sender=sender, reason=reason, times=times)
            if counted:
                with suppress(StoreFailed):
                    await installation.intake_service.call(installation.pushes.count_refused, counted)


async def _refusals_of(request: Request) -> Refusals:
    state = request.app.state
    if not hasattr(state, "refusals"):
        state.refusals = Refusals()
    return cast("Refusals", state.refusals)


CountedRefusals = Annotated[Refusals, Depends(_refusals_of)]
"""The refusals that the application counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPush:
    """A push that was verified: the account, the id that its sender gave it, and its body."""

    account: AccountId
    id: str
    body: bytes = field(repr=False)


async def signed_push(
    request: Request,
    account: str,
    sender: PushSender,
    verify: Verify,
    refusals: Refusals,
    installation: Installation,
) -> SignedPush:
    """What was pushed for an account, once its signature is verified. Raises `SignatureRefused`."""
    body = await _body_of(request)
    known = None
    if _ACCOUNT.fullmatch(account):
        known = await installation.readers.call(find_account, installation.readers.accounts, account)
    known = known if known and known.is_known else None
    secrets = await _secrets_of(installation, known.account, sender) if known else None
    now = installation.clock()
    try:
        push = verify(request.headers, body, secrets.valid(now.timestamp()) if secrets else (_NO_ONES[sender],), now)
    except SignatureRefused as refused:
        await refusals.count(installation, (known.account if known else "", sender, refused.reason))
        raise
    return SignedPush(account=known.account if known else AccountId(account), id=push, body=body)


async def _body_of(request: Request) -> bytes:
    """Raises `HTTPException` for a body that is too large, or comes too slowly."""
    stated, body = request.headers.get("content-length", ""), bytearray()
    if stated.isdecimal() and int(stated) > LARGEST_PUSH:
        raise HTTPException(413, _TOO_LARGE)
    try:
        async with asyncio.timeout(SLOWEST_PUSH):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_PUSH:
                    raise HTTPException(413, _TOO_LARGE)
    except TimeoutError:
        raise HTTPException(408, f"the body has not come within {SLOWEST_PUSH:.0f} seconds") from None
    return bytes(body)


async def _secrets_of(installation: Installation, account: str, sender: PushSender) -> SigningSecrets | None:
    return await installation.accounts_service.call(installation.credentials.signing_secrets, account, sender)


router = new_router("push-secrets", prefix="/accounts/{account}/push-secrets")


class PushSecretRefused(Exception):
    """The push secret of a sender cannot be made or changed like this; the message says what to do."""


class CreateSecret(Reasoned):
    """A new secret of a sender; Motive may have made it already, the Portal's is always made here."""

    secret: str | None = Field(default=None, pattern=SIGNING_FORM, repr=False)


class RotateSecret(CreateSecret):
    """Another secret of a sender. The former is good for a day more; `at_once`: it is not good any more."""

    at_once: bool = False


class PushSecret(ResponseBody):
    """A secret, which is shown this one time; `former_until` is how long the one before is good too."""

    account: str
    sender: str
    secret: str = Field(repr=False)
    path: str
    former_until: Moment | None = None


class RevokedSecret(ResponseBody):
    """What a sender pushes is refused from now on; `revoked` is false where there was no secret."""

    account: str
    sender: str
    revoked: bool


class RefusedPushes(ResponseBody):
    """How often a sender's pushes were refused for one reason, and when last."""

    reason: str
    refused: int
    at: Moment


class PushSecretStatus(ResponseBody):
    """A sender, since when its secret is good and until when the former one is, if there are any, and what was refused.

    `path` is where it pushes to.
    """

    sender: str
    path: str
    since: Moment | None
    former_until: Moment | None
    refused: tuple[RefusedPushes, ...]


@router.get("")
async def list_push_secrets(known: KnownAccount, installation: Installed) -> list[PushSecretStatus]:
    """List who may push to an account, and what was refused."""
    refused = await installation.intake_service.call(installation.pushes.refused, known.account)
    found = []
    for sender in _PATHS:
        secrets = await _secrets_of(installation, known.account, sender)
        found.append(
            PushSecretStatus(
                sender=sender,
                path=_path(known.account, sender),
                since=_moment(secrets.since) if secrets else None,
                former_until=former_until(secrets, installation.clock()) if secrets else None,
                refused=tuple(
                    RefusedPushes(reason=row.reason, refused=row.refused, at=datetime.fromisoformat(row.at))
                    for row in refused
                    if row.sender == sender
                ),
            )
        )
    return found


@router.post("/{sender}", status_code=201)
async def create_secret(
    sender: PushSender, body: CreateSecret, known: KnownAccount, installation: Installed, caller: Called
) -> PushSecret:
    """Create the secret by which a sender signs what it pushes. It is shown once."""
    if await _secrets_of(installation, known.account, sender):
        raise PushSecretRefused(
            f"{sender} has a secret for {known.account}: "
            f"`driverlink accounts push-secret rotate {known.account} {sender}` makes another"
        )
    now = installation.clock().timestamp()
    secrets = SigningSecrets(secret=_new(sender, body.secret), since=now)
    row = noted(caller, installation.clock, "create_secret", sender, body.note, account=known.account)
    return await _keep(installation, known.account, sender, secrets, row)


@router.post("/{sender}/rotation")
async def rotate_secret(
    sender: PushSender, body: RotateSecret, known: KnownAccount, installation: Installed, caller: Called
) -> PushSecret:
    """Replace the secret of a sender; both are good for a day.

    Replaced once more within the day, the one before both is good too, until its own day is over; then no other can
    be made before.
    """
    former = await _secrets_of(installation, known.account, sender)
    if former is None:
        raise PushSecretRefused(
            f"{sender} has no secret for {known.account}: "
            f"`driverlink accounts push-secret create {known.account} {sender}`"
        )
    secrets = rotated(former, _new(sender, body.secret), installation.clock(), at_once=body.at_once)
    if secrets is None:
        raise PushSecretRefused(too_many(former))
    row = noted(caller, installation.clock, "rotate_secret", sender, body.note, account=known.account)
    return await _keep(installation, known.account, sender, secrets, row)


@router.post("/{sender}/revocation")
async def revoke_secret(
    sender: PushSender,
    known: KnownAccount,
    installation: Installed,
    caller: Called,
    body: Reasoned | None = None,
) -> RevokedSecret:
    """Revoke the secrets of a sender: what it pushes is refused from now on."""
    was_there = await _secrets_of(installation, known.account, sender) is not None
    if was_there:
        keep = installation.credentials.keep_signing_secrets
        await installation.accounts_service.call(keep, known.account, sender, None)
        note = body.note if body else ""
        row = noted(caller, installation.clock, "revoke_secret", sender, note, account=known.account)
        await note_for_account(installation, row)
    return RevokedSecret(account=known.account, sender=sender, revoked=was_there)


async def _keep(
    installation: Installation, account: AccountId, sender: PushSender, secrets: SigningSecrets, row: JournalRow
) -> PushSecret:
    await installation.accounts_service.call(installation.credentials.keep_signing_secrets, account, sender, secrets)
    await note_for_account(installation, row)
    return PushSecret(
        account=account,
        sender=sender,
        secret=secrets.secret,
        path=_path(account, sender),
        former_until=former_until(secrets, installation.clock()),
    )


def new_standard_secret() -> str:
    """A secret as the Standard Webhooks specification has them."""
    return _PREFIX + b64encode(token_bytes(32)).decode()


def _new(sender: PushSender, stated: str | None) -> str:
    if sender == "portal":
        if stated is not None:
            raise PushSecretRefused("the Portal's secret is made here: enter it in the Portal")
        return new_standard_secret()
    return stated or token_hex(20)


_PATHS: Final[Mapping[PushSender, str]] = {"portal": "changes", "motive": "hints/motive"}


def _path(account: str, sender: PushSender) -> str:
    return f"{router.prefix.removesuffix('/push-secrets').replace('{account}', account)}/{_PATHS[sender]}"


def rotated(former: SigningSecrets, secret: str, now: datetime, *, at_once: bool) -> SigningSecrets | None:
    """A new secret in the place of this one, which is good for a day more unless `at_once`; None: too many are."""
    at = now.timestamp()
    if at_once:
        return SigningSecrets(secret=secret, since=at)
    return former.rotated(secret, at, at + FORMER_LASTS.total_seconds())


def too_many(secrets: SigningSecrets) -> str:
    """Why there cannot be another secret yet, and what to do."""
    until = _moment(secrets.earlier_until).isoformat(timespec="seconds")
    return f"three secrets are good until {until}: wait until then, or have only the new one be good, by `--at-once`"


def former_until(secrets: SigningSecrets, now: datetime) -> datetime | None:
    """Until when the former of two secrets is good; None where it is not any more."""
    is_good = len(secrets.valid(now.timestamp())) > 1
    return _moment(secrets.former_until) if is_good else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
