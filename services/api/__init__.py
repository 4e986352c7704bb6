"""The API. This much of it every command loads, to know that it is this API that answers."""

API_HEADER = "driverlink-api"
"""The header of every response."""

ADDRESS = r"^(https?://[^/].*|/.+)?$"
"""What the address of the API can be: an address of HTTP, the path of a local socket, or empty."""

V1 = "/v1"
"""What the path of every resource begins with."""

PREFIX = "DRIVERLINK_"
"""How the name of each setting begins in the environment."""
