"""How a command fails: which exit code, and in one sentence what is wrong and what to do."""

import os
import tempfile
import traceback
from enum import IntEnum

import psycopg
from cyclopts import CycloptsError
from psycopg import errors
from psycopg_pool import PoolTimeout

from kustomer_klaviyo.connections.options import OptionsError
from kustomer_klaviyo.demo.environment import DemoError
from kustomer_klaviyo.mapping.yaml_file import MappingFileError
from kustomer_klaviyo.postgres.server import ServerError
from kustomer_klaviyo.settings import SettingsError, hidden
from kustomer_klaviyo.setup.credentials import SetupError
from kustomer_klaviyo.store.connections import Changed
from kustomer_klaviyo.store.conninfo import NothingThere, what_is_wrong
from kustomer_klaviyo.store.database import UNREACHABLE
from kustomer_klaviyo.store.encryption import SealError


class UsageError(Exception):
    """What was asked for makes no sense; the text says what would."""


class CannotWork(Exception):
    """The machine does not let the command do it now; the text names the port or path."""


WRONG_USE = (CycloptsError, UsageError, SettingsError, OptionsError, MappingFileError, Changed, DemoError)
REFUSED = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction, errors.InvalidSchemaName)
"""What a database says whose role or state does not suit the program."""

CANNOT_WORK = (CannotWork, ServerError, SealError, NothingThere, *REFUSED, OSError, *UNREACHABLE)
FAILURES = (*WRONG_USE, SetupError, *CANNOT_WORK)


class ExitCode(IntEnum):
    """What the shell is told."""

    DONE = 0
    ATTENTION = 1
    USAGE = 2
    CANNOT_WORK = 3
    VENDOR = 4

    @classmethod
    def of(cls, error: BaseException) -> "ExitCode":
        """Return the code for a failure."""
        if isinstance(error, WRONG_USE):
            return cls.USAGE
        if isinstance(error, SetupError):
            return cls.VENDOR
        return cls.CANNOT_WORK if isinstance(error, CANNOT_WORK) else cls.ATTENTION


def explain(error: BaseException) -> str:
    """Say in one sentence what went wrong and what to do."""
    match error:
        case CycloptsError():
            return " ".join(str(error).split())
        case psycopg.Error():
            return what_is_wrong(error)
        case OSError(filename=str() | bytes() as path, strerror=str() as why):
            return f"{os.fsdecode(path)} cannot be used: {why}."
        case PoolTimeout() | OSError() if isinstance(error, UNREACHABLE):
            return what_is_wrong(error)
        case OSError(strerror=str() as why):
            return f"This machine does not let it be done: {why}."
        case _:
            return str(error)


def kept_traceback(error: BaseException) -> str:
    """Write a fault of the program down, for its owner's eyes, and return where."""
    number, path = tempfile.mkstemp(prefix="kustomer-klaviyo-", suffix=".log")
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(hidden("".join(traceback.format_exception(error))))
    return path
