from collections.abc import Mapping

# What is committed survives the end of a process without fsync; only the machine itself must not fail.
POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "400",
    "timezone": "UTC",
}


def as_options(settings: Mapping[str, str]) -> list[str]:
    """PostgreSQL's settings as options of its command."""
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
