"""What is answered when a target said that all went well, and nobody can see that it did."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from domain.failures import CLASSES, CallFailure, FailureClass, Reason, Rejected, TargetFailed, Unavailable

T = TypeVar("T")

NOT_TOLD: Final = Unavailable(
    reason=Reason.NO_ANSWER,
    detail="answered in an unknown form, and what was written is not seen",
)
"""The call was sent, and whether it took effect has to be looked up."""


def without_effect(detail: str) -> Rejected:
    """The target reported no error, and yet it does not show what was asked for."""
    return Rejected(reason=Reason.NOT_EFFECTIVE, detail=detail)


_UNREAD: Final = "written, but not read back: "


def unconfirmed(failed: TargetFailed) -> CallFailure:
    """The write went well, and then another call did not: unless the target refuses what we wish, it is looked up."""
    failure = failed.failure
    return failure if CLASSES[failure.reason] is FailureClass.FINAL else _unread(failure)


def _unread(failure: CallFailure) -> Unavailable:
    """The write went well, and then the target could not be read, for whatever reason."""
    retry_after = failure.retry_after if isinstance(failure, Unavailable) else None
    detail = _UNREAD + failure.detail.removeprefix(_UNREAD)
    return Unavailable(reason=Reason.NO_ANSWER, detail=detail, retry_after=retry_after)


async def read_back(reading: Awaitable[T]) -> T:
    """What a target shows after it has answered a write.

    Raises `TargetFailed` with NO_ANSWER where it cannot be read, because the write may have taken effect: a target that
    refuses to show somebody, in whatever words, does not refuse what was written.
    """
    try:
        return await reading
    except TargetFailed as failed:
        raise TargetFailed(_unread(failed.failure)) from failed
