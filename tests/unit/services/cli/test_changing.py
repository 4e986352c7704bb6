"""`driverlink drivers`: what a person says of one driver is looked at as a line of a list is."""

import pytest

from tests.support.served_folder import ServedFolder


@pytest.mark.parametrize("action", ["create", "update"])
@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (("email=notanemail", "time_zone=Mars"), "email is not an e-mail address"),
        (("email=jane@fleet.test", "time_zone=Mars"), "time_zone is not a time zone that we know"),
        (("ref_id==A1",), "ref_id holds a formula"),
        (("last_name=D\x1b[2Joe",), "last_name holds a control character"),
    ],
)
def test_what_cannot_stand_in_a_field_is_refused_and_not_sent(
    looking: ServedFolder, action: str, stated: tuple[str, ...], words: str
) -> None:
    before = looking("events", "--log", "changes", "--json").out
    names = ("first_name=Jane", "last_name=Doe")
    said = [each for text in (*names, *stated) for each in ("--set", text)]
    ended = looking("drivers", action, "acme", "--driver", "9" if action == "create" else "1", *said)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert words in ended.err
    assert looking("events", "--log", "changes", "--json").out == before


def test_a_driver_is_named_as_it_is_stored(driverlink: ServedFolder) -> None:
    names = ("--set", "first_name=Jane", "--set", "last_name=Doe")
    ended = driverlink("drivers", "create", "ACME", "--driver", '="00419"', *names)
    assert ended.out == "driver 00419 of acme: DriverCreated\n"
