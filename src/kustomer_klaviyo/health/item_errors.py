"""Describes unexpected errors, of one item or of a loop, for admins and for logs. Pure."""

import traceback
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath

from kustomer_klaviyo.cleaning import clean, clean_lines
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, DatabaseError, DiskFull

MAX_TRACEBACK_LENGTH = 8000
MAX_MESSAGE_LENGTH = 300
MAX_FRAMES = 8


class ErrorCode(StrEnum):
    """The kind of an unexpected error."""

    INTERNAL_ERROR = "internal_error"
    DATABASE_REFUSED = "database_refused"
    """The database refuses a value of one item."""
    DATABASE_UNAVAILABLE = "database_unavailable"
    DISK_FULL = "disk_full"


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """An unexpected error."""

    code: ErrorCode
    class_name: str
    """The class of the exception."""
    message: str
    """The message of the exception, cleaned and truncated. It may contain customer data, so it is never logged."""
    traceback: str

    @property
    def sentence(self) -> str:
        """The error as a sentence for admins."""
        match self.code:
            case ErrorCode.INTERNAL_ERROR:
                return f"an error of the program ({self.class_name}); its traceback is stored with it"
            case ErrorCode.DATABASE_REFUSED:
                return f"the database refuses it ({self.class_name}); its traceback is stored with it"
            case ErrorCode.DATABASE_UNAVAILABLE:
                return f"the database is unavailable ({self.class_name})"
            case ErrorCode.DISK_FULL:
                return "the disk of the database is full; everything waits until there is space"


def describe_error(error: BaseException) -> ErrorDetails:
    """Return the description of an exception."""
    lines = "".join(traceback.format_exception(error))
    return ErrorDetails(
        _code(error),
        type(error).__name__,
        clean(str(error), MAX_MESSAGE_LENGTH) or type(error).__name__,
        clean_lines(lines.strip(), MAX_TRACEBACK_LENGTH),
    )


def frames(error: BaseException) -> list[str]:
    """Return the code locations of an exception, the innermost first, for a log: they contain no customer data."""
    stack = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(stack)]


def _code(error: BaseException) -> ErrorCode:
    if isinstance(error, DiskFull) or isinstance(error.__cause__, DiskFull):
        return ErrorCode.DISK_FULL
    if isinstance(error, UNAVAILABLE_ERRORS):
        return ErrorCode.DATABASE_UNAVAILABLE
    return ErrorCode.DATABASE_REFUSED if isinstance(error, DatabaseError) else ErrorCode.INTERNAL_ERROR
