"""Log lines: one event each, with keys and values, on standard error."""

import logging
import sys

import structlog
from structlog.typing import EventDict

from services.cli.printing import visible


def configure_logging(*, is_verbose: bool) -> None:
    """Show warnings, or everything."""
    level = logging.INFO if is_verbose else logging.WARNING
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _all_visible,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # the others print local variables, and with them secrets and personal data
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # it says many times a second that a broker is away, and at its finest quotes records, with personal data
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")


def _all_visible(_: object, __: str, event: EventDict) -> EventDict:
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}
