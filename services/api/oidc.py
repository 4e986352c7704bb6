"""Signing people in with an OpenID Connect provider: the code flow with PKCE.

Authlib makes the request and its challenge; the provider's tokens are checked by joserfc.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from domain.account import Role
from domain.cleaning import LONGEST, clean
from services.api.access import LoginAttempt
from services.api.permissions import EVERYWHERE, OPERATOR, Grants, Principal, PrincipalKind

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
"""Signatures with a key pair; one with the client's secret, or none, is not taken."""

_PATIENCE = 10.0
_LEEWAY = 60
"""Seconds that the provider's clock may differ."""

_GRANTABLE = frozenset(Role) - {Role.MASTER_USER}
"""The roles that a provider can grant; who the Master User is, the account says."""


class SignInFailed(Exception):
    """Signing in with the provider did not work; the message says why, without what the provider sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """The provider, our client there, and `public_url`, where browsers reach the API.

    `user_claim` is what names a person, as the Portal does; `roles_claim` lists their roles, each `ROLE` or
    `ROLE:ACCOUNT`.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    public_url: str
    user_claim: str
    roles_claim: str

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.public_url}/oidc/callback"


class Provider:
    """An OpenID Connect provider, as our API uses it."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._metadata: Mapping[str, Any] = {}

    async def address(self, attempt: LoginAttempt, state: str) -> str:
        """Where a browser signs in. Raises `SignInFailed`."""
        metadata = await self._described()
        uri: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            client_id=self.settings.client_id,
            response_type="code",
            redirect_uri=self.settings.redirect_uri,
            scope="openid profile email",
            state=state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return uri

    async def principal(self, code: str, attempt: LoginAttempt) -> Principal:
        """Who has signed in, by the code that the provider sent them with. Raises `SignInFailed`."""
        metadata = await self._described()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.settings.redirect_uri,
            "code_verifier": attempt.verifier,
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
        }
        granted = await self._ask("POST", metadata["token_endpoint"], form)
        keys = await self._ask("GET", metadata["jwks_uri"])
        claims = self._checked(str(granted.get("id_token", "")), keys, attempt.nonce)
        who = clean(str(claims.get(self.settings.user_claim) or ""), LONGEST["driver"])
        if not who or who == OPERATOR or who.startswith("key:"):
            raise SignInFailed(f"the provider states no user name in the claim {self.settings.user_claim}")
        return Principal(
            who=who, kind=PrincipalKind.PERSON, grants=to_grants(claims.get(self.settings.roles_claim) or ())
        )

    def _checked(self, token: str, keys: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = jwt.decode(token, KeySet.import_key_set(dict(keys)), algorithms=_ALGORITHMS).claims  # type: ignore[arg-type]
            registry.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as wrong:
            raise SignInFailed(f"the provider's token is not good: {type(wrong).__name__}") from None
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise SignInFailed("the provider's token is for another client")
        return claims

    async def _described(self) -> Mapping[str, Any]:
        """What the provider says of itself, once."""
        if not self._metadata:
            address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = await self._ask("GET", address)
            if found.get("issuer") != self.settings.issuer:
                raise SignInFailed("the provider calls itself otherwise than DRIVERLINK_OIDC_ISSUER")
            if lacking := {"authorization_endpoint", "token_endpoint", "jwks_uri"} - found.keys():
                raise SignInFailed(f"the provider does not state its {min(lacking)}")
            self._metadata = found
        return self._metadata

    async def _ask(self, method: str, address: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(_PATIENCE), httpx.AsyncClient(timeout=_PATIENCE) as client:
                answer = await client.request(method, address, data=form)
                found = answer.raise_for_status().json()
        except (httpx.HTTPError, TimeoutError, ValueError) as failure:
            raise SignInFailed(f"the provider does not answer as it should: {type(failure).__name__}") from None
        if not isinstance(found, dict):
            raise SignInFailed("the provider does not answer as it should: not an object")
        return found


def to_grants(stated: object) -> Grants:
    """The roles in a claim, a list or words: what is not a role that can be granted is left out."""
    words: Iterable[object] = stated.split() if isinstance(stated, str) else stated if isinstance(stated, list) else ()
    grants: dict[str, frozenset[Role]] = {}
    for word in words:
        role, _, account = str(word).partition(":")
        if role in _GRANTABLE:
            place = account or EVERYWHERE
            grants[place] = grants.get(place, frozenset()) | {Role(role)}
    return grants
