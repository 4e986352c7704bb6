"""What the end of a call tells of the account for which it was made."""

from dataclasses import dataclass

from domain.failures import CLASSES, CallFailure, FailureClass
from domain.identity import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """How a call ended, as far as it tells of the account: `subject` is whom or what it was about.

    Without a failure, or with one that only a working target gives, the account got through. `is_call`: it was made
    for the driver who is its subject.
    """

    account: AccountId
    subject: str
    failure: CallFailure | None
    is_call: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the target refuses access, or there is nothing to reach it by."""
        return self.failure is not None and CLASSES[self.failure.reason] is FailureClass.ACCESS

    @property
    def is_through(self) -> bool:
        """Whether the target has answered: a refusal of one driver is an answer, a limit says nothing either way."""
        return self.failure is None or CLASSES[self.failure.reason] is FailureClass.FINAL
