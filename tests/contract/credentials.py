"""What every keeper of credentials promises: `CredentialsKeeper` and `TokensKeeper`."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.credentials import (
    AccountCredentials,
    CredentialsFile,
    CredentialsTable,
    DriveriCredentials,
    MotiveCredentials,
    MotiveGrantCredentials,
    PortalCredentials,
)
from domain.identity import Connectable, Target
from domain.ports import CredentialsUnreadable, RenewableTokens, SigningSecrets

Keeper = CredentialsFile | CredentialsTable
Opening = Callable[[], Keeper]
"""A keeper as another process has it: of the same credentials, with nothing in memory."""

DRIVERI = {"tenant": "acme", "client_id": "id-1", "client_secret": "hush-driveri"}
KEY = {"api_key": "hush-motive"}
GRANT = {"client_id": "app", "client_secret": "hush-app", "refresh_token": "hush-0"}


def to_tokens(number: int) -> RenewableTokens:
    return RenewableTokens(access_token=f"hush-access-{number}", refresh_token=f"hush-{number}", expires_at=number)


class CredentialsContract:
    """Run by a subclass whose module has a fixture `opening`."""

    @pytest.fixture
    def keeper(self, opening: Opening) -> Keeper:
        keeper = opening()
        keeper.keep("acme", Target.DRIVERI, DRIVERI)
        keeper.keep("acme", Target.MOTIVE, GRANT)
        return keeper

    def test_an_account_is_connected_with_what_was_stated(self, keeper: Keeper, opening: Opening) -> None:
        for reader in (keeper, opening()):
            assert reader.of("acme") == AccountCredentials(
                driveri=DriveriCredentials(**DRIVERI), motive=MotiveGrantCredentials.model_validate(GRANT)
            )
            assert reader.of("other") == AccountCredentials()

    def test_the_portal_is_kept_beside_the_targets(self, keeper: Keeper, opening: Opening) -> None:
        keeper.keep("bolt", "portal", {"username": "maria", "app_token": " hush-app\n"})
        for reader in (keeper, opening()):
            everybody = reader.all()
            assert sorted(everybody) == ["acme", "bolt"]
            assert everybody["acme"] == reader.of("acme")
            assert everybody["bolt"] == AccountCredentials(
                portal=PortalCredentials(username="maria", app_token="hush-app")
            )

    def test_a_reader_learns_where_an_account_has_credentials(self, keeper: Keeper, opening: Opening) -> None:
        reader = opening()
        assert reader.connected("acme") == {"driveri", "motive"}
        keeper.keep("acme", "portal", {"username": "maria", "app_token": "hush-app"})
        keeper.remove("acme", Target.MOTIVE)
        assert reader.connected("acme") == {"portal", "driveri"}
        assert reader.connected("other") == frozenset()

    def test_a_user_of_the_portal_without_a_token_is_refused_by_name(self, keeper: Keeper) -> None:
        with pytest.raises(CredentialsUnreadable) as refused:
            keeper.keep("acme", "portal", {"username": "maria", "app_token": " "})
        assert str(refused.value) == "credentials for portal need: app_token"

    def test_until_the_first_renewal_there_is_only_the_stated_refresh_token(self, keeper: Keeper) -> None:
        assert keeper.tokens("acme", Target.MOTIVE) == RenewableTokens(refresh_token="hush-0")

    @pytest.mark.parametrize(("account", "target"), [("acme", Target.DRIVERI), ("other", Target.MOTIVE)])
    def test_there_are_no_tokens_where_nothing_is_renewed(self, keeper: Keeper, account: str, target: Target) -> None:
        assert keeper.tokens(account, target) is None
        assert not keeper.replace_tokens(account, target, "hush-0", to_tokens(1))

    def test_an_api_key_in_place_of_a_grant_ends_its_tokens(self, keeper: Keeper) -> None:
        keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        keeper.keep("acme", Target.MOTIVE, KEY)
        assert keeper.of("acme").motive == MotiveCredentials(**KEY)
        assert keeper.tokens("acme", Target.MOTIVE) is None
        assert not keeper.replace_tokens("acme", Target.MOTIVE, "hush-1", to_tokens(2))

    def test_tokens_take_the_place_of_spent_ones_for_everybody(self, keeper: Keeper, opening: Opening) -> None:
        for number in (1, 2):
            assert keeper.replace_tokens("acme", Target.MOTIVE, f"hush-{number - 1}", to_tokens(number))
        for reader in (keeper, opening()):
            assert reader.tokens("acme", Target.MOTIVE) == to_tokens(2)
            assert reader.of("acme").driveri == DriveriCredentials(**DRIVERI)

    def test_tokens_that_are_not_the_newest_change_nothing(self, keeper: Keeper, opening: Opening) -> None:
        assert opening().replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        assert not keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(2))
        assert keeper.tokens("acme", Target.MOTIVE) == to_tokens(1)

    def test_tokens_that_are_stored_already_are_stored(self, keeper: Keeper) -> None:
        """A caller that lost the answer of a store asks again."""
        for _ in range(2):
            assert keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        assert keeper.tokens("acme", Target.MOTIVE) == to_tokens(1)

    def test_of_many_who_are_first_one_is(self, keeper: Keeper, opening: Opening) -> None:
        with ThreadPoolExecutor(4) as threads:
            won = list(
                threads.map(
                    lambda number: keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(number)),
                    range(1, 9),
                )
            )
        assert sum(won) == 1
        assert opening().tokens("acme", Target.MOTIVE) == to_tokens(won.index(True) + 1)

    def test_stating_the_same_again_keeps_what_has_come_of_it(self, keeper: Keeper, opening: Opening) -> None:
        """The stated refresh token is spent by then, so a script that connects twice must not bring it back."""
        keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        for again in (keeper, opening()):
            again.keep("acme", Target.MOTIVE, {name: f" {value}\n" for name, value in GRANT.items()})
            again.keep("acme", Target.DRIVERI, {**DRIVERI, "tenant": "other"})
            assert again.tokens("acme", Target.MOTIVE) == to_tokens(1)

    @pytest.mark.parametrize("changed", [{"refresh_token": "hush-new"}, {"client_secret": "hush-new"}])
    def test_stating_something_else_starts_again(self, keeper: Keeper, changed: Mapping[str, str]) -> None:
        keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        keeper.keep("acme", Target.MOTIVE, {**GRANT, **changed})
        expected = RenewableTokens(refresh_token=changed.get("refresh_token", "hush-0"))
        assert keeper.tokens("acme", Target.MOTIVE) == expected

    @pytest.mark.parametrize(
        ("values", "needed"),
        [
            ({**GRANT, "refresh_token": ""}, "refresh_token"),
            ({"refresh_token": "hush-0"}, "client_id, client_secret"),
            ({"client_id": "app", "client_secret": "hush-app"}, "api_key"),
        ],
    )
    def test_a_grant_that_is_not_whole_is_refused_by_name(
        self, keeper: Keeper, values: Mapping[str, str], needed: str
    ) -> None:
        with pytest.raises(CredentialsUnreadable) as refused:
            keeper.keep("acme", Target.MOTIVE, values)
        assert str(refused.value) == f"credentials for motive need: {needed}"

    def test_removed_credentials_are_gone_for_everybody_and_all_others_stay(
        self, keeper: Keeper, opening: Opening
    ) -> None:
        keeper.keep("acme", "portal", {"username": "maria", "app_token": "hush-app"})
        assert keeper.remove("acme", "portal")
        assert keeper.remove("acme", Target.MOTIVE)
        for reader in (keeper, opening()):
            assert reader.of("acme") == AccountCredentials(driveri=DriveriCredentials(**DRIVERI))
            assert reader.tokens("acme", Target.MOTIVE) is None
        assert not keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))

    @pytest.mark.parametrize(("account", "target"), [("acme", "portal"), ("other", Target.DRIVERI)])
    def test_where_there_are_no_credentials_none_are_removed(
        self, keeper: Keeper, opening: Opening, account: str, target: Connectable
    ) -> None:
        before = keeper.all()
        assert not keeper.remove(account, target)
        assert opening().all() == before

    def test_no_secret_is_shown(self, keeper: Keeper) -> None:
        keeper.replace_tokens("acme", Target.MOTIVE, "hush-0", to_tokens(1))
        known = keeper.of("acme")
        for shown in (known, known.driveri, known.motive, keeper, keeper.tokens("acme", Target.MOTIVE)):
            assert "hush" not in f"{shown!r} {shown!s}"

    @pytest.mark.parametrize("sender", ["portal", "ep_1"])
    def test_the_secrets_of_a_sender_or_an_endpoint_are_kept_beside_what_else_the_account_has(
        self, keeper: Keeper, opening: Opening, sender: str
    ) -> None:
        opening().of("acme")
        before = keeper.of("acme")
        secrets = SigningSecrets(secret="hush-hook", since=1.0, former="hush-former", former_until=2.0)
        keeper.keep_signing_secrets("acme", sender, secrets)
        for reader in (keeper, opening()):
            assert reader.signing_secrets("acme", sender) == secrets
            assert reader.signing_secrets("acme", "motive") is None
            assert reader.signing_secrets("other", sender) is None
            found = reader.of("acme")
            assert (found.driveri, found.motive) == (before.driveri, before.motive)
            assert "hush" not in repr((found, secrets))
        keeper.keep("acme", Target.MOTIVE, KEY)
        assert opening().signing_secrets("acme", sender) == secrets
        keeper.keep_signing_secrets("acme", sender, None)
        assert opening().signing_secrets("acme", sender) is None

    def test_another_secret_is_known_to_everybody_at_once(self, keeper: Keeper, opening: Opening) -> None:
        """What is signed by it may come to any process."""
        reader = opening()
        for number in range(2):
            secrets = SigningSecrets(secret=f"hush-{number}", since=float(number))
            keeper.keep_signing_secrets("acme", "portal", secrets)
            assert reader.signing_secrets("acme", "portal") == secrets

    def test_of_a_forgotten_account_nothing_is_kept(self, keeper: Keeper, opening: Opening) -> None:
        keeper.keep("bolt", Target.MOTIVE, KEY)
        keeper.keep_signing_secrets("acme", "ep_1", SigningSecrets(secret="hush-hook", since=1.0))
        keeper.forget("acme")
        keeper.forget("nowhere")
        for reader in (keeper, opening()):
            assert reader.of("acme") == AccountCredentials()
            assert [*reader.all()] == ["bolt"]
