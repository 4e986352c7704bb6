"""How log lines look, of ours and of libraries."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.cli.logs import configure_logging
from services.runtime.logs import LogLevel, set_level
from services.wiring.settings import LogSettings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level, kafka = [*root.handlers], root.level, logging.getLogger("aiokafka").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiokafka").setLevel(kafka)
    set_level(LogLevel.WARNING)
    structlog.configure(**before)


def test_for_programs_each_line_is_one_object_also_of_libraries_and_with_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(LogSettings(log_level="info", log_format="json"))
    structlog.get_logger().info("partitions assigned", service="decider", partitions=[1, 2])
    logging.getLogger("uvicorn.error").warning("a request\nwas %s", "odd")
    secret = "x" * 3
    try:
        json.loads("broken")
    except ValueError:
        structlog.get_logger().exception("work fails")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {"event": "partitions assigned", "level": "info", "service": "decider", "partitions": [1, 2]}
    assert (second["event"], second["level"], second["logger"]) == ("a request\nwas odd", "warning", "uvicorn.error")
    assert third["exception"].startswith("Traceback")
    assert secret not in third["exception"]


def test_for_people_a_line_shows_controls_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings())
    structlog.get_logger().warning("odd", name="a\x1b[31mb")
    logging.getLogger("uvicorn.error").warning("odd \x1b[31m")
    first, second = capsys.readouterr().err.splitlines()
    assert "\\x1b[31mb" in first
    assert "\\x1b[31m" in second


def test_libraries_are_never_heard_below_warning(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(log_level="debug"))
    logging.getLogger("httpx").info("GET /users?email=jane@fleet.test")
    logging.getLogger("aiokafka").error("away")
    assert capsys.readouterr().err == ""
