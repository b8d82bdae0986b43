"""How a command fails: which exit code, and what to do next."""

from enum import IntEnum

from kustomer_klaviyo.flow.options import OptionsError
from kustomer_klaviyo.flow.setup import SetupError
from kustomer_klaviyo.settings import SettingsError
from kustomer_klaviyo.store.connections import Changed
from kustomer_klaviyo.store.database import UNREACHABLE
from kustomer_klaviyo.store.sealing import SealError
from kustomer_klaviyo.store.server import ServerError


class UsageError(Exception):
    """What was asked for makes no sense; the text says what would."""


FAILURES = (UsageError, SettingsError, OptionsError, Changed, SealError, SetupError, ServerError, OSError, *UNREACHABLE)


class ExitCode(IntEnum):
    """What the shell is told."""

    DONE = 0
    ATTENTION = 1
    USAGE = 2
    DATABASE = 3
    VENDOR = 4

    @classmethod
    def of(cls, error: BaseException) -> "ExitCode":
        """Return the code for a failure."""
        if isinstance(error, SetupError):
            return cls.VENDOR
        if isinstance(error, (ServerError, SealError, OSError, *UNREACHABLE)):
            return cls.DATABASE
        return cls.USAGE


def explain(error: BaseException) -> str:
    """Say in one line what went wrong and what to do."""
    if isinstance(error, (OSError, *UNREACHABLE)):
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        return f"The database does not answer: {first[0]}. Is `kustomer-klaviyo serve` running, is DATABASE_URL right?"
    return str(error)
