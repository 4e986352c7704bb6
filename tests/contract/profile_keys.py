"""The contract of `ProfileKeys`, whatever database has the table."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from threading import Barrier
from typing import Any, Protocol

import pytest

from adapters.profile_keys import KeyTable, MasterKeys, ProfileKeyRow, ProfileKeysTable, StatedMasterKeys
from adapters.store.relational import RelationalStore
from domain.ports import MasterKeyUse
from domain.profile import DataSubject
from domain.store import Misconfigured

FIRST, SECOND = "the first secret text, which is long enough", "the second secret text, which is long enough"
JANE, JIM = DataSubject(account="acme", driver="p-1"), DataSubject(account="acme", driver="p-2")
SEEN = DataSubject(account="acme", driver="p-1", target="driveri")
OTHER = DataSubject(account="globex", driver="p-1")
NOW = datetime(2026, 11, 2, tzinfo=UTC)


class KeysStand(Protocol):
    """A table, and processes that use it."""

    def process(self, masters: MasterKeys | None = None) -> ProfileKeysTable:
        """The keys as another process has them."""
        ...

    def table(self) -> RelationalStore:
        """The table itself."""
        ...


class Tried:
    """A table that counts what it is asked, and can fail."""

    def __init__(self, table: RelationalStore) -> None:
        self.asked = 0
        self.fails_after = -1
        self._table = table

    @property
    def as_table(self) -> KeyTable:
        """Itself: it has whatever the table has."""
        table: Any = self
        return table  # type: ignore[no-any-return] # as above

    def __getattr__(self, name: str) -> Callable[..., object]:
        self.asked += name != "position"
        if name == "exchange" and self.fails_after == 0:
            raise KeyboardInterrupt
        self.fails_after -= name == "exchange"
        found: Callable[..., object] = getattr(self._table, name)
        return found


def _secret(keys: ProfileKeysTable, subject: DataSubject) -> bytes | None:
    cipher = keys.sealing({subject: False})[subject]
    return cipher.secret if cipher else None


class ProfileKeysContract:
    """Inherit it, and give a fixture `stand` that is a `KeysStand`."""

    def test_each_subject_has_a_key_of_their_own_which_lasts(self, stand: KeysStand) -> None:
        made = stand.process().sealing(dict.fromkeys([JANE, JIM, SEEN, OTHER], False))
        again = stand.process().sealing(dict.fromkeys([OTHER, SEEN, JIM, JANE], True))
        first = {each: cipher.secret for each, cipher in made.items() if cipher}
        assert first == {each: cipher.secret for each, cipher in again.items() if cipher}
        assert len({cipher.id for cipher in made.values() if cipher}) == 4
        assert len({cipher.secret for cipher in made.values() if cipher}) == 4

    def test_a_key_is_found_by_its_id_and_one_that_never_was_is_not(self, stand: KeysStand) -> None:
        cipher = stand.process().sealing({JANE: False})[JANE]
        assert cipher
        found = stand.process().opening([cipher.id, "0" * 32])
        assert {name: each and each.secret for name, each in found.items()} == {cipher.id: cipher.secret}

    def test_what_was_sealed_opens_only_in_its_place_and_unaltered(self, stand: KeysStand) -> None:
        cipher = stand.process().sealing({JANE: False})[JANE]
        assert cipher
        sealed = cipher.seal(b"Jane Doe", "here/1")
        assert cipher.open(sealed, "here/1") == b"Jane Doe"
        assert cipher.seal(b"Jane Doe", "here/1") != sealed
        for text, place in ((sealed, "here/2"), (sealed[:-8] + "AAAAAAA=", "here/1"), ("", "here/1")):
            with pytest.raises(ValueError, match="altered, or belongs elsewhere"):
                cipher.open(text, place)

    def test_processes_that_make_one_key_at_once_have_the_same(self, stand: KeysStand) -> None:
        processes, subjects = (
            [stand.process() for _ in range(4)],
            [DataSubject(account="acme", driver=f"p-{number}") for number in range(200)],
        )
        start = Barrier(len(processes))

        def make(number: int) -> list[bytes | None]:
            own = subjects if number % 2 else subjects[::-1]
            start.wait()
            made = processes[number].sealing(dict.fromkeys(own, False))
            return [cipher.secret if (cipher := made[each]) else None for each in subjects]

        with ThreadPoolExecutor(len(processes)) as pool:
            first, *others = pool.map(make, range(len(processes)))
        assert None not in first
        assert others == [first] * 3

    def test_many_keys_are_asked_for_at_once_and_known_ones_not_at_all(self, stand: KeysStand) -> None:
        tried = Tried(stand.table())
        keys = ProfileKeysTable(tried.as_table, StatedMasterKeys(FIRST), lambda: NOW)
        subjects = {DataSubject(account="acme", driver=f"p-{number}"): False for number in range(500)}
        made = keys.sealing(subjects)
        assert tried.asked == 3
        ids = [cipher.id for cipher in made.values() if cipher]
        assert len(keys.opening(ids)) == len(keys.sealing(subjects)) == 500
        assert tried.asked == 3
        assert len(stand.process().opening(ids)) == 500

    def test_a_destroyed_key_is_known_as_such_for_ever(self, stand: KeysStand) -> None:
        keys = stand.process()
        ids = {each: cipher.id for each, cipher in keys.sealing({JANE: False, JIM: False}).items() if cipher}
        assert keys.destroy([JANE]) == 1
        for process in (keys, stand.process()):
            found = process.opening(list(ids.values()))
            assert found[ids[JANE]] is None
            assert found[ids[JIM]] is not None
            assert _secret(process, JANE) is None
        assert keys.destroy([JANE]) == 0

    def test_nothing_of_a_destroyed_key_stays_in_the_table(self, stand: KeysStand) -> None:
        keys = stand.process()
        keys.sealing({JANE: False})
        keys.destroy([JANE])
        (row,) = stand.table().select(ProfileKeyRow)
        assert (row.subject, row.wrapped, row.master, row.erased_at) == (JANE, "", "", NOW.isoformat())

    def test_who_is_stated_again_gets_a_key_of_the_next_generation(self, stand: KeysStand) -> None:
        keys, other = stand.process(), stand.process()
        former = keys.sealing({JANE: True})[JANE]
        keys.destroy([JANE])
        assert keys.sealing({JANE: False})[JANE] is None
        stated = keys.sealing({JANE: True})[JANE]
        assert former
        assert stated
        assert stated.secret != former.secret
        assert keys.opening([former.id, stated.id])[former.id] is None
        assert _secret(other, JANE) == stated.secret
        assert keys.destroy([JANE]) == 1
        assert keys.opening([former.id, stated.id]) == {former.id: None, stated.id: None}

    def test_a_key_that_follows_in_another_process_is_used_as_soon_as_it_is_met(self, stand: KeysStand) -> None:
        keys, other = stand.process(), stand.process()
        assert _secret(other, JANE)
        keys.destroy([JANE])
        stated = keys.sealing({JANE: True})[JANE]
        assert stated
        other.opening([stated.id])
        assert _secret(other, JANE) == stated.secret

    def test_who_is_erased_before_they_had_a_key_gets_none(self, stand: KeysStand) -> None:
        keys = stand.process()
        assert keys.destroy([SEEN]) == 0
        assert _secret(keys, SEEN) is None
        assert _secret(stand.process(), SEEN) is None

    def test_other_processes_forget_a_destroyed_key_when_they_ask_again(self, stand: KeysStand) -> None:
        keys, other = stand.process(), stand.process()
        cipher = other.sealing({JANE: False})[JANE]
        assert cipher
        keys.destroy([JANE])
        other._asked_at -= 2.0
        assert other.opening([cipher.id]) == {cipher.id: None}

    def test_the_keys_of_an_account_are_destroyed_without_a_trace_of_whose_they_were(self, stand: KeysStand) -> None:
        keys = stand.process()
        ids = [each.id for each in keys.sealing({JANE: False, JIM: False, SEEN: False}).values() if each]
        other = _secret(keys, OTHER)
        keys.destroy([JIM])
        assert keys.destroy_all("acme") == 2
        assert keys.opening(ids) == dict.fromkeys(ids)
        assert _secret(keys, OTHER) == other
        assert {row.account for row in stand.table().select(ProfileKeyRow)} == {"", "globex"}
        again = keys.sealing({JANE: False})[JANE]
        assert again
        assert again.id not in ids

    def test_a_rotation_wraps_every_key_by_the_new_master_key(self, stand: KeysStand) -> None:
        subjects = {DataSubject(account="acme", driver=f"p-{number}"): False for number in range(10)}
        made = stand.process(StatedMasterKeys(FIRST)).sealing(subjects)
        ids = [cipher.id for cipher in made.values() if cipher]
        rotating = stand.process(StatedMasterKeys(SECOND, [FIRST]))
        assert [use.keys for use in rotating.masters()] == [0, 10]
        assert [rotating.rotate(4) for _ in range(3)] == [6, 2, 0]
        later = stand.process(StatedMasterKeys(SECOND))
        (use,) = later.masters()
        assert use == MasterKeyUse(master=use.master, keys=10, is_current=True, is_known=True)
        assert {name: each and each.secret for name, each in later.opening(ids).items()} == {
            cipher.id: cipher.secret for cipher in made.values() if cipher
        }

    def test_a_rotation_that_is_killed_goes_on_where_it_was(self, stand: KeysStand) -> None:
        subjects = {DataSubject(account="acme", driver=f"p-{number}"): False for number in range(10)}
        made = stand.process(StatedMasterKeys(FIRST)).sealing(subjects)
        for fails_after in count():
            tried = Tried(stand.table())
            tried.fails_after = fails_after
            killed = ProfileKeysTable(tried.as_table, StatedMasterKeys(SECOND, [FIRST]), lambda: NOW)
            try:
                while killed.rotate(3):
                    pass
                break
            except KeyboardInterrupt:
                both = stand.process(StatedMasterKeys(SECOND, [FIRST]))
                assert all(_secret(both, each) == cipher.secret for each, cipher in made.items() if cipher)
        assert fails_after > 0
        later = stand.process(StatedMasterKeys(SECOND))
        assert all(_secret(later, each) == cipher.secret for each, cipher in made.items() if cipher)

    def test_a_key_that_is_destroyed_during_a_rotation_stays_destroyed(self, stand: KeysStand) -> None:
        keys = stand.process(StatedMasterKeys(FIRST))
        cipher = keys.sealing({JANE: False, JIM: False})[JANE]
        assert cipher

        class Between(Tried):
            """Another process destroys a key between reading the rows and storing them."""

            def exchange(self, rows: object) -> None:
                keys.destroy([JANE])
                self._table.exchange(rows)  # type: ignore[arg-type]

        rotating = ProfileKeysTable(Between(stand.table()).as_table, StatedMasterKeys(SECOND, [FIRST]), lambda: NOW)
        while rotating.rotate(10):
            pass
        assert stand.process(StatedMasterKeys(SECOND)).opening([cipher.id]) == {cipher.id: None}

    def test_a_master_key_that_is_not_at_hand_is_said_without_quoting_a_key(self, stand: KeysStand) -> None:
        cipher = stand.process(StatedMasterKeys(FIRST)).sealing({JANE: False})[JANE]
        assert cipher
        without = stand.process(StatedMasterKeys(SECOND))
        with pytest.raises(Misconfigured, match=r"the master key [0-9a-f]{16} is not known here"):
            without.opening([cipher.id])
        with pytest.raises(Misconfigured, match="is not known here"):
            without.sealing({JANE: False})
        assert [(use.keys, use.is_known) for use in without.masters()] == [(0, True), (1, False)]
        assert without.rotate(10) == 0
        with pytest.raises(Misconfigured, match="set DRIVERLINK_SECRET_KEY"):
            stand.process(StatedMasterKeys("")).sealing({JANE: False})
