"""A connection from what an admin enters and what exists already."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kustomer_klaviyo.setup.connect_request import ConnectRequest, draft_connection, is_complete
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode

REQUEST = ConnectRequest(
    name="acme", public_url="https://hooks.acme.example/", kustomer_key="kustomer", klaviyo_key="pk_old"
)


def test_a_new_connection_has_the_vendors_default_urls() -> None:
    draft = draft_connection(REQUEST, None)
    assert (draft.id, draft.organisation, draft.version) == ("acme", "acme", 0)
    assert (draft.kustomer_url, draft.klaviyo_url) == ("https://acme.api.kustomerapp.com", "https://a.klaviyo.com")
    assert draft.webhook_url == "https://hooks.acme.example/webhooks/kustomer/acme"


def test_none_keeps_the_existing_value() -> None:
    existing = replace(draft_connection(REQUEST, None), options={"spam": "send"}, version=3)
    assert draft_connection(ConnectRequest(name="acme"), existing) == existing


@pytest.mark.parametrize(("drop", "keys"), [(False, ("pk_new", "pk_old")), (True, ("pk_new",))])
def test_the_previous_klaviyo_key_is_kept_as_fallback_or_dropped(keys: tuple[str, ...], *, drop: bool) -> None:
    existing = draft_connection(REQUEST, None)
    draft = draft_connection(ConnectRequest(name="acme", klaviyo_key="pk_new", drop_fallback_key=drop), existing)
    assert draft.secrets.klaviyo_keys == keys


def test_a_new_connection_needs_a_public_url() -> None:
    with pytest.raises(SetupError) as error:
        draft_connection(ConnectRequest(name="acme"), None)
    assert error.value.code is SetupErrorCode.PUBLIC_URL_MISSING


def test_since_and_options_of_the_request_win() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    existing = replace(draft_connection(REQUEST, None), options={"spam": "send"})
    draft = draft_connection(ConnectRequest(name="acme", since=since, options={"spam": "skip"}), existing)
    assert (draft.since, draft.options) == (since, {"spam": "skip"})


def test_a_connection_is_complete_with_a_webhook_or_a_token() -> None:
    draft = draft_connection(REQUEST, None)
    by_hand = replace(draft, secrets=replace(draft.secrets, webhook_tokens=("token",)))
    assert [is_complete(draft), is_complete(replace(draft, webhook_id="w")), is_complete(by_hand)] == [
        False,
        True,
        True,
    ]
