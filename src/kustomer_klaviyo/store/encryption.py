"""Encryption of stored secrets. The key is not in the database."""

import hashlib
import os
import shlex
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE = "secret.key"


class DecryptionError(Exception):
    """The encryption key cannot be used, or it does not decrypt the secrets. The text says what to do."""


class Encryptor:
    """Encrypts and decrypts secrets. The first key encrypts; all keys decrypt, so that a key can be rotated."""

    def __init__(self, keys: str, *, source: str = "the encryption key") -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])
        except ValueError as error:
            raise DecryptionError(
                f"There is no usable encryption key in {source}. Generate one with: "
                'python3 -c "import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
            ) from error

    def encrypt(self, secret: bytes) -> bytes:
        """Encrypt and authenticate a secret."""
        return self._fernet.encrypt(secret)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Decrypt a secret. Raises DecryptionError if it was encrypted with another key."""
        try:
            return self._fernet.decrypt(ciphertext)
        except InvalidToken as error:
            raise DecryptionError(
                f"The stored secrets were encrypted with another key. Restore the {KEY_FILE} (or the key in the "
                "environment) that encrypted them. If it is lost, stop `serve` and enter the API keys again with "
                "`kustomer-klaviyo connect NAME`, for each connection."
            ) from error


def load_encryptor(keys: str | None, data_directory: Path, *, create: bool = True) -> Encryptor:
    """Load the keys from the environment, else from a key file in the data directory, which is created on first use.

    Raises DecryptionError if the file is missing and ``create`` is false, if other users can access it, or if it does
    not contain a key.
    """
    if keys:
        return Encryptor(keys, source="KUSTOMER_KLAVIYO_SECRET_KEY")
    path = data_directory / KEY_FILE
    if create and not path.exists():
        data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_once(path, Fernet.generate_key())
    return Encryptor(_read(path), source=str(path))


def _read(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise DecryptionError(
                f"Other users than the owner can access {path}. Restrict it with: chmod 600 {shlex.quote(str(path))}"
            )
        return path.read_text("ascii")
    except FileNotFoundError:
        raise DecryptionError(
            f"There is no encryption key {path}. Start `kustomer-klaviyo serve` first, which creates it, or set "
            "KUSTOMER_KLAVIYO_SECRET_KEY to the key that `serve` uses."
        ) from None
    except UnicodeDecodeError:
        return ""


def _write_once(path: Path, key: bytes) -> None:
    """Write a key file that only its owner can read, unless another process writes it at the same time."""
    descriptor, temporary = tempfile.mkstemp(prefix="secret-", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()


def digest_secret(secret: str) -> str:
    """Return the digest under which a card secret is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()
