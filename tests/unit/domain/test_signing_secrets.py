"""While a secret is replaced, the former one is good too, for a while."""

from domain.ports import SigningSecrets


def test_the_former_secret_is_good_until_its_end() -> None:
    secrets = SigningSecrets(secret="new", since=0.0, former="old", former_until=10.0)
    assert secrets.valid(9.9) == ("new", "old")
    assert secrets.valid(10.0) == ("new",)


def test_without_a_former_one_only_the_newest_is_good() -> None:
    assert SigningSecrets(secret="new", since=0.0, former_until=10.0).valid(1.0) == ("new",)


def test_a_secret_that_is_replaced_twice_within_its_day_stays_good_for_the_whole_of_it() -> None:
    in_use = SigningSecrets(secret="in use", since=0.0)
    lost = in_use.rotated("lost", 100.0, 200.0)
    assert lost
    again = lost.rotated("again", 150.0, 250.0)
    assert again
    assert again.valid(199.0) == ("again", "lost", "in use")
    assert again.valid(200.0) == ("again", "lost")
    assert again.valid(250.0) == ("again",)
    assert again.rotated("too many", 199.0, 299.0) is None
    later = again.rotated("later", 200.0, 300.0)
    assert later
    assert later.valid(200.0) == ("later", "again", "lost")


def test_what_is_not_good_any_more_is_not_kept() -> None:
    later = SigningSecrets(secret="b", since=0.0, former="a", former_until=10.0).rotated("c", 10.0, 20.0)
    assert later == SigningSecrets(secret="c", since=10.0, former="b", former_until=20.0)
