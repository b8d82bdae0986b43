"""The profile write that is needed: the difference from what was last sent to Klaviyo."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from openapi_client.models.profile_upsert_query import ProfileUpsertQuery

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.klaviyo.profile_request import Fields, ProfileRequest, Value, combine_requests, profile_resource
from kustomer_klaviyo.klaviyo.profile_wire import encode_profile
from kustomer_klaviyo.kustomer.interpret import interpret_customer
from kustomer_klaviyo.kustomer.wire import MASKED_VALUE, PROFILE_ATTRIBUTES, decode_resource
from kustomer_klaviyo.mapping.profile_mapping import parse_mapping
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.planning.profile_diff import SentProfile, changes, clear_request, diff_profile, erasure_request
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import parse_profile
from kustomer_klaviyo.store.customers import Customer
from kustomer_klaviyo.store.sent_profiles import CustomerProfile
from support.kustomer_documents import customer as document

ADA = CustomerProfile(
    customer_id="k1",
    email="ada@x.example",
    phone="+447911123456",
    removed=False,
    skip_reason=None,
    profile={"first_name": "Ada"},
    masked=(),
    notes=(),
    open_count=None,
    open_count_at=None,
    last_sent={},
    sent_version=0,
    klaviyo_profile_id=None,
    merged_into=None,
    conflicting_phone=None,
    brands=(),
)


def rules(mapping: Any = None, **options: Any) -> ConnectionRules:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    return ConnectionRules(ConnectionOptions(**options), EventSettings(org="acme"), since, parse_mapping(mapping))


def diff_request(customer: CustomerProfile, support: Fields | None = None, **options: Any) -> ProfileRequest | None:
    update = diff_profile(customer, support or {}, rules(**options))
    return None if update is None else update.request


def after_sending(customer: CustomerProfile, support: Fields | None = None) -> CustomerProfile:
    """The customer after the write was sent."""
    update = diff_profile(customer, support or {}, rules())
    assert update is not None
    return replace(customer, last_sent=msgspec.to_builtins(update.sent), sent_version=customer.sent_version + 1)


def test_the_first_write_sends_everything() -> None:
    assert diff_request(ADA, {"properties.Open": 1}) == ProfileRequest(
        {"first_name": "Ada", "properties.Open": 1}, email="ada@x.example", phone="+447911123456", is_whole=True
    )


def test_an_unchanged_profile_needs_no_write() -> None:
    assert diff_request(after_sending(ADA)) is None


def test_only_changed_fields_are_sent_and_missing_ones_cleared() -> None:
    before = after_sending(replace(ADA, profile={"first_name": "Ada", "title": "Countess", "properties.Tier": "gold"}))
    now = replace(before, profile={"first_name": "Ada", "properties.Tier": "silver"})
    request = diff_request(now)
    assert request is not None
    assert request.fields == {"properties.Tier": "silver", "title": None}


def test_a_masked_field_stays_unchanged() -> None:
    assert diff_request(replace(after_sending(ADA), profile={}, masked=("first_name",))) is None


def test_a_changed_email_is_sent_with_the_former_one() -> None:
    request = diff_request(replace(after_sending(ADA), email="ada@y.example"))
    assert request == ProfileRequest({}, "ada@y.example", "+447911123456", former_email="ada@x.example")


def test_a_removed_email_is_sent_as_the_former_one() -> None:
    request = diff_request(replace(after_sending(ADA), email=None))
    assert request is not None
    assert (request.email, request.former_email, request.phone) == (None, "ada@x.example", "+447911123456")


def test_a_new_phone_next_to_an_email_does_not_change_the_identity() -> None:
    request = diff_request(replace(after_sending(ADA), phone="+447911123457"))
    assert request is not None
    assert (request.former_email, request.former_phone, request.phone) == (None, None, "+447911123457")


def test_a_new_phone_without_an_email_is_sent_with_the_former_one() -> None:
    request = diff_request(replace(after_sending(replace(ADA, email=None)), phone="+447911123457"))
    assert request is not None
    assert request.former_phone == "+447911123456"


def test_an_unidentified_or_excluded_customer_is_not_written() -> None:
    assert diff_request(replace(ADA, email=None, phone=None)) is None
    assert diff_request(replace(ADA, removed=True)) is None
    assert diff_request(replace(ADA, skip_reason="only_tags")) is None
    assert diff_request(ADA, profiles="none") is None
    assert diff_request(ADA, profiles="conversations") is None
    assert diff_request(replace(ADA, brands=(None,)), profiles="conversations") is not None


def test_the_external_id_is_sent_only_with_the_option() -> None:
    request = diff_request(ADA, external_id=True)
    assert request is not None
    assert request.external_id == "kustomer:acme:k1"


def test_clear_and_erasure_requests_cover_what_was_sent() -> None:
    before = after_sending(ADA, {"properties.Open": 1})
    everything = ProfileRequest({"first_name": None, "properties.Open": None}, email="ada@x.example", must_exist=True)
    assert clear_request(before) == everything
    assert clear_request(before, only=["properties.Open"]) == replace(everything, fields={"properties.Open": None})
    assert clear_request(ADA) is None
    assert erasure_request(before) == ProfileRequest(email="ada@x.example", erase=True)
    assert erasure_request(ADA) is None


def test_consecutive_requests_are_combined() -> None:
    first = ProfileRequest({"title": "A", "locale": "en"}, "a@x.example", former_email="b@x.example")
    second = ProfileRequest({"title": None}, "c@x.example", former_email="a@x.example")
    assert combine_requests([first, second]) == ProfileRequest(
        {"title": None, "locale": "en"}, "c@x.example", former_email="b@x.example"
    )


def test_a_property_is_cleared_by_unset_and_a_field_by_null() -> None:
    request = ProfileRequest({"properties.Tier": None, "title": None, "location.city": None}, "a@x.example")
    assert profile_resource(request) == {
        "type": "profile",
        "attributes": {"email": "a@x.example", "title": None, "location": {"city": None}},
        "meta": {"patch_properties": {"unset": ["Tier"]}},
    }


values = st.none() | st.text(max_size=20) | st.integers(-5, 5) | st.booleans()
flat = st.dictionaries(st.sampled_from(["first_name", "title", "properties.A", "properties.B"]), values)


@given(flat, flat)
def test_applying_the_changes_gives_the_wanted_fields(
    sent: dict[str, Value | None], wanted: dict[str, Value | None]
) -> None:
    before: dict[str, Value | None] = {**without_nulls(sent)}
    assert without_nulls(before | changes(without_nulls(sent), without_nulls(wanted))) == without_nulls(wanted)


def without_nulls(fields: dict[str, Value | None]) -> Fields:
    """The fields in Klaviyo after a write: null clears."""
    return {name: value for name, value in fields.items() if value is not None}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=2000)
    | st.sampled_from([MASKED_VALUE, "2026-03-20T18:50:55.976Z", "+44 7911 123456", "a@x.example", "en_us"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cityName", "email", "phone", "verified", "isMasked", "tierStr"]), inner)
    ),
    max_leaves=12,
)
customers = st.dictionaries(
    st.sampled_from([*PROFILE_ATTRIBUTES, "emails", "phones", "sharedEmails", "conversationCounts", "deleted"]),
    anything,
)
MAPPING = {
    "fields": {"title": "custom.tierStr", "location.latitude": "location.latitude"},
    "properties": {
        "Tier": "custom.tierStr",
        "Born": "birthdayAt",
        "Tags": "tags",
        "Verified": {"from": "username", "type": "boolean"},
        "Count": {"from": "name", "type": "number"},
    },
}


@given(customers)
def test_any_customer_gives_a_valid_request_or_none(attributes: dict[str, Any]) -> None:
    raw = msgspec.json.encode({"data": document(emails=[{"email": "ada@x.example"}]) | {"attributes": attributes}})
    observed = interpret_customer(decode_resource(raw), "k1", observed_at=datetime(2026, 3, 20, tzinfo=UTC)).customer
    assert observed is not None
    customer = identify(observed, rules(MAPPING))
    update = diff_profile(_customer_profile(customer), {}, rules(MAPPING))
    if update is None:
        assert customer.removed or (customer.email is None and customer.phone is None)
        return
    body = msgspec.json.decode(encode_profile(update.request))
    ProfileUpsertQuery.model_validate(body)
    assert not parse_profile(body["data"], "/data").dropped_phone
    assert MASKED_VALUE not in str(body)


def test_the_largest_values_of_an_oversized_profile_are_dropped() -> None:
    profile: Fields = {"first_name": "Ada", **{f"properties.P{n}": "x" * 1000 for n in range(200)}}
    update = diff_profile(replace(ADA, profile=profile), {}, rules())
    assert update is not None
    assert len(encode_profile(update.request)) < 100_000
    assert update.request.fields["first_name"] == "Ada"
    assert "larger than Klaviyo accepts" in update.notes[0]


def test_a_sent_profile_survives_encoding_and_decoding() -> None:
    sent = SentProfile("a@x.example", fields={"title": "A"})
    assert msgspec.convert(msgspec.to_builtins(sent), SentProfile) == sent


def _customer_profile(customer: Customer) -> CustomerProfile:
    return replace(
        ADA,
        email=customer.email,
        phone=customer.phone,
        removed=customer.removed,
        profile=customer.profile,
        masked=customer.masked,
        notes=customer.notes,
    )
