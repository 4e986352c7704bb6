"""The receiver of the documentation verifies, stores each message once, and answers."""

import asyncio
import os
import re
import sqlite3
from datetime import UTC, datetime
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from services.webhooks.messages import signed_headers
from tests.unit.services.webhooks.webhooks_stand import FORMER, SECRET, local_receivers

DOCUMENT = Path(__file__).parents[4] / "docs/how-to/webhooks.md"


def test_the_receiver_of_the_documentation_keeps_each_message_once_and_refuses_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), flags=re.DOTALL)
    named: dict[str, Any] = {}
    exec(code, named)  # noqa: S102 - our own documentation
    named["Receiver"].log_message = lambda *_: None
    body = b'{"type": "driver.linked", "data": {"driver": "1"}}'
    with HTTPServer(("127.0.0.1", 0), named["Receiver"]) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/"

        def status(message: str, *secrets: str) -> int:
            headers = signed_headers(message, body, secrets, datetime.now(UTC))
            return asyncio.run(local_receivers().send(url, headers, body)).status

        answered = [
            status("msg_1", SECRET),
            status("msg_1", SECRET),
            status("msg_2", FORMER, SECRET),
            status("msg_3", FORMER),
        ]
        server.shutdown()
        serving.join()
    named["seen"].close()
    assert answered == [204, 204, 204, 401]
    with sqlite3.connect(os.fspath(tmp_path / "received.sqlite")) as stored:
        assert stored.execute("SELECT id, type FROM messages ORDER BY id").fetchall() == [
            ("msg_1", "driver.linked"),
            ("msg_2", "driver.linked"),
        ]
