from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.credentials import CredentialsFile, MotiveGrantCredentials
from adapters.http.oauth import OAuthGrant
from domain.failures import Reason, Rejected
from domain.identity import AccountId, Target
from domain.ports import RenewableTokens
from services.wiring.connections import Connections, to_motive_access, to_motive_grant
from services.wiring.settings import EmbeddedSettings

pytestmark = pytest.mark.anyio

ACME = AccountId("acme")
KEY = {"api_key": "hush-1"}
GRANT = {"client_id": "app", "client_secret": "hush-app", "refresh_token": "hush-0"}


@pytest.fixture
def credentials(tmp_path: Path) -> CredentialsFile:
    return CredentialsFile(tmp_path / "credentials")


def settings(**stated: str) -> EmbeddedSettings:
    nowhere = {f"{name}_url": f"http://127.0.0.1:9/{name}" for name in ("driveri", "motive", "portal")}
    return EmbeddedSettings.model_validate(nowhere | stated)


def grant_of(credentials: CredentialsFile, **stated: str) -> OAuthGrant:
    return to_motive_grant(settings(**stated), ACME, MotiveGrantCredentials.model_validate(GRANT), credentials)


@pytest.mark.parametrize(
    "others",
    [{"api_key": "hush-2"}, GRANT, {**GRANT, "refresh_token": "hush-new"}],
    ids=["key", "grant", "another grant"],
)
async def test_other_credentials_count_from_the_next_call_on(
    credentials: CredentialsFile, others: Mapping[str, str]
) -> None:
    connections = Connections(settings(), credentials)
    credentials.keep(ACME, Target.MOTIVE, KEY)
    before = connections.connect(Target.MOTIVE, ACME)
    assert connections.connect(Target.MOTIVE, ACME) is before
    credentials.keep(ACME, Target.MOTIVE, others)
    after = connections.connect(Target.MOTIVE, ACME)
    assert after is not before
    assert connections.connect(Target.MOTIVE, ACME) is after
    await connections.close()


async def test_renewed_tokens_are_not_other_credentials(credentials: CredentialsFile) -> None:
    connections = Connections(settings(), credentials)
    credentials.keep(ACME, Target.MOTIVE, GRANT)
    before = connections.connect(Target.MOTIVE, ACME)
    tokens = RenewableTokens(access_token="hush-access", refresh_token="hush-1", expires_at=1.0)
    assert credentials.replace_tokens(ACME, Target.MOTIVE, "hush-0", tokens)
    assert connections.connect(Target.MOTIVE, ACME) is before
    await connections.close()


def test_an_account_without_credentials_says_how_to_connect_it(credentials: CredentialsFile) -> None:
    detail = "no credentials for motive: run `driverlink accounts connect acme motive`"
    rejected = Rejected(reason=Reason.NOT_CONFIGURED, detail=detail)
    assert Connections(settings(), credentials).connect(Target.MOTIVE, ACME) == rejected


def test_tokens_come_from_below_the_base_address_unless_said_otherwise(credentials: CredentialsFile) -> None:
    assert grant_of(credentials).token_url == "http://127.0.0.1:9/motive/oauth/token"
    elsewhere = "http://127.0.0.1:9/tokens"
    assert grant_of(credentials, motive_token_url=elsewhere).token_url == elsewhere


def test_what_leads_to_a_target_never_shows_its_secrets(credentials: CredentialsFile) -> None:
    known = MotiveGrantCredentials.model_validate(GRANT)
    access = to_motive_access(settings(), ACME, known, credentials)
    assert "hush" not in f"{access!r} {known!r} {credentials!r}"
