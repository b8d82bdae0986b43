"""The permissions that the roles of a Kustomer key grant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.roles import PERMISSIONS, is_granted

NAMES = [permission.name for permission in PERMISSIONS]


@pytest.mark.parametrize("form", ["org.permission.{}", "org.user.{}", "org.admin.{}", "org.{}"])
@pytest.mark.parametrize("name", NAMES)
def test_older_and_newer_roles_grant_their_permission_and_no_other(form: str, name: str) -> None:
    role = form.format(name)
    assert [permission for permission in NAMES if is_granted(permission, [role])] == [name]


@pytest.mark.parametrize("role", ["org", "org.permission", "org.user", "org.permission.customer"])
def test_a_role_grants_all_permissions_with_its_prefix(role: str) -> None:
    assert is_granted("customer.read", [role])


@pytest.mark.parametrize(
    "role",
    ["", "or", "org.permission.customer.rea", "org.permission.customer.read.own", "org.permission.customer_merge",
     "org.permission.conversation", "customer.read", "permission.customer.read", "organisation"],
)  # fmt: skip
def test_a_similar_role_grants_nothing(role: str) -> None:
    assert not is_granted("customer.read", [role])


def test_the_older_webhook_role_is_plural() -> None:
    assert is_granted("outbound_webhook.create", ["org.permission.outbound_webhooks"])
    assert is_granted("outbound_webhook.create", ["org.outbound_webhooks.create"])
    assert not is_granted("outbound_webhook.create", ["org.outbound_webhooks.read"])
    assert not is_granted("customer.read", ["org.permission.outbound_webhooks"])


def test_any_of_several_roles_suffices() -> None:
    assert is_granted("customer.read", ["org.permission.brand.read", "org.permission.customer.read"])
    assert not is_granted("customer.read", [])


PARTS = st.sampled_from(["org", "permission", "user", "admin", "customer", "conversation", "read", "create", "x"])


@given(st.sampled_from(NAMES), st.lists(PARTS, min_size=1, max_size=5))
def test_a_wider_role_grants_whatever_a_narrower_one_grants(name: str, parts: list[str]) -> None:
    if is_granted(name, [".".join(parts)]):
        assert parts[0] == "org"
        assert all(is_granted(name, [".".join(parts[:length])]) for length in range(1, len(parts)))
