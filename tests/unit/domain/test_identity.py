"""Histories have ids of their own, derived from what never changes."""

from uuid import UUID

from domain.identity import (
    AccountId,
    Key,
    PortalDriverId,
    Target,
    account_stream,
    archived_history_stream,
    breaker_stream,
    delivery_stream,
    erasure_stream,
    link_stream,
    portal_driver_stream,
    scan_stream,
    signed_roots_stream,
    target_driver_stream,
)

FLEET, JANE = AccountId("fleet-1"), PortalDriverId("jane")


def test_the_ids_of_histories_never_change() -> None:
    """Whatever is stored is found by them."""
    assert account_stream(FLEET) == UUID("1b64735a-b7e4-5216-940f-0be085ede64a")
    assert link_stream(FLEET, Target.MOTIVE, JANE) == UUID("a24cf28d-efad-5433-936c-ca60d8f516a8")
    assert signed_roots_stream() == UUID("c37b3992-e712-519a-a735-e851804a2259")


def test_every_kind_of_history_has_its_own_id() -> None:
    ids = [
        account_stream(FLEET),
        erasure_stream(FLEET),
        signed_roots_stream(),
        archived_history_stream(),
        portal_driver_stream(FLEET, JANE),
        *(link_stream(FLEET, target, JANE) for target in Target),
        *(delivery_stream(FLEET, target, JANE) for target in Target),
        *(target_driver_stream(FLEET, target, Key("jane")) for target in Target),
        *(scan_stream(FLEET, target) for target in Target),
        *(breaker_stream(FLEET, target) for target in Target),
    ]
    assert len(set(ids)) == len(ids)


def test_ids_do_not_run_into_each_other() -> None:
    assert portal_driver_stream(AccountId("a"), PortalDriverId("bc")) != portal_driver_stream(
        AccountId("ab"), PortalDriverId("c")
    )
