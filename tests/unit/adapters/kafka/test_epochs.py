"""From where a stream goes on when its topic has lost records, or a new epoch has begun."""

from collections.abc import Mapping

import pytest

from adapters.kafka.connection import StreamsMisconfigured
from adapters.kafka.topics import NoEpochs, start


def started(position: int, beginning: int, end: int, **begun: int) -> int:
    """From where the stream goes on in epoch 2; `begun` is like `epoch_1=0`."""
    epochs = {name.removeprefix("epoch_"): offset for name, offset in begun.items()}
    return start("2/accounts.v1/0", position, beginning=beginning, end=end, begun=epochs)


@pytest.mark.parametrize(
    ("position", "beginning", "end", "begun", "expected"),
    [
        (0, 0, 0, {}, 0),
        (0, 0, 9, {}, 0),
        (7, 5, 9, {"epoch_2": 3}, 7),
        (0, 57, 90, {"epoch_1": 0, "epoch_2": 57}, 57),
        (0, 57, 90, {"epoch_1": 0, "epoch_2": 80}, 80),
        (0, 57, 57, {"epoch_1": 0}, 57),
        (0, 57, 80, {"epoch_1": 0}, 80),
        (0, 57, 80, {}, 57),
    ],
    ids=[
        "nothing was ever sent",
        "everything is there",
        "what was read goes on",
        "records of the former epoch are gone",
        "records of the former epoch are left",
        "nothing is sent in the new epoch, and nothing is left of the former",
        "nothing is sent in the new epoch",
        "no epoch of ours was ever sent",
    ],
)
def test_a_stream_goes_on_where_nothing_is_lost(
    position: int, beginning: int, end: int, begun: Mapping[str, int], expected: int
) -> None:
    assert started(position, beginning, end, **begun) == expected


@pytest.mark.parametrize("begun", [{"epoch_2": 57}, {"epoch_1": 0, "epoch_2": 57}], ids=["first", "later"])
def test_records_of_the_present_epoch_that_are_gone_unread_are_a_loss_and_are_said(begun: Mapping[str, int]) -> None:
    with pytest.raises(StreamsMisconfigured, match=r"was read up to 57, but begins at 58: .* DRIVERLINK_EPOCH$"):
        started(0, 58, 90, **begun)


def test_records_behind_what_was_read_that_are_gone_are_a_loss_and_are_said() -> None:
    with pytest.raises(StreamsMisconfigured, match="was read up to 7, but begins at 8: records are gone"):
        started(7, 8, 9, epoch_2=0)


@pytest.mark.parametrize("position", [0, 57])
def test_a_topic_that_ends_before_the_epoch_began_was_made_again(position: int) -> None:
    with pytest.raises(StreamsMisconfigured, match="was read up to 57, but ends at 3: its topic was made again"):
        started(position, 0, 3, epoch_2=57)


def test_without_a_place_to_keep_them_no_epoch_has_begun() -> None:
    epochs = NoEpochs()
    epochs.begin("1", "accounts.v1", {0: 7})
    assert epochs.beginnings("accounts.v1") == {}
