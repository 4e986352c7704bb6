"""One fact of each kind, as it could be stored: what the golden files hold, and what every store has to give back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain.account import (
    AccountAdded,
    AccountErased,
    AccountManagerSet,
    AccountRemoved,
    DeletesApproved,
    DeletesRejected,
    ErasureBegan,
    MasterUserSet,
    ModeSet,
    ReconciliationRequested,
    ReconciliationTimeSet,
    RetryRequested,
    SyncAllowed,
    SyncTurnedOff,
    SyncTurnedOn,
    TierSet,
    UndoRequested,
)
from domain.driver_link import (
    Confirmed,
    CreateDecided,
    Deferred,
    DeleteApproved,
    DeleteDecided,
    DeleteHeld,
    DeleteRecalled,
    DeleteRejected,
    DriftFound,
    LinkDecided,
    LinkErased,
    Parked,
    Rationale,
    Refused,
    ReinstateDecided,
    Released,
    RenameDecided,
    Undone,
    UndoRefused,
    UpdateDecided,
)
from domain.hash_chain import ArchiveDeleted, HistoryArchived, RootsSigned
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
    reconciliation_stream,
    scan_stream,
    signed_roots_stream,
    target_driver_stream,
)
from domain.outcomes import (
    BreakerClosed,
    BreakerOpened,
    CallAnswered,
    DriverLookedUp,
    HintedDriverGone,
    HintedDriverSeen,
    ObservedDriverErased,
    ObservedDriverGone,
    ObservedDriverSeen,
    RosterScanFailed,
    RosterScanned,
)
from domain.portal import DriverCreated, DriverDeleted, DriverErased, DriverMissed, DriverSeenAgain, DriverUpdated
from domain.reconciliation import ReconciliationCompleted, ReconciliationRefused
from domain.store import Event

_ACCOUNT = AccountId("acme")
_DRIVER = PortalDriverId("417")
_TARGET = Target.DRIVERI
_KEY = Key("D-417")
_PROFILE = {
    "first_name": "Zoë",
    "last_name": "O'Neil",
    "ref_id": "00417",
    "driveri_driver_id": "D-417",
    "email": "zoe@example.com",
    "licence_number": "N0-881",
    "licence_state": "TX",
}
_EVIDENCE = {
    "linked": {"key": "D-417", "active": True},
    "conflict": {"by": "id", "candidates": 0, "holder": "418"},
}
_BECAUSE = Rationale(trigger="change", ref="7", situation="renamed", mode="full", evidence=_EVIDENCE)
_GUARDED = Rationale(
    trigger="scan", ref="3", situation="orphaned", mode="full", evidence={}, guard={"limit": 3, "deleted": 3, "held": 1}
)


_Fields = dict[str, Any]


def _origin(version: int) -> _Fields:
    """The fields that all facts start with; each at a moment of its own."""
    return {
        "originator_version": version,
        "at": datetime(2026, 1, 5, 8, 0, version, 250_000, tzinfo=UTC),
        "account": _ACCOUNT,
    }


def _of_account(version: int) -> _Fields:
    by: _Fields = {"by": "morgan@example.com", "role": "master_user"}
    return {**_origin(version), "originator_id": account_stream(_ACCOUNT), **by}


def _judged(version: int) -> _Fields:
    return {
        **_of_account(version),
        "target": "driveri",
        "digest": "9f86d081884c7d65",
        "holds": [["417", 4], ["418", 2]],
    }


def _reconciled(version: int) -> _Fields:
    return {**_origin(version), "originator_id": reconciliation_stream(_ACCOUNT, _TARGET), "target": "driveri"}


def _of_driver(version: int) -> _Fields:
    stream = portal_driver_stream(_ACCOUNT, _DRIVER)
    return {**_origin(version), "originator_id": stream, "driver": _DRIVER, "source": "export"}


def _of_link(version: int) -> _Fields:
    stream = link_stream(_ACCOUNT, _TARGET, _DRIVER)
    return {**_origin(version), "originator_id": stream, "target": "driveri", "driver": _DRIVER}


def _decided(version: int, **differing: object) -> _Fields:
    said: _Fields = {
        "sequence": 7,
        "key": "D-417",
        "desired_key": "D-417",
        "profile": _PROFILE,
        "fields": [],
        "answers": 2,
        "policy_generation": 3,
        "waits_for": "",
        "rationale": _BECAUSE,
        "former": {"email": "z.oneil@example.org"},
    }
    return {**_of_link(version), **said, **differing}


def _held(version: int) -> _Fields:
    return {**_of_link(version), "hold": 7, "by": "morgan@example.com", "digest": "9f86d081884c7d65"}


def _seen(version: int) -> _Fields:
    stream = target_driver_stream(_ACCOUNT, _TARGET, _KEY)
    return {**_origin(version), "originator_id": stream, "target": "driveri", "key": _KEY}


def _of_scans(version: int) -> _Fields:
    return {**_origin(version), "originator_id": scan_stream(_ACCOUNT, _TARGET), "target": "driveri"}


def _scanned(version: int) -> _Fields:
    return {**_of_scans(version), "policy_generation": 3}


def _broken(version: int) -> _Fields:
    return {**_origin(version), "originator_id": breaker_stream(_ACCOUNT, _TARGET), "target": "driveri"}


_ALL: tuple[Event, ...] = (
    AccountAdded(
        **{**_of_account(1), "by": "operator", "role": "operator"},
        tier="standard",
        master_user="morgan@example.com",
        account_manager="sam@example.com",
        modes={"driveri": "full", "motive": "observe"},
    ),
    SyncAllowed(**{**_of_account(2), "by": "sam@example.com", "role": "account_manager"}),
    SyncTurnedOn(**_of_account(3)),
    ModeSet(**_of_account(4), target="motive", mode="upsert"),
    DeletesApproved(**_judged(5)),
    DeletesRejected(**_judged(6)),
    SyncTurnedOff(**_of_account(7)),
    RetryRequested(**_of_account(8), target="driveri", driver="417", reason="invalid"),
    ReconciliationRequested(**_of_account(9), target="driveri", driver="417", keys=["D-417"], plan=""),
    ReconciliationTimeSet(**_of_account(10), reconcile_at="03:30"),
    MasterUserSet(**{**_of_account(11), "by": "operator", "role": "operator"}, master_user="robin@example.com"),
    AccountManagerSet(**{**_of_account(12), "by": "operator", "role": "operator"}, account_manager="alex@example.com"),
    TierSet(**{**_of_account(13), "by": "alex@example.com", "role": "account_manager"}, tier="enterprise"),
    AccountRemoved(**{**_of_account(14), "by": "operator", "role": "operator"}),
    AccountErased(**{**_of_account(15), "by": "", "role": "operator"}, events={"intake": 5}, rows={"intake": 2}),
    UndoRequested(
        **_of_account(16),
        target="driveri",
        driver="417",
        keys=[],
        plan="9f86d081884c7d65",
        only="417",
        undo_decision=4,
        undo_reconciliation=0,
        undo_since="",
    ),
    ErasureBegan(**{**_origin(1), "originator_id": erasure_stream(_ACCOUNT)}),
    RootsSigned(
        **{**_origin(1), "originator_id": signed_roots_stream(), "account": ""},
        statement='{"previous": "", "roots": []}',
        key="5a" * 32,
        signature="a5" * 64,
    ),
    HistoryArchived(
        **{**_origin(1), "originator_id": archived_history_stream(), "account": ""},
        log="changes",
        after=0,
        through=417,
        root="c3" * 32,
        events=400,
        erased=17,
        file=f"changes-000000000001-000000000417-{'3c' * 8}.jsonl.gz",
        sha256="3c" * 32,
    ),
    ArchiveDeleted(
        **{**_origin(2), "originator_id": archived_history_stream(), "account": ""},
        log="changes",
        after=0,
        through=417,
        file=f"changes-000000000001-000000000417-{'3c' * 8}.jsonl.gz",
    ),
    DriverCreated(**_of_driver(1), profile=_PROFILE),
    DriverUpdated(**_of_driver(2), profile={**_PROFILE, "time_zone": "America/Chicago"}),
    DriverMissed(**_of_driver(3)),
    DriverSeenAgain(**_of_driver(4)),
    DriverDeleted(**_of_driver(5), profile=_PROFILE),
    DriverErased(
        **{**_of_driver(6), "source": "erasure"},
        by="morgan@example.com",
        role="master_user",
        authenticated="operator",
        note="asked for on 12 March",
    ),
    CreateDecided(**_decided(1, key=None, answers=0)),
    LinkDecided(**_decided(2, fields=["email"], waits_for="driverid:d-417")),
    RenameDecided(**_decided(3, desired_key="D-418")),
    UpdateDecided(**_decided(4, fields=["email", "last_name"])),
    DeleteDecided(**_decided(5, desired_key=None, rationale=_GUARDED)),
    ReinstateDecided(**_decided(6)),
    DeleteHeld(**_of_link(7), sequence=8, key="D-417", rationale=_GUARDED),
    DeleteApproved(**_held(8)),
    DeleteRejected(**_held(9)),
    DeleteRecalled(**_of_link(10)),
    Parked(
        **_of_link(11),
        sequence=9,
        reason="conflict",
        detail="portal driver 418 has claimed its id",
        waits_for="key:d-417",
        holder="418",
        rationale=_BECAUSE,
    ),
    Released(**_of_link(12), reason="conflict"),
    Confirmed(**_of_link(13), decision=6, key="D-417", profile=_PROFILE, unlike=["phone"], unseen=["email"]),
    Refused(**_of_link(14), decision=6, reason="invalid", detail="answered 400: <email> is no address"),
    Deferred(**_of_link(15), decision=6, reason="down", detail="answered 503"),
    DriftFound(
        **_of_link(16),
        fields=["email"],
        profile={"email": "jane.d@example.com"},
        decision=7,
        first_seen="2026-03-01T03:12:00+00:00",
        reconciliation=12,
        at_odds=["email"],
        rationale=_BECAUSE,
    ),
    Undone(
        **_of_link(17),
        sequence=9,
        since=4,
        by="morgan@example.com",
        key="D-417",
        profile={**_PROFILE, "email": "z.oneil@example.org"},
        fields=["email"],
        not_restored=["phone"],
        ending="stay",
        back_to="",
        rationale=_BECAUSE,
    ),
    UndoRefused(
        **_of_link(18),
        since=4,
        reason="changed_in_portal",
        detail="the Portal has changed or deleted the driver since",
        rationale=_BECAUSE,
    ),
    LinkErased(**_of_link(19), keys=["D-417", "D-418"], elsewhere=["D-418"]),
    CallAnswered(
        **_origin(1),
        originator_id=delivery_stream(_ACCOUNT, _TARGET, _DRIVER),
        target="driveri",
        driver=_DRIVER,
        decision=3,
        outcome="confirmed",
        key="D-418",
        active=True,
        profile=_PROFILE,
        left="D-417",
        reason="",
        detail="",
        is_shown=False,
        exchanges=[
            {
                "method": "PUT",
                "route": "/v1/tenants/{tenant}/drivers/{driver}",
                "status": 200,
                "code": "",
                "milliseconds": 41,
            }
        ],
    ),
    ObservedDriverSeen(**_seen(1), active=False, profile=_PROFILE),
    ObservedDriverGone(**_seen(2)),
    HintedDriverSeen(**_seen(3), active=False, profile=_PROFILE),
    HintedDriverGone(**_seen(4)),
    ObservedDriverErased(**_seen(5), driver=_DRIVER),
    RosterScanned(
        **_scanned(1),
        drivers=1500,
        request=3,
        unreadable=1,
        unreadable_records=[{"place": "page 2, users.17", "key": "418", "fields": "phone", "driver": "shown"}],
    ),
    DriverLookedUp(**_of_scans(3), driver=_DRIVER, request=3, reason="", detail=""),
    RosterScanFailed(**_scanned(2), reason="down", detail="answered 503"),
    BreakerOpened(**_broken(1), reason="credentials", detail="answered 401"),
    BreakerClosed(**_broken(2)),
    ReconciliationCompleted(
        **_reconciled(12),
        request=3,
        scan=14,
        drivers=1500,
        found={"in_sync": 1497, "drifted": 2, "held": 1, "unmanaged": 4},
        drifted={"email": 2},
        at_odds={"email": 1},
    ),
    ReconciliationRefused(**_reconciled(13), request=4, scan=15, plan="9f86d081884c7d65", would_be="5feceb66ffc86f38"),
)

SAMPLES: Mapping[str, Event] = {event.TOPIC: event for event in _ALL}
"""One fact of each kind, by the name under which it is stored."""
