"""The accounts service on a store of its own, and the people who use it."""

from datetime import UTC, datetime
from pathlib import Path

from adapters.store.sqlite import SqliteStore
from domain.account import Account, AccountEvent, Mode, Request, Tier
from domain.identity import AccountId, Target
from domain.store import Row
from services.accounts.handlers import AccountRow, Accounts

ACCOUNT = AccountId("acme")
MASTER, MANAGER, STRANGER = "morgan@example.com", "sam@example.com", "eve@example.com"
NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
ROWS: tuple[type[Row], ...] = (AccountRow,)


class AccountsStand:
    """Accounts at one moment."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path, log_name="accounts.v1", rows=ROWS)
        self.accounts = Accounts(self.store, lambda: NOW)

    def add(self, name: str = ACCOUNT, tier: Tier = Tier.PRO, manager: str = MANAGER) -> Account:
        """Make an account known, with every target in full mode."""
        return self.accounts.add(
            AccountId(name),
            "operator",
            lambda request, known: request.add(
                known,
                tier=tier,
                master_user=MASTER,
                account_manager=manager,
                modes=dict.fromkeys(Target, Mode.FULL),
            ),
        )

    def allow(self, by: str) -> Account:
        """Allow Sync Drivers."""
        return self.accounts.ask(ACCOUNT, by, Request.allow)

    def turn_on(self, by: str = MASTER) -> Account:
        """Tick Sync Drivers."""
        return self.accounts.ask(ACCOUNT, by, Request.turn_on)

    def turn_off(self, by: str = MASTER) -> Account:
        """Untick Sync Drivers."""
        return self.accounts.ask(ACCOUNT, by, Request.turn_off)

    def set_mode(self, target: Target, mode: Mode, by: str = MASTER) -> Account:
        """Set how far the synchronisation with a target may go."""
        return self.accounts.ask(ACCOUNT, by, lambda request, known: request.set_mode(known, target, mode))

    @property
    def facts(self) -> list[AccountEvent]:
        """Everything in the log."""
        events = (record.event for record in self.store.log.read(0, 1_000))
        return [event for event in events if isinstance(event, AccountEvent)]

    @property
    def told(self) -> list[str]:
        """The names of the facts in the log."""
        return [type(fact).__name__ for fact in self.facts]

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()
