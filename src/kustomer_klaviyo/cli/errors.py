"""Errors of commands: the exit code of each, and one sentence that says what is wrong and what to do."""

import os
import tempfile
import traceback
from enum import IntEnum

from cyclopts import CycloptsError

from kustomer_klaviyo.connections.options import OptionsError
from kustomer_klaviyo.demo.demo_error import DemoError
from kustomer_klaviyo.mapping.yaml_file import MappingFileError
from kustomer_klaviyo.postgres.server import ServerError
from kustomer_klaviyo.settings import SettingsError, redact
from kustomer_klaviyo.setup.setup_error import SetupError
from kustomer_klaviyo.store.connections import ConflictError
from kustomer_klaviyo.store.conninfo import DatabaseNotInitialised, describe_database_error
from kustomer_klaviyo.store.database import NOT_PERMITTED, UNAVAILABLE_ERRORS, DatabaseError, PoolTimeout
from kustomer_klaviyo.store.encryption import DecryptionError


class UsageError(Exception):
    """The arguments are invalid. The message says which are valid."""


class ResourceError(Exception):
    """The command cannot use a port or file now. The message names it."""


USAGE_ERRORS = (CycloptsError, UsageError, SettingsError, OptionsError, MappingFileError, ConflictError, DemoError)
RESOURCE_ERRORS = (
    ResourceError,
    ServerError,
    DecryptionError,
    DatabaseNotInitialised,
    *NOT_PERMITTED,
    OSError,
    *UNAVAILABLE_ERRORS,
)
EXPECTED_ERRORS = (*USAGE_ERRORS, SetupError, *RESOURCE_ERRORS)


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    DONE = 0
    ATTENTION = 1
    USAGE = 2
    UNAVAILABLE = 3
    VENDOR = 4

    @classmethod
    def of(cls, error: BaseException) -> "ExitCode":
        """Return the exit code for an error."""
        if isinstance(error, USAGE_ERRORS):
            return cls.USAGE
        if isinstance(error, SetupError):
            return cls.USAGE if error.is_input_error else cls.VENDOR
        return cls.UNAVAILABLE if isinstance(error, RESOURCE_ERRORS) else cls.ATTENTION


def explain(error: BaseException) -> str:
    """Return one sentence that says what is wrong and what to do."""
    match error:
        case CycloptsError():
            return " ".join(str(error).split())
        case DatabaseError():
            return describe_database_error(error)
        case OSError(filename=str() | bytes() as path, strerror=str() as cause):
            return f"{os.fsdecode(path)} cannot be used: {cause}."
        case PoolTimeout() | OSError() if isinstance(error, UNAVAILABLE_ERRORS):
            return describe_database_error(error)
        case OSError(strerror=str() as cause):
            return f"The operating system refused it: {cause}."
        case _:
            return str(error)


def save_traceback(error: BaseException) -> str:
    """Write the traceback of a bug to a file that only its owner can read, and return the path."""
    number, path = tempfile.mkstemp(prefix="kustomer-klaviyo-", suffix=".log")
    with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(redact("".join(traceback.format_exception(error))))
    return path
