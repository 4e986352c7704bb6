from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.services.accounts.accounts_stand import AccountsStand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[AccountsStand]:
    with closing(AccountsStand(tmp_path / "accounts.sqlite")) as stand:
        yield stand
