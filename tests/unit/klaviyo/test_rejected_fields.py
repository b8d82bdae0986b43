"""The fields that Klaviyo rejects, and the request without them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY, ProfileRequest
from kustomer_klaviyo.klaviyo.rejected_fields import (
    drop_fields,
    drop_properties,
    rejected_contact,
    rejected_fields,
    rejected_properties,
)
from kustomer_klaviyo.outcomes import Accepted, Refused, Unreachable

PHONE, EMAIL = "+447911123456", "ada@lantern.example"
PROFILE = ProfileRequest(
    {
        "first_name": "Ada",
        "location.city": "Ulm",
        "location.timezone": "Mars",
        "properties.a": 1,
        "properties.a/b": 2,
        "properties.~": 3,
        "properties.old": None,
    },
    EMAIL,
    PHONE,
    "kustomer:acme:k1",
)
EVENT = EventRequest("Done", "u1", datetime(2026, 1, 1, tzinfo=UTC), {"subject": "Hi", "rating": 5}, EMAIL)


def rejection(*pointers: str, status: int = 400) -> Refused:
    return Refused(status, "Invalid.", None, pointers[0] if pointers else None, pointers=pointers)


@pytest.mark.parametrize(
    ("pointers", "names"),
    [
        (["/data/attributes/first_name"], {"first_name"}),
        (["/data/attributes/location/timezone"], {"location.timezone"}),
        (["/data/attributes/location"], {"location.city", "location.timezone"}),
        (["/data/attributes/properties/a"], {"properties.a"}),
        (["/data/attributes/properties/a/0/deep"], {"properties.a"}),
        (["/data/attributes/properties/a/b"], {"properties.a/b"}),
        (["/data/attributes/properties/a~1b"], {"properties.a/b"}),
        (["/data/attributes/properties/~0"], {"properties.~"}),
        (["/data/attributes/properties"], {"properties.a", "properties.a/b", "properties.~", "properties.old"}),
        (["/data/meta/patch_properties/unset/0"], {"properties.old"}),
        (["/data/attributes/meta/patch_properties/unset"], {"properties.old"}),
        (["/data/attributes/phone_number", "/data/attributes/first_name"], {"phone_number", "first_name"}),
        (["/data/attributes/external_id"], {"external_id"}),
        (["/data/attributes/first_name/", "/data/attributes/location/city/"], {"first_name", "location.city"}),
        (["/data/attributes/email", "/data/attributes/first_name"], set()),
        (["/data/attributes"], set()),
        (["/data/"], set()),
        (["/data/attributes/title", "nonsense", ""], set()),
        ([], set()),
    ],
)
def test_a_pointer_is_mapped_to_the_rejected_fields(pointers: list[str], names: set[str]) -> None:
    rejected = rejected_fields(PROFILE, rejection(*pointers))
    assert set(rejected) == names
    rest = drop_fields(PROFILE, rejected)
    assert not set(rejected_fields(rest, rejection(*pointers))) & names
    assert rest.email == EMAIL
    assert rest.fields.get(PHONE_PROPERTY) == (PHONE if "phone_number" in names else None)


def test_only_a_rejection_of_the_content_rejects_a_field() -> None:
    at = "/data/attributes/first_name"
    others = (rejection(at, status=409), Accepted(200), Unreachable("first_name"))
    assert [rejected_fields(PROFILE, outcome) for outcome in others] == [{}] * 3
    assert rejected_fields(PROFILE, rejection(at, status=422)) == {"first_name": "Ada"}


@pytest.mark.parametrize(
    ("sent_request", "pointer", "contact"),
    [
        (PROFILE, "/data/attributes/email", EMAIL),
        (PROFILE, "/data/attributes/phone_number", None),
        (ProfileRequest(phone=PHONE), "/data/attributes/phone_number", PHONE),
        (EVENT, "/data/attributes/profile/data/attributes/email", EMAIL),
        (EVENT, "/data/attributes/profile/data/attributes/phone_number", None),
        (EVENT, "/data/attributes/properties/email", None),
        (EVENT, "/data/attributes/metric/data/attributes/name", None),
    ],
)
def test_a_pointer_is_mapped_to_the_identifying_contact(
    sent_request: ProfileRequest | EventRequest, pointer: str, contact: str | None
) -> None:
    assert rejected_contact(sent_request, rejection(pointer)) == contact


def test_a_pointer_is_mapped_to_a_property_of_an_event() -> None:
    assert rejected_properties(EVENT, rejection("/data/attributes/properties/subject")) == {"subject"}
    assert rejected_properties(EVENT, rejection("/data/attributes/properties")) == {"subject", "rating"}
    assert rejected_properties(EVENT, rejection("/data/attributes/time")) == set()
    assert drop_properties(EVENT, {"subject"}).properties == {"rating": 5}


PARTS = st.sampled_from(
    ["data", "attributes", "profile", "properties", "location", "a", "b", "", "~1", "email", "meta"]
)
POINTERS = st.lists(st.lists(PARTS | st.text(max_size=3), max_size=6).map("/".join) | st.text(), max_size=3)


@given(POINTERS)
def test_each_attempt_has_fewer_fields(pointers: list[str]) -> None:
    rejected = rejected_fields(PROFILE, rejection(*pointers))
    rest = drop_fields(PROFILE, rejected)
    remaining = set(rest.fields) - {PHONE_PROPERTY}
    assert not rejected or len(remaining) < len(PROFILE.fields) or rest.phone is None or rest.external_id is None
    properties = rejected_properties(EVENT, rejection(*pointers))
    assert properties <= set(EVENT.properties)
    rejected_contact(EVENT, rejection(*pointers))
