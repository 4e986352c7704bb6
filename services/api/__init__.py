"""The API. This much of it every command loads, to know that it is this API that answers."""

API_HEADER = "driverlink-api"
"""The header of every response."""
