"""Drivers whose own call may be what an account's access seems to be refused for."""

from collections.abc import Iterable, Mapping

from domain.identity import AccountId
from domain.storing import Store, Unit
from services.projector.read_models import Suspect, place_of


class Suspects:
    """The suspects of one target: few, so they are kept in memory as they are stored."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored: Mapping[tuple[str, str], Suspect] | None = None

    def has(self, account: AccountId, driver: str) -> bool:
        """Whether this driver's call was refused as if for the account, and has not succeeded since."""
        return (account, driver) in self._known

    def are_alone(self, account: str) -> set[str]:
        """The drivers of an account who turned out to be the trouble themselves."""
        return {row.driver for row in self._known.values() if row.account == account and row.is_alone}

    def heed(
        self, unit: Unit, *, succeeded: Iterable[tuple[AccountId, str]], refused: Mapping[tuple[AccountId, str], bool]
    ) -> None:
        """The calls of these drivers were answered, and to those access was refused: to which of them alone."""
        known, has_changed = self._known, False
        for account, driver in succeeded:
            if (account, driver) in known:
                unit.remove(Suspect, {"account": account, "driver": driver})
                has_changed = True
        for (account, driver), is_alone in refused.items():
            before = known.get((account, driver))
            if before is None or is_alone > before.is_alone:
                unit.keep([Suspect(account=account, driver=driver, is_alone=is_alone)])
                has_changed = True
        if has_changed:
            self.look_anew()

    def forget(self, unit: Unit, account: str) -> None:
        """The account has other credentials, for which nobody was refused anything yet."""
        unit.remove(Suspect, {"account": account})
        self.look_anew()

    def look_anew(self) -> None:
        """Others may be stored meanwhile."""
        self._stored = None

    @property
    def _known(self) -> Mapping[tuple[str, str], Suspect]:
        if self._stored is None:
            self._stored = {place_of(row): row for row in self._store.select(Suspect)}
        return self._stored
