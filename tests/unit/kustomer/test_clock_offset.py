"""Reading the clock skew from the Date header of Kustomer's responses."""

import pytest

from kustomer_klaviyo.kustomer.kustomer_responses import clock_skew

INVALID_DATES = (None, "", "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "\x00")


@pytest.mark.parametrize("date", INVALID_DATES)
def test_an_invalid_date_gives_no_skew(date: str | None) -> None:
    assert clock_skew(date, now=1_800_000_000.0) is None
