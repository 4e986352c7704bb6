"""The keys by which profiles are sealed: one for each data subject, in a table of their own, wrapped by a master key.

A key is stored before anything that it seals. When it is destroyed its row stays, without the key: so it is known that
what it sealed is erased, and not merely unreadable.
"""

import os
from base64 import b64decode, b64encode
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import ClassVar, Final, Protocol, TypeVar
from uuid import uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.ports import MasterKeyUse
from domain.profile import DataSubject
from domain.store import Misconfigured, Position, Row, Unit, Value, Where

_BYTES: Final = 32
_NONCE: Final = 12

_MOST: Final = 20_000
"""Keys that are remembered; the one that was used longest ago is forgotten first."""

_TOGETHER: Final = 5000
"""Keys that one query asks for."""

_PAGE: Final = 1000
"""Keys of an account that are destroyed at a time."""

_FRESH: Final = 1.0
"""Seconds after which it is asked whether other processes have destroyed keys."""

_DESTROYED: Final = "destroyed"
"""The position that moves on whenever keys were destroyed."""

K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileKeyRow(Row):
    """The key of one data subject, wrapped by a master key; it is the one of the last `generation` that seals.

    A destroyed one has neither `wrapped` nor `master`, and says when: `erased_at`.
    """

    TABLE: ClassVar[str] = "profile_keys"
    KEY: ClassVar[tuple[str, ...]] = ("account", "target", "driver", "generation")
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("id",), ("master", "id"))

    account: str
    target: str
    driver: str
    generation: int
    id: str
    wrapped: str
    master: str
    erased_at: str = ""

    @property
    def subject(self) -> DataSubject:
        """Whose key it is."""
        return DataSubject(account=self.account, driver=self.driver, target=self.target)


_SUBJECT: Final = ProfileKeyRow.KEY[:-1]


class KeyTable(Protocol):
    """The store that has the table."""

    def select(
        self,
        row: type[R],
        where: Where | None = None,
        *,
        order_by: str | tuple[str, ...] = "",
        limit: int | None = None,
    ) -> list[R]:
        """The rows that match."""
        ...

    def among(self, row: type[R], columns: Sequence[str], values: Collection[tuple[Value, ...]]) -> list[R]:
        """The rows whose values in these columns are one of several combinations."""
        ...

    def count(self, row: type[Row], *, by: Sequence[str] = ()) -> Mapping[tuple[Value, ...], int]:
        """How many rows there are, for each combination of these columns."""
        ...

    def insert_new(self, rows: Sequence[Row]) -> None:
        """Insert these rows, but for those whose key is there already."""
        ...

    def exchange(self, rows: Collection[tuple[R, R]]) -> None:
        """Put the second of each of these pairs in the place of the first, where that is still as it is there."""
        ...

    def commit(self, unit: Unit) -> bool:
        """Store a unit; False where one of its positions is reached already."""
        ...

    def position(self, name: str) -> int:
        """How far the position of this name has come."""
        ...

    def begin_erasing(self) -> None:
        """See to it that what is changed from now on is overwritten."""
        ...

    def end_erasing(self) -> None:
        """Let no copy of what was changed stay beside the table."""
        ...

    def close(self) -> None:
        """Let go of the file or the connections."""
        ...


class SubjectCipher:
    """A key that is at hand; see `ProfileCipher`."""

    __slots__ = ("_cipher", "id", "secret")

    def __init__(self, id: str, secret: bytes) -> None:  # noqa: A002 - the row's word
        self.id = id
        self.secret = secret
        self._cipher = AESGCM(secret)

    def seal(self, text: bytes, place: str) -> str:
        """The text sealed for this place."""
        nonce = os.urandom(_NONCE)
        return b2a_base64(nonce + self._cipher.encrypt(nonce, text, place.encode()), newline=False).decode()

    def open(self, sealed: str, place: str) -> bytes:
        """The text again."""
        try:
            data = a2b_base64(sealed)
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], place.encode())
        except (InvalidTag, ValueError):
            raise ValueError("what is sealed was altered, or belongs elsewhere") from None


