"""Set-up errors: every code has a sentence."""

from string import Formatter

import pytest

from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode, VendorAction, describe

FIELDS = (
    "action", "status", "detail", "account", "site_id", "connected_account", "scopes", "url", "actual", "expected",
    "roles", "title", "name",
)  # fmt: skip


@pytest.mark.parametrize("code", SetupErrorCode)
def test_every_code_has_a_sentence(code: SetupErrorCode) -> None:
    error = SetupError(code, **dict.fromkeys(FIELDS, "{value}"))
    assert error.code is code
    assert [name for _, name, _, _ in Formatter().parse(str(error)) if name not in (None, "value")] == []


@pytest.mark.parametrize("action", VendorAction)
def test_every_action_has_a_description(action: VendorAction) -> None:
    assert describe(action)
