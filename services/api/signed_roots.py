"""Merkle roots over all that the logs have, signed once a day; and proofs that an event is under one of them."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

import structlog

from domain.hash_chain import (
    SEALED_UP_TO,
    BrokenChain,
    ChainedEvent,
    ChainedStore,
    CheckedPart,
    Leaf,
    RootsSigned,
    place_behind,
    root_of,
)
from domain.identity import signed_roots_stream
from domain.store import StoreConflict, StoreFailed, Unit
from services.api.installation import Installation, Signer
from services.api.naming import number_named
from services.api.routing import Installed, new_router
from services.api.schema import LARGEST_INTEGER, Malformed, ResponseBody

router = new_router("signed roots", prefix="/proofs")

DAILY: Final = timedelta(days=1)
"""How old the first event that no root covers may become."""

_LOOK_EVERY: Final = 3600.0
"""Seconds between two looks whether roots are due."""

MOST_LEAVES: Final = 200_000
"""Events of one log under one root; the rest of a large day goes under the next ones."""

ROOTS: Final = "roots"
"""What a verification calls the signed roots, which it checks behind the logs."""

_log = structlog.get_logger()

ChainedLogs = Mapping[str, ChainedStore]
"""The stores by the names of their logs; that of the accounts comes first."""


def _stores(installation: Installation) -> ChainedLogs:
    return {each.log_title: installation.readers.stores[each.name] for each in installation.registry}


def signed_roots(stores: ChainedLogs) -> Sequence[RootsSigned]:
    """The roots that were signed, in order."""
    stream = signed_roots_stream()
    found = next(iter(stores.values())).histories([stream])[stream]
    return [event for event in found if isinstance(event, RootsSigned)]


async def sign_daily(installation: Installation) -> None:
    """Sign roots whenever they are due, until cancelled."""
    while True:
        try:
            await sign_if_due(installation)
        except (StoreConflict, StoreFailed) as failure:
            _log.warning("roots are not signed", trouble=str(failure))
        await asyncio.sleep(_LOOK_EVERY)


async def sign_if_due(installation: Installation) -> bool:
    """Sign the roots over what came since the last ones, if those are a day old; whether it did.

    Raises `StoreConflict` where another process did so first, and `StoreFailed`.
    """
    event = await installation.readers.call(_due, installation)
    if event is None:
        return False
    service = installation.accounts_service
    await service.call(service.store.commit, Unit(events=[event]))
    service.announce()
    _log.info("roots are signed", version=event.originator_version)
    return True


def _due(installation: Installation) -> RootsSigned | None:
    signer, now, stores = installation.signer, installation.clock(), _stores(installation)
    signed = signed_roots(stores)
    first = next(iter(stores.values())).log.read(0, 1)
    began = signed[-1].at if signed else first[0].event.at if first and first[0].event else now
    sealed = _sealed_since(stores, signed)
    if signer is None or (now - began < DAILY and not sealed):
        return None
    return to_signed(stores, signed, signer, now)


def to_signed(
    stores: ChainedLogs,
    signed: Sequence[RootsSigned],
    signer: Signer,
    now: datetime,
    through: Mapping[str, int] | None = None,
) -> RootsSigned:
    """The next roots, behind those that were signed; of each log up to a position `through`, or of all that it has.

    Raises `StoreFailed`.
    """
    sealed = _sealed_since(stores, signed)
    reached = {**roots_reach(signed), **dict.fromkeys(sealed, 0)}
    ends = {log: LARGEST_INTEGER if through is None else through.get(log, 0) for log in stores}
    roots = [root for log, store in stores.items() if (root := _root(log, store, reached.get(log, 0), ends[log]))]
    previous = signed[-1].signature if signed else ""
    said = {"previous": previous, "at": now.isoformat(), "roots": roots} | ({"sealed": sealed} if sealed else {})
    statement = json.dumps(said, sort_keys=True)
    return RootsSigned(
        originator_id=signed_roots_stream(),
        originator_version=len(signed) + 1,
        at=now,
        account="",
        statement=statement,
        key=signer.key,
        signature=signer.sign(statement),
    )


def roots_reach(signed: Sequence[RootsSigned]) -> dict[str, int]:
    """Up to where the events of each log are under a root."""
    reached: dict[str, int] = {}
    for statement in map(_said, signed):
        reached |= dict.fromkeys(statement.get("sealed", ()), 0)
        reached |= {root["log"]: root["through"] for root in statement["roots"]}
    return reached


def _said(signed: RootsSigned) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(signed.statement)
    return said


def _sealed_since(stores: ChainedLogs, signed: Sequence[RootsSigned]) -> dict[str, int]:
    """The logs with roots whose profiles were sealed since, and up to which position."""
    reached = roots_reach(signed)
    told = {log: at for each in signed for log, at in _said(each).get("sealed", {}).items()}
    sealed = {log: store.position(SEALED_UP_TO) for log, store in stores.items() if reached.get(log)}
    return {log: at for log, at in sealed.items() if at > told.get(log, 0)}


def _former(stores: ChainedLogs, signed: Sequence[RootsSigned], number: int) -> frozenset[str]:
    """The logs of which what the roots of this number cover has other bytes since, because profiles were sealed."""
    later = (log for each in signed[number + 1 :] for log in _said(each).get("sealed", ()))
    return frozenset({*_sealed_since(stores, signed), *later})


def present_roots(
    stores: ChainedLogs, signed: Sequence[RootsSigned]
) -> Iterator[tuple[Mapping[str, Any], RootsSigned]]:
    """Each root over events as they are stored now, with what was signed."""
    for number, each in enumerate(signed):
        former = _former(stores, signed, number)
        yield from ((root, each) for root in _said(each)["roots"] if root["log"] not in former)


def _root(log: str, store: ChainedStore, after: int, through: int) -> dict[str, Any] | None:
    leaves = store.leaves(after, through, MOST_LEAVES)
    if not leaves:
        return None
    root, _ = root_of(leaves)
    return {
        "log": log,
        "after": after,
        "through": leaves[-1].position,
        "events": len(leaves),
        "root": root.hex(),
    }


def check_roots(installation: Installation, behind: str) -> CheckedPart:
    """Check the signed roots of one day, behind this many others. Raises `ValueError`, `StoreFailed`."""
    done, stores, stream = place_behind(behind), _stores(installation), signed_roots_stream()
    records = next(iter(stores.values())).records([stream]).get(stream, ())
    if len(records) <= done:
        return CheckedPart(events=0, next=None)
    signed = [record.event for record in records if isinstance(record.event, RootsSigned)]
    is_readable = all(isinstance(record.event, RootsSigned) for record in records[: done + 1])
    trouble, former = "cannot be read", frozenset[str]()
    if is_readable and not (trouble := _forged(installation, signed[: done + 1])):
        former = _former(stores, [*signed[: done + 1], *_own(installation, signed[done + 1 :])], done)
        trouble = _unlike(stores, signed[: done + 1], former)
    if trouble:
        broken = BrokenChain(event=records[done].id, position=records[done].position, problem=trouble)
        return CheckedPart(events=0, next=None, broken=broken)
    is_former = any(root["log"] in former for root in _said(signed[done])["roots"])
    return CheckedPart(events=1, next=str(done + 1), former=int(is_former))


def _own(installation: Installation, signed: Sequence[RootsSigned]) -> list[RootsSigned]:
    """Those of these that this installation has signed so."""
    signer = installation.signer
    return [each for each in signed if signer and signer.has_signed(each.statement, each.signature)]


def _forged(installation: Installation, signed: Sequence[RootsSigned]) -> str:
    event, signer = signed[-1], installation.signer
    if signer is None or event.key != signer.key:
        return "was signed by another key than this installation has"
    if not signer.has_signed(event.statement, event.signature):
        return "is not as it was signed"
    previous = signed[-2].signature if len(signed) > 1 else ""
    return "" if _said(event)["previous"] == previous else "does not follow the roots before it"


def _unlike(stores: ChainedLogs, signed: Sequence[RootsSigned], former: Collection[str]) -> str:
    reached, statement = roots_reach(signed[:-1]), _said(signed[-1])
    reached |= dict.fromkeys(statement.get("sealed", ()), 0)
    for each in statement["roots"]:
        leaves = stores[each["log"]].leaves(each["after"], each["through"], MOST_LEAVES)
        is_whole = each["after"] == reached.get(each["log"], 0) and len(leaves) == each["events"]
        if not is_whole or (each["log"] not in former and root_of(leaves)[0].hex() != each["root"]):
            place = f"the positions {each['after'] + 1} and {each['through']} of {each['log']}"
            return f"has another root: between {place} events were altered, moved, added or removed"
    return ""


class ProvenEvent(ResponseBody):
    """All that is stored of an event: its history in hexadecimal digits, and its bytes in base64."""

    history: str
    version: int
    topic: str
    state: str


class ProofStep(ResponseBody):
    """The other half of the tree at one step from the leaf to the root."""

    side: Literal["left", "right"]
    hash: str


class InclusionProof(ResponseBody):
    """What shows that an event is in a log as it was when the roots were signed; hashes are hexadecimal.

    `previous` is the hash of the event before in its history; `statement`, `key` and `signature` are of the roots.
    """

    log: str
    position: int
    event: ProvenEvent
    previous: str
    path: tuple[ProofStep, ...]
    statement: str
    key: str
    signature: str


@router.get("")
async def prove_event(installation: Installed, log: str, position: str) -> InclusionProof:
    """Prove that the event at this position of a log is the one that was there when the roots were signed."""
    stores, at = _stores(installation), number_named("position", position, LARGEST_INTEGER)
    if log not in stores:
        raise Malformed(f"there is no log {log}; there are: {', '.join(stores)}")
    return await installation.readers.call(_proof, stores, log, at)


def _proof(stores: ChainedLogs, log: str, position: int) -> InclusionProof:
    store = stores[log]
    event = next(iter(store.chained_events(position - 1, position, 1)), None)
    if event is None:
        raise Malformed(f"{log} has no event at position {position}")
    for root, signed in present_roots(stores, signed_roots(stores)):
        if root["log"] == log and root["after"] < position <= root["through"]:
            return proof_of(signed, log, event, store.leaves(root["after"], root["through"], MOST_LEAVES))
    raise Malformed(f"position {position} of {log} is under no root yet: they are signed once a day")


class SignedStatement(Protocol):
    """The roots of a day, as `RootsSigned` has them."""

    @property
    def statement(self) -> str:
        """JSON with the roots."""
        ...

    @property
    def key(self) -> str:
        """The public key."""
        ...

    @property
    def signature(self) -> str:
        """The signature over the statement by this key."""
        ...


def proof_of(signed: SignedStatement, log: str, event: ChainedEvent, leaves: Sequence[Leaf]) -> InclusionProof:
    """The proof of an event by the root over these leaves, one of which is its own."""
    _, path = root_of(leaves, [leaf.position for leaf in leaves].index(event.position))
    return InclusionProof(
        log=log,
        position=event.position,
        event=ProvenEvent(
            history=event.history,
            version=event.version,
            topic=event.topic,
            state=b64encode(event.state).decode(),
        ),
        previous=event.previous.hex(),
        path=tuple(ProofStep(side="left" if side == "left" else "right", hash=hash.hex()) for side, hash in path),  # noqa: A001 - the field's word
        statement=signed.statement,
        key=signed.key,
        signature=signed.signature,
    )
