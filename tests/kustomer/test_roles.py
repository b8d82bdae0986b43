"""What the roles of a Kustomer key let it do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.roles import PERMISSIONS, is_granted

NAMES = [permission.name for permission in PERMISSIONS]


@pytest.mark.parametrize("form", ["org.permission.{}", "org.user.{}", "org.admin.{}", "org.{}"])
@pytest.mark.parametrize("name", NAMES)
def test_a_role_of_any_age_grants_its_permission_and_no_other(form: str, name: str) -> None:
    role = form.format(name)
    assert [one for one in NAMES if is_granted(one, [role])] == [name]


@pytest.mark.parametrize("role", ["org", "org.permission", "org.user", "org.permission.customer"])
def test_a_role_stands_for_all_that_begin_with_it(role: str) -> None:
    assert is_granted("customer.read", [role])


@pytest.mark.parametrize(
    "role",
    ["", "or", "org.permission.customer.rea", "org.permission.customer.read.own", "org.permission.customer_merge",
     "org.permission.conversation", "customer.read", "permission.customer.read", "organisation"],
)  # fmt: skip
def test_a_role_that_merely_looks_alike_grants_nothing(role: str) -> None:
    assert not is_granted("customer.read", [role])


def test_the_older_role_for_webhooks_is_in_the_plural() -> None:
    assert is_granted("outbound_webhook.create", ["org.permission.outbound_webhooks"])
    assert is_granted("outbound_webhook.create", ["org.outbound_webhooks.create"])
    assert not is_granted("outbound_webhook.create", ["org.outbound_webhooks.read"])
    assert not is_granted("customer.read", ["org.permission.outbound_webhooks"])


def test_one_role_of_several_suffices_and_none_grants_nothing() -> None:
    assert is_granted("customer.read", ["org.permission.brand.read", "org.permission.customer.read"])
    assert not is_granted("customer.read", [])


PARTS = st.sampled_from(["org", "permission", "user", "admin", "customer", "conversation", "read", "create", "x"])


@given(st.sampled_from(NAMES), st.lists(PARTS, min_size=1, max_size=5))
def test_whatever_a_role_grants_a_wider_one_grants_too(name: str, parts: list[str]) -> None:
    if is_granted(name, [".".join(parts)]):
        assert parts[0] == "org"
        assert all(is_granted(name, [".".join(parts[:length])]) for length in range(1, len(parts)))
