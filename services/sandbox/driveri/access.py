"""Who calls Driveri: an API key by Basic authorization, or one of its tokens by Bearer.

Source: driveri-python-sdk 1.0.0.
"""

import base64
import binascii

from starlette.requests import Request

from services.sandbox.driveri.keys import Client, Token
from services.sandbox.driveri.state import DriveriState
from services.sandbox.driveri.wire import Refused


def authorized_client(request: Request, state: DriveriState) -> Client:
    """The API key of a call with Basic authorization; raises `Refused`."""
    credentials = _decoded(_authorization(request, "basic"))
    client_id, _, client_secret = credentials.partition(":")
    client = state.keys.client(client_id, client_secret)
    if client is None:
        raise _unauthorized("no such API key")
    return client


def authorized_token(request: Request, state: DriveriState) -> Token:
    """The active token of a call with Bearer authorization, in whatever letter case; raises `Refused`."""
    token = state.keys.token(_authorization(request, "bearer"), state.now())
    if token is None:
        raise _unauthorized("the token is unknown, revoked or expired")
    return token


def _authorization(request: Request, wanted_scheme: str) -> str:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != wanted_scheme:
        raise _unauthorized(f"this call wants {wanted_scheme} authorization")
    return credentials.strip()


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _unauthorized("the basic authorization cannot be decoded") from None


def _unauthorized(text: str) -> Refused:
    return Refused(401, "UNAUTHORIZED", text)
