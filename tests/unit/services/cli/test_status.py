"""What `driverlink status` says waits between the services."""

from typing import Any

from services.cli.status import _queued, _target_rows


def test_what_waits_is_said_in_one_line() -> None:
    targets = [{"target": "driveri", "unsent": 1, "unheard": 18}, {"target": "motive", "unsent": 2, "unheard": 1}]
    assert _queued({"account": "acme", "waiting": 1, "targets": targets}) == (
        "acme: 1 change waits for the decider, 1 decision waits for driveri's projector, 2 decisions wait for motive's "
        "projector, 18 answers of driveri wait for the decider, 1 answer of motive waits for the decider"
    )


def test_the_targets_of_an_account_stay_in_their_order_whatever_comes_there() -> None:
    """The account with the worst of them comes first."""

    def target(name: str, pending: int, held: int = 0) -> dict[str, Any]:
        counts = {"parked": {}, "held": held, "pending": pending, "undecided": 0}
        return {"target": name, "outage": "", "failure": "", **counts}

    def account(name: str, *targets: dict[str, Any]) -> dict[str, Any]:
        return {"account": name, "is_on": True, "drivers": 9, "targets": targets}

    calm = account("acme", target("motive", 0), target("driveri", 5))
    bad = account("beta", target("driveri", 0), target("motive", 0, held=1))
    rows = [(row["account"], row["target"]) for row in _target_rows([calm, bad])]
    assert rows == [("beta", "driveri"), ("beta", "motive"), ("acme", "driveri"), ("acme", "motive")]
