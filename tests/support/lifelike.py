"""Small fleets to which everything happens that can: the same ones each time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from random import Random

from domain.driver_link import DriverLink, LinkErased, LinkEvent, apply, erase, keys_of, unlinked
from domain.identity import AccountId, PortalDriverId, Target, link_stream
from tests.support.happenings import BY_HAND, IN_THE_PORTAL, LOST_ANSWERS, NEW_TERMS, ON_THE_WAY, kind
from tests.support.simulation import Simulation

_HAPPENINGS = 150
_NUMBERS = 2**24

_OTHERS = tuple(PortalDriverId(f"p{number}") for number in range(4, 12))
"""Who has ids of their own, unlike the first three: so many that the guard holds deletes of theirs."""

_OF_OTHERS = (
    kind(Simulation.state, driver=_OTHERS[:1], profile=({"driveri_driver_id": "D-4"}, {"driveri_driver_id": "D-44"})),
    *(
        kind(Simulation.state, driver=[each], profile=[{"first_name": name, "ref_id": f"R-{each}"} for name in "AB"])
        for each in _OTHERS
    ),
    *[kind(Simulation.delete, driver=_OTHERS)] * 4,
    *[kind(Simulation.run)] * 4,
    kind(Simulation.scan),
    kind(Simulation.judge, is_approved=(True, False)),
)

Link = tuple[str, str, str]
"""The account, the target and the portal driver."""


@cache
def histories(fleets: int = 20) -> Mapping[Link, Sequence[LinkEvent]]:
    """The history of each link of this many accounts; most are left in the middle of what happens."""
    found: dict[Link, list[LinkEvent]] = {}
    for event in happened(fleets):
        found.setdefault((event.account, event.target, event.driver), []).append(event)
    return found


@cache
def happened(fleets: int = 20) -> Sequence[LinkEvent]:
    """The facts of these histories in an order in which a log may have them."""
    return [event for number in range(fleets) for target in Target for event in _fleet(f"fleet-{number}", target)]


def _fleet(account: str, target: Target) -> list[LinkEvent]:
    chance, simulation = Random(f"{account} {target}"), Simulation(target)  # noqa: S311 - the same each time
    kinds = (*IN_THE_PORTAL, *ON_THE_WAY, *LOST_ANSWERS, *BY_HAND[target], *_OF_OTHERS)
    simulation.scan()
    for _ in range(_HAPPENINGS):
        drawn = chance.choice(NEW_TERMS if chance.random() < 0.01 else kinds)
        drawn.happening(chance.randrange(_NUMBERS))(simulation)
    for happening in (Simulation.run, Simulation.undo, Simulation.run, Simulation.undo):
        happening(simulation)
    log = [*simulation.decider.log]
    return [_of(account, target, event) for event in (*log, *_erased(log))]


def _erased(log: Sequence[LinkEvent]) -> Iterator[LinkErased]:
    """That one of those who have no target driver in the end is erased, be it still set aside or under way."""
    known: dict[str, DriverLink] = {}
    for event in log:
        start = unlinked(AccountId(event.account), Target(event.target), PortalDriverId(event.driver))
        known[event.driver] = apply(known.get(event.driver, start), event)
    ended = [link for _, link in sorted(known.items()) if not link.is_live]
    for link in ended[:1]:
        yield from erase(
            link, log[-1].at, keys=keys_of(each for each in log if each.driver == link.driver), elsewhere=()
        )


def _of(account: str, target: Target, event: LinkEvent) -> LinkEvent:
    """The same fact in another account."""
    id_ = link_stream(AccountId(account), target, PortalDriverId(event.driver))
    return replace(event, account=account, originator_id=id_)
