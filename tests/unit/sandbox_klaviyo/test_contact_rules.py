"""Which emails and phone numbers the simulated Klaviyo accepts."""

from typing import Any

import pytest

from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email, is_phone


@pytest.mark.parametrize("phone", ["+12025550123", "+447911123456", "+919876543210", "+8613800138000", "+393312345678"])
def test_a_number_of_a_valid_length_for_its_country_is_accepted(phone: str) -> None:
    assert is_phone(phone)


@pytest.mark.parametrize(
    "phone", ["+91701271", "+441234", "+1202555012", "+120255501234", "+2101234567", "12025550123", "+1 2025550123", 1]
)
def test_any_other_number_is_rejected(phone: Any) -> None:
    assert not is_phone(phone)


def test_strict_rules_accept_less() -> None:
    assert is_email("a#b@lantern.example")
    assert not is_email("a#b@lantern.example", strict=True)
    assert is_email("o'neill+1@lantern.co.uk", strict=True)