class MasterKey:
    """A key that wraps others. Its id follows from it, and gives nothing away."""

    def __init__(self, secret: bytes) -> None:
        digest = Hash(SHA256())
        digest.update(b"driverlink master key\n" + secret)
        self.id = digest.finalize().hex()[:16]
        self._cipher = AESGCM(secret)

    @classmethod
    def of_text(cls, text: str) -> "MasterKey":
        """The one that follows from a secret text."""
        derived = HKDF(algorithm=SHA256(), length=_BYTES, salt=None, info=b"driverlink profile master key")
        return cls(derived.derive(text.encode()))

    def wrap(self, secret: bytes, id: str) -> str:  # noqa: A002 - the row's word
        """A key of this id, encrypted."""
        nonce = os.urandom(_NONCE)
        return b64encode(nonce + self._cipher.encrypt(nonce, secret, id.encode())).decode()

    def unwrap(self, wrapped: str, id: str) -> bytes:  # noqa: A002 - as above
        """The key again. Raises `Misconfigured` where it was not wrapped so."""
        data = b64decode(wrapped)
        try:
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], id.encode())
        except InvalidTag:
            raise Misconfigured(f"the profile key {id} is damaged: put a copy of the profile keys in place") from None


class MasterKeys(Protocol):
    """The master keys that are at hand."""

    def known(self) -> Sequence[MasterKey]:
        """All of them, the current one first. Raises `Misconfigured`."""
        ...

    def renew(self) -> bool:
        """Make another one the current one; False where that is set up elsewhere. Raises `Misconfigured`."""
        ...

    def forget_former(self) -> None:
        """Remove all but the current one for good, where they are kept here. Raises `Misconfigured`."""
        ...


class StatedMasterKeys:
    """Master keys that follow from secret texts in the settings: the current one, and former ones."""

    def __init__(self, current: str, former: Sequence[str] = ()) -> None:
        self._stated = [each for each in (current, *former) if each]
        self._known: Sequence[MasterKey] = ()

    def known(self) -> Sequence[MasterKey]:
        """See `MasterKeys`."""
        if not self._stated:
            raise Misconfigured("profiles cannot be sealed: set DRIVERLINK_SECRET_KEY or DRIVERLINK_SECRET_KEY_FILE")
        self._known = self._known or [MasterKey.of_text(each) for each in self._stated]
        return self._known

    def renew(self) -> bool:
        """Another one has to be set up."""
        return False

    def forget_former(self) -> None:
        """They stay until the settings do not have them any more."""


class MasterKeyFile:
    """Master keys in a file that only its owner can read: one a line, the current one first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: Sequence[MasterKey] = ()

    def make(self) -> None:
        """Make the file, with a first key, where there is none. Raises `Misconfigured`."""
        if not self._path.exists():
            self._write([os.urandom(_BYTES)])

    def known(self) -> Sequence[MasterKey]:
        """See `MasterKeys`."""
        self._known = self._known or [MasterKey(each) for each in self._read()]
        return self._known

    def renew(self) -> bool:
        """Put another one in front."""
        self._write([os.urandom(_BYTES), *self._read()])
        return True

    def forget_former(self) -> None:
        """Keep only the first."""
        if len(stored := self._read()) > 1:
            self._write(stored[:1])

    def _read(self) -> list[bytes]:
        try:
            if self._path.stat().st_mode & 0o077:
                raise Misconfigured(f"{self._path.name} can be read by others; run: chmod 600 {self._path}")
            keys = [bytes.fromhex(line) for line in self._path.read_text("ascii").split()]
        except FileNotFoundError:
            raise Misconfigured(f"{self._path} is missing: put back a copy of it, or no profile can be read") from None
        except OSError as failure:
            raise Misconfigured(f"{self._path} cannot be read: {failure.strerror}") from None
        except ValueError:
            keys = []
        if not keys or any(len(each) != _BYTES for each in keys):
            raise Misconfigured(f"{self._path} is damaged: put back a copy of it, or no profile can be read")
        return keys

    def _write(self, keys: Sequence[bytes]) -> None:
        beside, folder = self._path.with_suffix(".new"), self._path.parent
        try:
            beside.unlink(missing_ok=True)
            made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(made, "w", encoding="ascii") as file:
                file.write("".join(f"{each.hex()}\n" for each in keys))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):
                os.fsync(descriptor)
            os.close(descriptor)
        except OSError as failure:
            raise Misconfigured(f"{self._path} cannot be written: {failure.strerror}") from None
        self._known = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of one key; without a cipher it is destroyed."""

    subject: DataSubject
    generation: int
    cipher: SubjectCipher | None


