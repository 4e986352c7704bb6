"""While a secret is replaced, the former one is good too, for a while."""

from domain.ports import SigningSecrets


def test_the_former_secret_is_good_until_its_end() -> None:
    secrets = SigningSecrets(secret="new", since=0.0, former="old", former_until=10.0)
    assert secrets.valid(9.9) == ("new", "old")
    assert secrets.valid(10.0) == ("new",)


def test_without_a_former_one_only_the_newest_is_good() -> None:
    assert SigningSecrets(secret="new", since=0.0, former_until=10.0).valid(1.0) == ("new",)
