"""An OpenID Connect provider as a process of its own, by Authlib: `python -m tests.support.oidc_provider REDIRECT_URI`.

It prints its issuer. `/authorize` takes the name of who signs in as `login`, in place of a password.
"""

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "driver-sync", "a secret that is only good for tests"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
ROLES = {"olga": ["operator:acme"], "ada": ["admin", "master_user"]}


class Client(ClientMixin):  # type: ignore[misc]  # carries no types
    """The one client."""

    client_id = CLIENT_ID

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> str:
        return sys.argv[1]

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == sys.argv[1]

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method, endpoint) == ("client_secret_post", "token")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """A code that was given out."""

    user: str
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None: ...

    def get_amr(self) -> None: ...


CODES: dict[str, Code] = {}


class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """Codes, each good once."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        stated = request.payload.data
        CODES[code] = Code(
            user=request.user,
            redirect_uri=request.payload.redirect_uri,
            scope=request.payload.scope,
            nonce=stated.get("nonce", ""),
            code_challenge=stated.get("code_challenge", ""),
            code_challenge_method=stated.get("code_challenge_method", ""),
        )

    def query_authorization_code(self, code: str, _: ClientMixin) -> Code | None:
        return CODES.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        for code in [code for code, each in CODES.items() if each is authorization_code]:
            del CODES[code]

    def authenticate_user(self, authorization_code: Code) -> str:
        return authorization_code.user


class IdTokens(OpenIDCode):  # type: ignore[misc]
    """Who has signed in, signed with the key."""

    def __init__(self, issuer: str) -> None:
        super().__init__(require_nonce=True)
        self.issuer = issuer

    def exists_nonce(self, nonce: str, _: OAuth2Request) -> bool:
        return any(code.nonce == nonce for code in CODES.values())

    def resolve_client_private_key(self, _: ClientMixin) -> RSAKey:
        return KEY

    def get_client_claims(self, _: ClientMixin) -> dict[str, Any]:
        return {"iss": self.issuer}

    def get_encode_header(self, _: ClientMixin) -> dict[str, str]:
        return {"alg": "RS256", "kid": "one"}

    def get_client_algorithm(self, _: ClientMixin) -> str:
        return "RS256"

    def generate_user_info(self, user: str, _: str) -> UserInfo:
        return UserInfo(
            sub=f"id-of-{user}",
            preferred_username=user,
            email=f"{user}@fleet.test",
            email_verified=user == "maria",
            driverlink_roles=ROLES.get(user, []),
        )


class Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server behind Starlette."""

    def query_client(self, client_id: str) -> Client | None:
        return Client() if client_id == CLIENT_ID else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """None is ever asked for."""

    def send_signal(self, name: str, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the library's signature
        """There are no listeners."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:  # noqa: ANN401
        content = json.dumps(body) if isinstance(body, dict) else body
        return Response(content, status, dict(headers))


class FormRequest(OAuth2Request):  # type: ignore[misc]
    """A request with its fields."""

    def __init__(self, request: Request, fields: dict[str, str]) -> None:
        super().__init__(request.method, str(request.url), headers=dict(request.headers))
        self.payload = BasicOAuth2Payload(fields)
        self.fields = fields

    @property
    def args(self) -> dict[str, str]:
        return self.fields

    @property
    def form(self) -> dict[str, str]:
        return self.fields


def to_app(issuer: str) -> Starlette:
    """The provider."""
    server = Server(scopes_supported=["openid", "profile", "email"])
    server.register_token_generator("default", BearerTokenGenerator(lambda **_: os.urandom(16).hex()))
    server.register_grant(CodeGrant, [IdTokens(issuer), CodeChallenge(required=True)])

    async def describe(_: Request) -> Response:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": issuer, **{name: f"{issuer}/{path}" for name, path in paths.items()}})

    async def keys(_: Request) -> Response:
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})

    async def authorize(request: Request) -> Response:
        asked = FormRequest(request, dict(request.query_params))
        user = request.query_params["login"]
        grant = server.get_consent_grant(asked, end_user=user)
        answer: Response = server.create_authorization_response(asked, grant_user=user, grant=grant)
        return answer

    async def token(request: Request) -> Response:
        answer: Response = server.create_token_response(
            FormRequest(request, dict(parse_qsl((await request.body()).decode())))
        )
        return answer

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", describe),
            Route("/keys", keys),
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
        ]
    )


def main() -> None:
    """Serve on any free port of the loopback address."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    with socket.create_server(("127.0.0.1", 0)) as bound:
        issuer = f"http://127.0.0.1:{bound.getsockname()[1]}"
        print(issuer, flush=True)
        config = uvicorn.Config(to_app(issuer), lifespan="off", log_level="error")
        uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main()
