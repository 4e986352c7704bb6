"""The key by which roots are signed: Ed25519, from a seed that the installation keeps to itself."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SEED = 32


class RootSigner:
    """Signs texts, and checks signatures."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def of_file(cls, path: Path) -> "RootSigner":
        """With the seed in a file, which is made where there is none. Raises `OSError`."""
        with suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(made, "wb") as file:
                file.write(os.urandom(_SEED))
                file.flush()
                os.fsync(file.fileno())
        return cls(path.read_bytes()[:_SEED])

    @classmethod
    def of_secret(cls, secret_key: str) -> "RootSigner":
        """With a seed that follows from the installation's secret key."""
        return cls(sha256(b"driverlink signed roots\n" + secret_key.encode()).digest())

    @property
    def key(self) -> str:
        """The public key, in hexadecimal digits."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, text: str) -> str:
        """The signature of a text, in hexadecimal digits."""
        return self._key.sign(text.encode()).hex()

    def has_signed(self, text: str, signature: str) -> bool:
        """Whether a text was signed by this key."""
        return is_signed(text, signature, self.key)


def is_signed(text: str, signature: str, key: str) -> bool:
    """Whether a text was signed by this public key; both it and the signature are hexadecimal."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
