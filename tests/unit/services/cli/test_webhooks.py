"""Webhooks by command, over the API of a data folder."""

import json

import pytest

from tests.support.served_folder import ServedFolder
from tests.unit.services.cli.test_connecting import run


def test_an_endpoint_is_created_looked_at_and_deleted(
    driverlink: ServedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    driverlink.start()
    monkeypatch.setenv("DRIVERLINK_DATA", str(driverlink.path))
    created = run("webhooks", "create", "acme", "https://receiver.test/hooks", "--type", "driver.held")
    secret = created.stdout.splitlines()[0]
    assert secret.startswith("whsec_")
    (endpoint,) = json.loads(run("webhooks", "list", "acme", "--json").stdout)
    name = endpoint["endpoint"]
    assert (endpoint["types"], endpoint["state"]) == (["driver.held"], "on")
    assert secret not in run("webhooks", "list", "acme", "-o", "wide").output
    assert "two" not in run("webhooks", "rotate", "acme", name, "--at-once").output
    assert "former secret too until" in run("webhooks", "rotate", "acme", name).output
    assert "is sent to" in run("webhooks", "ping", "acme", name).output
    assert run("webhooks", "messages", "acme", name, "--state", "parked").exit_code == 0
    assert "has no message msg_1" in str(run("webhooks", "resend", "acme", name, "msg_1").exception)
    assert "until you enable it" in run("webhooks", "disable", "acme", name).output
    assert "is off" in str(run("webhooks", "ping", "acme", name).exception)
    assert f"{name} is on" in run("webhooks", "enable", "acme", name).output
    assert f"{name} is deleted" in run("webhooks", "delete", "acme", name).output
    assert "has no endpoint" in str(run("webhooks", "delete", "acme", name).exception)
    refused = run("webhooks", "create", "acme", "http://receiver.test/hooks")
    assert "url: must begin with https://" in str(refused.exception)
