"""How a command knows that it is this API that answers; it loads nothing else."""

API_HEADER = "driverlink-api"
"""The header of every response."""
