"""`driverlink rebuild`."""


def rebuild() -> None:
    """Make every read model anew from the log."""
    raise NotImplementedError
