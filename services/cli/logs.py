"""How log lines look: one event each, with keys and values, as text for people or as JSON for programs."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from structlog.types import Processor

from services.cli.printing import visible
from services.runtime.logs import LogLevel, set_level
from services.wiring.settings import LogSettings, read_settings


def read_log_settings(*, is_verbose: bool) -> LogSettings:
    """The settings of the environment, for which `--verbose` states another level. Raises `WrongSettings`."""
    return read_settings(LogSettings, log_level="info" if is_verbose else None)


def configure_logging(settings: LogSettings) -> None:
    """Write log lines to standard error, those of libraries as well, which are only heard from `warning` on."""
    first: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _for_programs() if settings.log_format == "json" else _for_people()
    structlog.configure(
        processors=[*first, *last],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    level = LogLevel(settings.log_level)
    set_level(level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *first],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # What libraries say below that quotes requests and records, with personal data.
    root = max(logging.WARNING, level.number)
    logging.basicConfig(level=root, handlers=[handler], force=True)
    # It says many times a second that a broker is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _for_people() -> list[Processor]:
    return [
        _all_visible,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The others print local variables, and with them secrets and personal data.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _for_programs() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _all_visible(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}
