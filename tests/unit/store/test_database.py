"""Which errors mean that the database is unavailable."""

from typing import Any

import pytest
from psycopg import errors

from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, classify_error


@pytest.mark.parametrize(
    ("error", "is_unavailable"),
    [
        (errors.ConnectionFailure(), True),
        (errors.DiskFull(), True),
        (errors.TooManyConnections(), True),
        (errors.AdminShutdown(), True),
        (errors.DeadlockDetected(), True),
        (errors.InsufficientPrivilege(), True),
        (errors.UndefinedTable(), True),
        (errors.ReadOnlySqlTransaction(), True),
        (errors.ProgramLimitExceeded(), False),
        (errors.CheckViolation(), False),
        (errors.NumericValueOutOfRange(), False),
        (errors.RaiseException(), False),
        (errors.StatementTooComplex(), False),
    ],
)
def test_errors_of_one_item_differ_from_an_unavailable_database(error: Any, *, is_unavailable: bool) -> None:
    assert isinstance(classify_error(error), UNAVAILABLE_ERRORS) is is_unavailable


def test_an_error_of_the_operating_system_is_not_an_unavailable_database() -> None:
    assert not issubclass(OSError, UNAVAILABLE_ERRORS)
