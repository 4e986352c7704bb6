"""Trouble that comes again and again is said once, and once more when it is over."""

import structlog

_log = structlog.get_logger()


class Troubles:
    """What was said last of whatever goes on in spite of trouble; `named` tells in each line what that is."""

    def __init__(self, **named: str) -> None:
        self._named = named
        self._said = ""

    def met(self, event: str, trouble: str) -> None:
        """There is this trouble, still or again."""
        if trouble != self._said:
            _log.warning(event, trouble=trouble, **self._named)
        self._said = trouble

    def are_over(self) -> None:
        """What there was is over."""
        if self._said:
            _log.warning("trouble is over", trouble=self._said, **self._named)
        self._said = ""
