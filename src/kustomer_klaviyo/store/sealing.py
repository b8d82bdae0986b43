"""Secrets at rest: sealed with a key that is kept apart from the database."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE = "secret.key"


class SealError(Exception):
    """The secrets cannot be opened with the key at hand."""


class Sealer:
    """Seals and opens secrets. Of several keys the first seals; all of them open, so that a key can be changed."""

    def __init__(self, keys: str) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])
        except ValueError as error:
            raise SealError(
                "The encryption key is not usable. Make one with: "
                'python3 -c "import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'
            ) from error

    def seal(self, secret: bytes) -> bytes:
        """Encrypt and authenticate."""
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt what ``seal`` made. Raises SealError when it was sealed with another key."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise SealError(
                f"The stored secrets were sealed with another key. Put back the {KEY_FILE} (or the environment's key) "
                "they were saved with. If it is lost, enter the keys anew: `kustomer-klaviyo connect NAME`, for each "
                "connection, while `serve` is stopped."
            ) from error


def load_sealer(keys: str | None, data_directory: Path) -> Sealer:
    """Make a sealer from the environment's keys, else from a key file in the data directory, made on first use."""
    if keys:
        return Sealer(keys)
    path = data_directory / KEY_FILE
    if not path.exists():
        data_directory.mkdir(parents=True, exist_ok=True)
        _write_once(path, Fernet.generate_key())
    return Sealer(path.read_text())


def _write_once(path: Path, key: bytes) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
