from pathlib import Path

import pytest

from adapters.credentials import CredentialsFile
from tests.contract.credentials import CredentialsContract, Opening


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    return lambda: CredentialsFile(tmp_path / "credentials")


class TestCredentialsFile(CredentialsContract):
    """The file keeps the contract; one process has it at a time."""
