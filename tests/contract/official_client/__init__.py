"""Driveri's official client, unmodified, against the sandbox over real HTTP: what it cannot read is wrong there."""
