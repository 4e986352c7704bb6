"""Attributes that are worked out when they are first asked for."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - a decorator
    """Works an attribute out when it is first asked for, and keeps it.

    As `functools.cached_property` without its lock, which costs more than most of what is worked out; two threads may
    work it out both, and come to the same.
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object, owner: type) -> T | Self:
        """The attribute of an instance; asked of the class, this itself."""
        if instance is None:
            return self
        found = instance.__dict__[self._name] = self._work_out(instance)
        return found
