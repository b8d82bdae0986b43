"""What goes wrong unforeseen, with one item or with a loop: as an admin may read it, and as a log may hold it. Pure."""

import traceback
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

import psycopg
from psycopg.errors import DiskFull

from kustomer_klaviyo.cleaning import clean, clean_lines
from kustomer_klaviyo.store.database import UNREACHABLE

LONGEST_TRACEBACK = 8000
LONGEST_MESSAGE = 300
MOST_FRAMES = 8


class FaultCode(StrEnum):
    """What kind of thing went wrong."""

    INTERNAL_ERROR = "internal_error"
    DATABASE_REFUSED = "database_refused"
    """The database does not take what belongs to one item."""
    DATABASE_UNAVAILABLE = "database_unavailable"
    DISK_FULL = "disk_full"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something unforeseen."""

    code: FaultCode
    kind: str
    """The error's class."""
    message: str
    """The error's own words, clean and short. They may repeat what was read, so that logs do without."""
    traceback: str

    @property
    def sentence(self) -> str:
        """Say it to an admin."""
        match self.code:
            case FaultCode.INTERNAL_ERROR:
                return f"an error of the program ({self.kind}); its traceback is kept with it"
            case FaultCode.DATABASE_REFUSED:
                return f"the database refuses it ({self.kind}); its traceback is kept with it"
            case FaultCode.DATABASE_UNAVAILABLE:
                return f"the database could not be used ({self.kind})"
            case FaultCode.DISK_FULL:
                return "the disk of the database is full; everything waits until there is space"


def describe(error: BaseException) -> Fault:
    """Return what went wrong."""
    lines = "".join(traceback.format_exception(error))
    return Fault(
        _code(error),
        type(error).__name__,
        clean(str(error), LONGEST_MESSAGE) or type(error).__name__,
        clean_lines(lines.strip(), LONGEST_TRACEBACK),
    )


def frames(error: BaseException) -> list[str]:
    """Return where an error came from, the last calls first, for a log: nothing of what was read is in it."""
    calls = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    return [f"{PurePath(one.filename).name}:{one.lineno} {one.name}" for one in reversed(calls)]


def _code(error: BaseException) -> FaultCode:
    if isinstance(error, DiskFull) or isinstance(error.__cause__, DiskFull):
        return FaultCode.DISK_FULL
    if isinstance(error, UNREACHABLE):
        return FaultCode.DATABASE_UNAVAILABLE
    return FaultCode.DATABASE_REFUSED if isinstance(error, psycopg.Error) else FaultCode.INTERNAL_ERROR
