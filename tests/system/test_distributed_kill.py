"""kill -9 of any process, changes sent again, servers that are killed: nothing is lost or repeated.

In the end every process is ended in good order and started again, as a new version would be rolled out.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from domain.identity import Target
from tests.support import exactly_once
from tests.support.delivered import behind, not_twice, overtaken
from tests.support.ordeal import Aftermath, gone_through
from tests.support.servers import needed, own_kafka, own_postgres

SEED = 20261201
PROCESSES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The drivers of each account, and the kills."""

    drivers: int
    kills: int


SIZES = {"12 kills": Size(drivers=30, kills=12), "48 kills": Size(drivers=125, kills=48)}


@pytest.fixture(scope="module", params=["12 kills", pytest.param("48 kills", marks=pytest.mark.long)])
def size(request: pytest.FixtureRequest) -> Size:
    return SIZES[request.param]


@pytest.fixture(scope="module")
def aftermath(size: Size, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    with needed(own_kafka()) as kafka, needed(own_postgres()) as postgres:
        sys.stdout.write(f"moments and victims are drawn from the seed {SEED}\n")
        folder = tmp_path_factory.mktemp("ordeal")
        yield asyncio.run(gone_through(kafka, postgres, folder, drivers=size.drivers, kills=size.kills, number=SEED))


def test_every_process_was_killed_and_relays_too(aftermath: Aftermath, size: Size) -> None:
    killed = Counter(kill.name for kill in aftermath.kills)
    assert killed.total() == size.kills
    assert len(killed) == PROCESSES
    assert min(killed.values()) >= size.kills // (3 * PROCESSES)
    assert sum(kill.relayed for kill in aftermath.kills) >= size.kills // 8


def test_every_change_came_twice_but_none_for_the_first_time_behind_a_later_one(
    aftermath: Aftermath, size: Size
) -> None:
    assert {record.id for record in aftermath.delivered} == {
        f"{event.originator_id}/{event.originator_version}" for event in aftermath.changes
    }
    assert not_twice(aftermath.delivered) == []
    assert behind(aftermath.delivered) > size.drivers
    assert overtaken(aftermath.delivered) == 0
    assert {record.partition for record in aftermath.delivered} == {0, 1, 2, 3}


def test_every_change_is_decided_exactly_once(aftermath: Aftermath, size: Size) -> None:
    decided = exactly_once.answered(aftermath.decisions)
    assert decided.repeated() == []
    assert len(aftermath.later) > 3 * size.drivers
    assert decided.missing(aftermath.later) == []
    assert exactly_once.said_twice(aftermath.decisions) == []
    assert aftermath.dead_letters == 0


def test_every_driver_is_decided_in_order(aftermath: Aftermath) -> None:
    assert exactly_once.out_of_order(aftermath.decisions) == []


@pytest.mark.parametrize("target", list(Target))
def test_every_effect_happens_once(aftermath: Aftermath, target: Target) -> None:
    journal = aftermath.journals[target]
    assert exactly_once.repeated_effects(journal) == []
    assert sum(entry["created"] for entry in journal) == exactly_once.created(aftermath.decisions, target) > 0


def test_both_targets_agree_with_the_portal(aftermath: Aftermath, size: Size) -> None:
    assert {account: each.disagreements for account, each in aftermath.comparisons.items() if each.disagreements} == {}
    for each in aftermath.comparisons.values():
        assert min(each.agreeing.values()) > size.drivers / 2
    assert [touched for touched in aftermath.touched.values() if touched] == []
