"""What is worked out when it is first asked for."""

from domain.store import once


class Sum:
    """Counts how often it is worked out."""

    def __init__(self) -> None:
        self.worked = 0

    @once
    def total(self) -> int:
        """The sum."""
        self.worked += 1
        return 1 + 1


def test_an_attribute_is_worked_out_when_it_is_first_asked_for_and_kept() -> None:
    one, other = Sum(), Sum()
    assert (one.worked, other.worked) == (0, 0)
    assert (one.total, one.total, other.total) == (2, 2, 2)
    assert (one.worked, other.worked) == (1, 1)


def test_the_class_says_what_the_attribute_is() -> None:
    assert Sum.total.__doc__ == "The sum."
