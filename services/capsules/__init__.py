"""Capsules: what happened to one driver as one masked file, and what our code makes of it today."""

import re


def file_name(driver: str) -> str:
    """What a capsule of this driver, who is masked, is called as a file."""
    return f"capsule-{re.sub('[^A-Za-z0-9_-]', '_', driver)[:80]}.json"
