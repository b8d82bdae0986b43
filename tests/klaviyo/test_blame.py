"""What of a request Klaviyo blames, and what is left of the request."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.blamed_fields import (
    refused_contact,
    refused_fields,
    refused_properties,
    without,
    without_properties,
)
from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY, ProfileCall
from kustomer_klaviyo.outcomes import Accepted, Refused, Unreachable

PHONE, EMAIL = "+447911123456", "ada@lantern.example"
CALL = ProfileCall(
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
EVENT = EventCall("Done", "u1", datetime(2026, 1, 1, tzinfo=UTC), {"subject": "Hi", "rating": 5}, EMAIL)


def blaming(*pointers: str, status: int = 400) -> Refused:
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
def test_a_pointer_leads_to_the_fields_it_blames(pointers: list[str], names: set[str]) -> None:
    refused = refused_fields(CALL, blaming(*pointers))
    assert set(refused) == names
    rest = without(CALL, refused)
    assert not set(refused_fields(rest, blaming(*pointers))) & names
    assert rest.email == EMAIL
    assert rest.fields.get(PHONE_PROPERTY) == (PHONE if "phone_number" in names else None)


def test_only_a_refusal_of_what_was_sent_blames_a_field() -> None:
    at = "/data/attributes/first_name"
    others = (blaming(at, status=409), Accepted(200), Unreachable("first_name"))
    assert [refused_fields(CALL, one) for one in others] == [{}] * 3
    assert refused_fields(CALL, blaming(at, status=422)) == {"first_name": "Ada"}


@pytest.mark.parametrize(
    ("call", "pointer", "contact"),
    [
        (CALL, "/data/attributes/email", EMAIL),
        (CALL, "/data/attributes/phone_number", None),
        (ProfileCall(phone=PHONE), "/data/attributes/phone_number", PHONE),
        (EVENT, "/data/attributes/profile/data/attributes/email", EMAIL),
        (EVENT, "/data/attributes/profile/data/attributes/phone_number", None),
        (EVENT, "/data/attributes/properties/email", None),
        (EVENT, "/data/attributes/metric/data/attributes/name", None),
    ],
)
def test_a_pointer_leads_to_the_contact_by_which_the_person_is_known(
    call: ProfileCall | EventCall, pointer: str, contact: str | None
) -> None:
    assert refused_contact(call, blaming(pointer)) == contact


def test_a_pointer_leads_to_a_property_of_an_event() -> None:
    assert refused_properties(EVENT, blaming("/data/attributes/properties/subject")) == {"subject"}
    assert refused_properties(EVENT, blaming("/data/attributes/properties")) == {"subject", "rating"}
    assert refused_properties(EVENT, blaming("/data/attributes/time")) == set()
    assert without_properties(EVENT, {"subject"}).properties == {"rating": 5}


PARTS = st.sampled_from(
    ["data", "attributes", "profile", "properties", "location", "a", "b", "", "~1", "email", "meta"]
)
POINTERS = st.lists(st.lists(PARTS | st.text(max_size=3), max_size=6).map("/".join) | st.text(), max_size=3)


@given(POINTERS)
def test_whatever_is_blamed_each_try_leaves_less(pointers: list[str]) -> None:
    refused = refused_fields(CALL, blaming(*pointers))
    rest = without(CALL, refused)
    left = set(rest.fields) - {PHONE_PROPERTY}
    assert not refused or len(left) < len(CALL.fields) or rest.phone is None or rest.external_id is None
    properties = refused_properties(EVENT, blaming(*pointers))
    assert properties <= set(EVENT.properties)
    refused_contact(EVENT, blaming(*pointers))
