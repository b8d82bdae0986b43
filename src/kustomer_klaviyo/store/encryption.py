"""Secrets at rest: sealed with a key that is kept apart from the database."""

import hashlib
import os
import shlex
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE = "secret.key"


class SealError(Exception):
    """The secrets cannot be opened with the key at hand."""


class Sealer:
    """Seals and opens secrets. Of several keys the first seals; all of them open, so that a key can be changed."""

    def __init__(self, keys: str, *, source: str = "the encryption key") -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])
        except ValueError as error:
            raise SealError(
                f"There is no usable encryption key in {source}. Make one with: "
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


def load_sealer(keys: str | None, data_directory: Path, *, makes: bool = True) -> Sealer:
    """Make a sealer from the environment's keys, else from a key file in the data directory, made on first use.

    Raises SealError: where it may not be made and is not there, where others may read it, where it is no key.
    """
    if keys:
        return Sealer(keys, source="KUSTOMER_KLAVIYO_SECRET_KEY")
    path = data_directory / KEY_FILE
    if makes and not path.exists():
        data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_once(path, Fernet.generate_key())
    return Sealer(_read(path), source=str(path))


def _read(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise SealError(
                f"Others than its owner may use {path}, so nothing starts: chmod 600 {shlex.quote(str(path))}"
            )
        return path.read_text("ascii")
    except FileNotFoundError:
        raise SealError(
            f"There is no encryption key {path}: start `kustomer-klaviyo serve` first, which makes one, or set "
            "KUSTOMER_KLAVIYO_SECRET_KEY to the key that `serve` has."
        ) from None
    except UnicodeDecodeError:
        return ""


def _write_once(path: Path, key: bytes) -> None:
    """Write a key, for its owner's eyes, unless somebody else does at the same time."""
    number, draft = tempfile.mkstemp(prefix="secret-", dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink()


def digest_of_secret(secret: str) -> str:
    """Return what is kept of a card's secret: enough to know it again."""
    return hashlib.sha256(secret.encode()).hexdigest()
