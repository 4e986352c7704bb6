"""The credentials of accounts at the Portal and at targets, never in an event.

They are in a file that only its owner can read, or encrypted in a table.
"""

from adapters.credentials.file import CredentialsFile
from adapters.credentials.forms import (
    AccountCredentials,
    DriveriCredentials,
    MotiveCredentials,
    MotiveGrantCredentials,
    PortalCredentials,
)
from adapters.credentials.table import CredentialsRow, CredentialsTable

__all__ = [
    "AccountCredentials",
    "CredentialsFile",
    "CredentialsRow",
    "CredentialsTable",
    "DriveriCredentials",
    "MotiveCredentials",
    "MotiveGrantCredentials",
    "PortalCredentials",
]
