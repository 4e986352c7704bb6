"""Driveri's API keys and the tokens they are exchanged for.

Source: driveri-python-sdk 1.0.0 for the rules; how long a token lives is not public, so each key says it.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_ACTIVE_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An API key of one tenant. `token_lifetime` is in milliseconds."""

    client_id: str
    client_secret: str
    tenant: str
    scopes: tuple[str, ...]
    token_lifetime: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of one key; its times are in milliseconds since the epoch."""

    access_token: str
    token_id: str
    client: Client
    created_on: int
    expires_on: int

    def shown(self) -> dict[str, object]:
        """The token as the API shows it."""
        return {
            "accessToken": self.access_token,
            "tokenType": "Bearer",
            "expiresOn": self.expires_on,
            "scope": ",".join(self.client.scopes),
            "accessTokenId": self.token_id,
            "createdOn": self.created_on,
        }


class Keys:
    """All API keys, and their tokens."""

    def __init__(self, clients: Iterable[Client] = (), tokens: Iterable[Token] = ()) -> None:
        self._clients = {client.client_id: client for client in clients}
        kept = (token for token in tokens if token.client in self._clients.values())
        self._tokens = {token.access_token: token for token in kept}

    def replaced(self, clients: Iterable[Client]) -> "Keys":
        """Other keys; tokens of keys that stay as they are stay valid."""
        return Keys(clients, self._tokens.values())

    def client(self, client_id: str, client_secret: str) -> Client | None:
        """The key with this id and secret."""
        client = self._clients.get(client_id)
        return client if client and client.client_secret == client_secret else None

    def of_tenant(self, tenant: str) -> Sequence[Client]:
        """The keys of one tenant."""
        return [client for client in self._clients.values() if client.tenant == tenant]

    def active(self, client: Client, at: int) -> Sequence[Token]:
        """The key's tokens that have neither expired nor been revoked, oldest first."""
        return [token for token in self._tokens.values() if token.client == client and token.expires_on > at]

    def issue(self, client: Client, at: int) -> Token | None:
        """A new token, or None while the key has as many active ones as it may have."""
        self._tokens = {text: token for text, token in self._tokens.items() if token.expires_on > at}
        if len(self.active(client, at)) >= MOST_ACTIVE_TOKENS:
            return None
        token = Token(
            access_token=secrets.token_urlsafe(24),
            token_id=secrets.token_hex(8),
            client=client,
            created_on=at,
            expires_on=at + client.token_lifetime,
        )
        self._tokens[token.access_token] = token
        return token

    def token(self, access_token: str, at: int) -> Token | None:
        """The token of this text, if it is still active."""
        token = self._tokens.get(access_token)
        return token if token and token.expires_on > at else None

    def revoke(self, token: Token) -> None:
        """Make the token worthless."""
        del self._tokens[token.access_token]