class ProfileKeysTable:
    """Keeps the keys in a table; see `ProfileKeys`. Threads may share it: one at a time works with the table."""

    def __init__(self, table: KeyTable, masters: MasterKeys, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._masters = masters
        self._clock = clock
        self._lock = Lock()
        self._by_id: OrderedDict[str, _Known] = OrderedDict()
        self._newest: OrderedDict[DataSubject, _Known] = OrderedDict()
        self._destroyed = 0
        self._asked_at = -_FRESH

    def sealing(self, subjects: Mapping[DataSubject, bool]) -> Mapping[DataSubject, SubjectCipher | None]:
        """See `ProfileKeys`."""
        with self._lock:
            self._look_for_destroyed()
            found = {each: known for each in subjects if (known := _used(self._newest, each))}
            if unknown := [each for each, is_stated in subjects.items() if _lacks(found.get(each), is_stated)]:
                found |= self._newest_of(unknown)
            lacking = [each for each, is_stated in subjects.items() if _lacks(found.get(each), is_stated)]
            if lacking:
                following = {each: known.generation + 1 if (known := found.get(each)) else 1 for each in lacking}
                self._table.insert_new([self._made(each, number) for each, number in following.items()])
                found |= self._newest_of(lacking)
            return {each: found[each].cipher for each in subjects}

    def opening(self, ids: Collection[str], account: str | None = None) -> Mapping[str, SubjectCipher | None]:
        """See `ProfileKeys`."""
        with self._lock:
            self._look_for_destroyed()
            found = {each: known for each in ids if (known := _used(self._by_id, each))}
            if unknown := [each for each in ids if each not in found]:
                for row in self._rows_of(unknown):
                    known = found[row.id] = self._known(row)
                    _remember(self._by_id, row.id, known)
                    newest = self._newest.get(known.subject)
                    if newest and newest.generation < known.generation:
                        self._newest[known.subject] = known
            return {each: known.cipher for each, known in found.items() if account in (None, known.subject.account)}

    def destroy(self, subjects: Collection[DataSubject]) -> int:
        """See `ProfileKeys`."""
        with self._lock:
            places = [(each.account, each.target, each.driver) for each in subjects]
            rows = self._table.among(ProfileKeyRow, _SUBJECT, places) if places else []
            without = set(subjects) - {row.subject for row in rows}
            erased_at = self._clock().isoformat()
            if without:
                gone = [replace(self._made(each, 1), wrapped="", master="", erased_at=erased_at) for each in without]
                self._table.insert_new(gone)
            return self._destroy(
                lambda: self._table.among(ProfileKeyRow, _SUBJECT, places) if places else [],
                lambda row: replace(row, wrapped="", master="", erased_at=erased_at),
            )

    def destroy_all(self, account: str) -> int:
        """See `ProfileKeys`."""
        erased_at = self._clock().isoformat()

        def nameless(row: ProfileKeyRow) -> ProfileKeyRow:
            erased = replace(row, wrapped="", master="", erased_at=row.erased_at or erased_at)
            return replace(erased, account="", target="", driver=row.id, generation=1)

        with self._lock:
            return self._destroy(lambda: self._table.select(ProfileKeyRow, {"account": account}, limit=_PAGE), nameless)

    def masters(self) -> Sequence[MasterKeyUse]:
        """See `ProfileKeys`."""
        with self._lock:
            counts = {str(master): keys for (master,), keys in self._table.count(ProfileKeyRow, by=("master",)).items()}
            known = [each.id for each in self._masters.known()]
        counts.pop("", None)
        return [
            MasterKeyUse(master=each, keys=counts.get(each, 0), is_current=each == known[0], is_known=each in known)
            for each in dict.fromkeys([*known, *sorted(counts)])
        ]

    def rotate(self, limit: int) -> int:
        """See `ProfileKeys`."""
        with self._lock:
            current, *former = self._masters.known()
            self._table.begin_erasing()
            for master in former:
                if page := self._table.select(ProfileKeyRow, {"master": master.id}, order_by="id", limit=limit):
                    self._table.exchange([(row, self._wrapped_by(current, master, row)) for row in page])
                    break
            counts = self._table.count(ProfileKeyRow, by=("master",))
            left = sum(counts.get((master.id,), 0) for master in former)
            if not left:
                self._table.end_erasing()
                self._masters.forget_former()
            return left

    def renew_master(self) -> bool:
        """See `ProfileKeys`."""
        with self._lock:
            is_under_way = len(self._masters.known()) > 1
            return is_under_way or self._masters.renew()

    def close(self) -> None:
        """Let go of the table."""
        self._table.close()

    def _look_for_destroyed(self) -> None:
        """Forget everything where another process has destroyed keys since."""
        if monotonic() - self._asked_at < _FRESH:
            return
        destroyed = self._table.position(_DESTROYED)
        self._asked_at = monotonic()
        if destroyed != self._destroyed:
            self._destroyed = destroyed
            self._forget()

    def _forget(self) -> None:
        self._by_id.clear()
        self._newest.clear()

    def _rows_of(self, ids: Sequence[str]) -> Iterator[ProfileKeyRow]:
        for first in range(0, len(ids), _TOGETHER):
            yield from self._table.select(ProfileKeyRow, {"id": ids[first : first + _TOGETHER]})

    def _newest_of(self, subjects: Iterable[DataSubject]) -> dict[DataSubject, _Known]:
        """The last generation of the key of each of these that has one, as it is stored."""
        newest: dict[DataSubject, ProfileKeyRow] = {}
        for row in self._table.among(ProfileKeyRow, _SUBJECT, [(s.account, s.target, s.driver) for s in subjects]):
            if (other := newest.get(row.subject)) is None or other.generation < row.generation:
                newest[row.subject] = row
        found = {subject: self._known(row) for subject, row in newest.items()}
        for subject, known in found.items():
            _remember(self._newest, subject, known)
            _remember(self._by_id, newest[subject].id, known)
        return found

    def _made(self, subject: DataSubject, generation: int) -> ProfileKeyRow:
        current, id = self._masters.known()[0], uuid4().hex  # noqa: A001 - the row's word
        return ProfileKeyRow(
            account=subject.account,
            target=subject.target,
            driver=subject.driver,
            generation=generation,
            id=id,
            wrapped=current.wrap(os.urandom(_BYTES), id),
            master=current.id,
        )

    def _known(self, row: ProfileKeyRow) -> _Known:
        cipher = SubjectCipher(row.id, self._master_of(row).unwrap(row.wrapped, row.id)) if row.wrapped else None
        return _Known(row.subject, row.generation, cipher)

    def _master_of(self, row: ProfileKeyRow) -> MasterKey:
        for master in self._masters.known():
            if master.id == row.master:
                return master
        raise Misconfigured(
            f"profiles cannot be read: the master key {row.master} is not known here; state it among the former ones, "
            "or put back the copy of its file"
        )

    def _wrapped_by(self, current: MasterKey, former: MasterKey, row: ProfileKeyRow) -> ProfileKeyRow:
        return replace(row, wrapped=current.wrap(former.unwrap(row.wrapped, row.id), row.id), master=current.id)

    def _destroy(
        self, rows: Callable[[], Sequence[ProfileKeyRow]], after: Callable[[ProfileKeyRow], ProfileKeyRow]
    ) -> int:
        """Put what comes after in the place of these rows, until there are none to be changed any more."""
        destroyed = 0
        self._table.begin_erasing()
        while found := [row for row in rows() if row.wrapped or row.account != after(row).account]:
            self._table.exchange([(row, after(row)) for row in found])
            destroyed += sum(bool(row.wrapped) for row in found)
        self._table.end_erasing()
        is_said = False
        while not is_said:
            self._destroyed = self._table.position(_DESTROYED) + 1
            is_said = self._table.commit(Unit(positions=[Position(name=_DESTROYED, at=self._destroyed)]))
        self._forget()
        return destroyed


def _lacks(known: _Known | None, is_stated: bool) -> bool:  # noqa: FBT001 - a value of the mapping
    """Whether a key has to be found, or made."""
    return known is None or (is_stated and known.cipher is None)


def _used(remembered: OrderedDict[K, V], key: K) -> V | None:
    """What is remembered of this, as used last."""
    if (found := remembered.get(key)) is not None:
        remembered.move_to_end(key)
    return found


def _remember(remembered: OrderedDict[K, V], key: K, known: V) -> None:
    remembered[key] = known
    remembered.move_to_end(key)
    if len(remembered) > _MOST:
        remembered.popitem(last=False)
