"""What `driverlink status` says waits between the services."""

from services.cli.status import _queued


def test_what_waits_is_said_in_one_line() -> None:
    targets = [{"target": "driveri", "unsent": 1, "unheard": 18}, {"target": "motive", "unsent": 2, "unheard": 1}]
    assert _queued({"account": "acme", "waiting": 1, "targets": targets}) == (
        "acme: 1 change waits for the decider, 1 decision waits for driveri's projector, 2 decisions wait for motive's "
        "projector, 18 answers of driveri wait for the decider, 1 answer of motive waits for the decider"
    )
