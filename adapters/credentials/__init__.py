"""The credentials of accounts at targets, never in an event: in a file that only its owner can read, or encrypted."""

from adapters.credentials.file import CredentialsFile
from adapters.credentials.forms import AccountCredentials, DriveriCredentials, MotiveCredentials, MotiveGrantCredentials
from adapters.credentials.table import CredentialsRow, CredentialsTable

__all__ = [
    "AccountCredentials",
    "CredentialsFile",
    "CredentialsRow",
    "CredentialsTable",
    "DriveriCredentials",
    "MotiveCredentials",
    "MotiveGrantCredentials",
]
