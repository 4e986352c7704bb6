"""Values that are made quickly are made as others are."""

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from domain.values import quick


@quick
@dataclass(frozen=True, kw_only=True)
class Place:
    """With a dictionary; its fields have the names that the making itself uses."""

    self_: str
    fields: tuple[str, ...] = ("none",)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Slotted:
    """With slots."""

    fields: str
    kind: int = 7


class Inherited(Place):
    """Made as its base is."""


def test_fields_and_defaults_are_as_they_are_stated() -> None:
    assert vars(Place(self_="a")) == {"self_": "a", "fields": ("none",)}
    assert (Slotted(fields="x").fields, Slotted(fields="x").kind) == ("x", 7)
    assert Slotted(fields="x", kind=8) == replace(Slotted(fields="x"), kind=8) != Slotted(fields="x")
    assert Inherited(self_="b", fields=()) == replace(Inherited(self_="b"), fields=())


def test_what_is_missing_or_unknown_is_refused() -> None:
    with pytest.raises(TypeError, match="fields"):
        Slotted()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        Place(self_="a", colour="red")  # type: ignore[call-arg]


def test_they_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Place(self_="a").self_ = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Slotted(fields="x").kind = 8  # type: ignore[misc]
