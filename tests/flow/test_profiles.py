"""What is owed to a profile: the difference between what it is to hold and what Klaviyo was last told."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from openapi_client.models.profile_upsert_query import ProfileUpsertQuery

from documents import customer as document
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.klaviyo.profile_request import Fields, ProfileCall, Value, joined, resource
from kustomer_klaviyo.klaviyo.profile_wire import encode_profile
from kustomer_klaviyo.kustomer.interpret import state_customer
from kustomer_klaviyo.kustomer.wire import MASK, PROFILE_ATTRIBUTES, decode_resource
from kustomer_klaviyo.mapping.profile_mapping import read_mapping
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.planning.profile_diff import Stated, changes, cleared, erased, owed_profile
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import read_profile
from kustomer_klaviyo.store.customers import Person, Profiled

ADA = Profiled(
    customer_id="k1",
    email="ada@x.example",
    phone="+447911123456",
    gone=False,
    left_out=None,
    profile={"first_name": "Ada"},
    masked=(),
    notes=(),
    counted_open=None,
    counted_at=None,
    stated={},
    statements=0,
    klaviyo_id=None,
    merged_into=None,
    taken_phone=None,
    brands=(),
)


def rules(mapping: Any = None, **options: Any) -> Rules:
    horizon = datetime(2026, 1, 1, tzinfo=UTC)
    return Rules(ConnectionOptions(**options), ExpressOptions(org="acme"), horizon, read_mapping(mapping))


def owe(person: Profiled, support: Fields | None = None, **options: Any) -> ProfileCall | None:
    owed = owed_profile(person, support or {}, rules(**options))
    return None if owed is None else owed.call


def told(person: Profiled, support: Fields | None = None) -> Profiled:
    """The same person once Klaviyo was told everything."""
    owed = owed_profile(person, support or {}, rules())
    assert owed is not None
    return replace(person, stated=msgspec.to_builtins(owed.stated), statements=person.statements + 1)


def test_at_first_everything_is_written() -> None:
    assert owe(ADA, {"properties.Open": 1}) == ProfileCall(
        {"first_name": "Ada", "properties.Open": 1}, email="ada@x.example", phone="+447911123456", is_whole=True
    )


def test_once_told_nothing_is_owed() -> None:
    assert owe(told(ADA)) is None


def test_only_what_changed_is_written_and_what_vanished_is_cleared() -> None:
    before = told(replace(ADA, profile={"first_name": "Ada", "title": "Countess", "properties.Tier": "gold"}))
    now = replace(before, profile={"first_name": "Ada", "properties.Tier": "silver"})
    call = owe(now)
    assert call is not None
    assert call.fields == {"properties.Tier": "silver", "title": None}


def test_what_is_masked_now_is_left_as_it_was() -> None:
    assert owe(replace(told(ADA), profile={}, masked=("first_name",))) is None


def test_a_changed_address_names_the_former_one() -> None:
    call = owe(replace(told(ADA), email="ada@y.example"))
    assert call == ProfileCall({}, "ada@y.example", "+447911123456", former_email="ada@x.example")


def test_a_lost_address_leaves_the_person_known_by_it() -> None:
    call = owe(replace(told(ADA), email=None))
    assert call is not None
    assert (call.email, call.former_email, call.phone) == (None, "ada@x.example", "+447911123456")


def test_a_new_number_of_someone_known_by_their_address_is_no_change_of_identity() -> None:
    call = owe(replace(told(ADA), phone="+447911123457"))
    assert call is not None
    assert (call.former_email, call.former_phone, call.phone) == (None, None, "+447911123457")


def test_a_new_number_of_someone_known_by_it_names_the_former_one() -> None:
    call = owe(replace(told(replace(ADA, email=None)), phone="+447911123457"))
    assert call is not None
    assert call.former_phone == "+447911123456"


def test_whom_nothing_identifies_or_a_setting_leaves_out_is_not_written() -> None:
    assert owe(replace(ADA, email=None, phone=None)) is None
    assert owe(replace(ADA, gone=True)) is None
    assert owe(replace(ADA, left_out="left out")) is None
    assert owe(ADA, profiles="none") is None
    assert owe(ADA, profiles="conversations") is None
    assert owe(replace(ADA, brands=(None,)), profiles="conversations") is not None


def test_the_external_id_is_sent_only_when_wished_for() -> None:
    call = owe(ADA, external_id=True)
    assert call is not None
    assert call.external_id == "kustomer:acme:k1"


def test_clearing_takes_back_what_was_written_and_keeps_the_person() -> None:
    before = told(ADA, {"properties.Open": 1})
    everything = ProfileCall({"first_name": None, "properties.Open": None}, email="ada@x.example", must_exist=True)
    assert cleared(before) == everything
    assert cleared(before, only=["properties.Open"]) == replace(everything, fields={"properties.Open": None})
    assert cleared(ADA) is None
    assert erased(before) == ProfileCall(email="ada@x.example", erase=True)
    assert erased(ADA) is None


def test_writes_one_after_another_become_one() -> None:
    first = ProfileCall({"title": "A", "locale": "en"}, "a@x.example", former_email="b@x.example")
    second = ProfileCall({"title": None}, "c@x.example", former_email="a@x.example")
    assert joined([first, second]) == ProfileCall(
        {"title": None, "locale": "en"}, "c@x.example", former_email="b@x.example"
    )


def test_a_property_is_cleared_by_taking_its_key_away_a_field_by_null() -> None:
    call = ProfileCall({"properties.Tier": None, "title": None, "location.city": None}, "a@x.example")
    assert resource(call) == {
        "type": "profile",
        "attributes": {"email": "a@x.example", "title": None, "location": {"city": None}},
        "meta": {"patch_properties": {"unset": ["Tier"]}},
    }


values = st.none() | st.text(max_size=20) | st.integers(-5, 5) | st.booleans()
flat = st.dictionaries(st.sampled_from(["first_name", "title", "properties.A", "properties.B"]), values)


@given(flat, flat)
def test_changes_lead_from_what_was_told_to_what_is_wanted(
    stated: dict[str, Value | None], wanted: dict[str, Value | None]
) -> None:
    before: dict[str, Value | None] = {**held(stated)}
    assert held(before | changes(held(stated), held(wanted))) == held(wanted)


def held(fields: dict[str, Value | None]) -> Fields:
    """What Klaviyo holds after being told the fields: null clears."""
    return {name: value for name, value in fields.items() if value is not None}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=2000)
    | st.sampled_from([MASK, "2026-03-20T18:50:55.976Z", "+44 7911 123456", "a@x.example", "en_us"]),
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
def test_any_customer_becomes_a_body_klaviyo_takes_or_a_reason(attributes: dict[str, Any]) -> None:
    raw = msgspec.json.encode({"data": document(emails=[{"email": "ada@x.example"}]) | {"attributes": attributes}})
    seen = state_customer(decode_resource(raw), "k1", seen_at=datetime(2026, 3, 20, tzinfo=UTC)).person
    assert seen is not None
    person = identify(seen, rules(MAPPING))
    owed = owed_profile(_profiled(person), {}, rules(MAPPING))
    if owed is None:
        assert person.gone or (person.email is None and person.phone is None)
        return
    body = msgspec.json.decode(encode_profile(owed.call))
    ProfileUpsertQuery.model_validate(body)
    assert not read_profile(body["data"], "/data").without_phone
    assert MASK not in str(body)


def test_the_largest_values_are_left_out_of_a_profile_klaviyo_would_find_too_large() -> None:
    profile: Fields = {"first_name": "Ada", **{f"properties.P{n}": "x" * 1000 for n in range(200)}}
    owed = owed_profile(replace(ADA, profile=profile), {}, rules())
    assert owed is not None
    assert len(encode_profile(owed.call)) < 100_000
    assert owed.call.fields["first_name"] == "Ada"
    assert "larger than Klaviyo takes" in owed.notes[0]


def test_what_was_stated_is_read_back() -> None:
    stated = Stated("a@x.example", fields={"title": "A"})
    assert msgspec.convert(msgspec.to_builtins(stated), Stated) == stated


def _profiled(person: Person) -> Profiled:
    return replace(
        ADA,
        email=person.email,
        phone=person.phone,
        gone=person.gone,
        profile=person.profile,
        masked=person.masked,
        notes=person.notes,
    )
