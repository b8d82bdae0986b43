"""Mapping customer attributes to profile fields."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.wire import MASKED_VALUE
from kustomer_klaviyo.mapping.profile_mapping import (
    ID_PROPERTY,
    MASKED,
    MappingError,
    map_entries,
    map_profile,
    parse_mapping,
    read_sources,
)

MASKED_OBJECT = {"isMasked": True, "maskedPresentation": "********"}


def map_fields(attributes: dict[str, Any], **mapping: Any) -> dict[str, Any]:
    """Return the mapped fields, without the customer's id."""
    fields = map_profile(parse_mapping(mapping), "k1", attributes).fields
    assert fields.pop(f"properties.{ID_PROPERTY}") == "k1"
    return fields


def test_the_default_maps_names_organisation_locale_and_address_only() -> None:
    attributes = {
        "name": "Ada Lovelace",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "companyName": "Analytical Engines",
        "locale": "en_gb",
        "timeZone": "Europe/London",
        "gender": "f",
        "birthdayAt": "1815-12-10T00:00:00.000Z",
        "locations": [
            {"type": "home"},
            {
                "address": "12 St James's Square",
                "cityName": "London",
                "zipCode": "SW1Y 4JH",
                "countryName": "United Kingdom",
            },
        ],
        "custom": {"secretStr": "no"},
    }
    assert map_fields(attributes) == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "organization": "Analytical Engines",
        "locale": "en-GB",
        "location.address1": "12 St James's Square",
        "location.city": "London",
        "location.zip": "SW1Y 4JH",
        "location.country": "United Kingdom",
        "location.timezone": "Europe/London",
    }


@pytest.mark.parametrize(
    ("attributes", "first", "last"),
    [
        ({"firstName": "Ada", "name": "Somebody Else"}, "Ada", None),
        ({"name": "Ada Lovelace"}, "Ada", "Lovelace"),
        ({"name": "Ada King Lovelace"}, "Ada", "King Lovelace"),
        ({"name": "Lovelace, Ada"}, "Ada", "Lovelace"),
        ({"name": "Ada"}, "Ada", None),
        ({"name": "Ada Lovelace, Jr."}, "Ada", "Lovelace, Jr."),
        ({"name": "Analytical Engines, Inc."}, None, None),
        ({"name": "ada@lanternpost.example"}, None, None),
        ({"name": "+44 7911 123456"}, None, None),
        ({"displayName": "Silver Scissors"}, None, None),
        ({}, None, None),
    ],
)
def test_names_are_given_or_split_from_the_full_name(
    attributes: dict[str, Any], first: str | None, last: str | None
) -> None:
    fields = map_fields(attributes)
    assert (fields.get("first_name"), fields.get("last_name")) == (first, last)


def test_an_empty_location_falls_back_to_the_recent_location() -> None:
    attributes = {"locations": [{"type": "home"}], "recentLocation": {"cityName": "Turin", "countryName": "Italy"}}
    assert map_fields(attributes) == {"location.city": "Turin", "location.country": "Italy"}


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("gold", "text", "gold"),
        (7, "text", "7"),
        (True, "text", "true"),
        (7.5, "number", 7.5),
        ("42", "number", 42),
        (0, "number", 0),
        ("2026-03-20T18:50:55.976Z", "date", "2026-03-20 18:50:55"),
        ("2026-03-20T20:50:55+02:00", "date", "2026-03-20 18:50:55"),
        ("2026-03-20", "date", "2026-03-20 00:00:00"),
        ("0915-12-10T00:00:00.000Z", "date", "0915-12-10 00:00:00"),
        ("1985-04-02T00:00:00.000Z", "date", "1985-04-02 00:00:00"),
        (False, "boolean", False),
        ("yes", "boolean", True),
        (["a", 1, True, None, {"x": 1}], "list", ["a", 1, True]),
        ("a", "list", ["a"]),
    ],
)
def test_a_value_is_converted_to_the_type(value: Any, kind: str, expected: Any) -> None:
    entry = {"from": "custom.thing", "type": kind}
    assert map_fields({"custom": {"thing": value}}, properties={"Thing": entry}) == {"properties.Thing": expected}


@pytest.mark.parametrize("attribute", ["xStr", "xTxt", "xUrl", "xNum", "xAt", "xBool", "@acmeThingNum"])
def test_the_default_type_follows_from_a_custom_attributes_name(attribute: str) -> None:
    entry = parse_mapping({"properties": {"X": f"custom.{attribute}"}}).entries[-1]
    types = {"Num": "number", "At": "date", "Bool": "boolean"}
    assert entry.type == next((kind for suffix, kind in types.items() if attribute.endswith(suffix)), "text")


def test_an_invalid_value_is_left_out_with_a_note() -> None:
    mapping = parse_mapping({"properties": {"Member Since": "custom.joinedAt"}})
    profile = map_profile(mapping, "k1", {"custom": {"joinedAt": "yesterday"}})
    assert "properties.Member Since" not in profile.fields
    assert profile.notes == ("custom.joinedAt left out: not a date",)


def test_a_long_text_is_truncated_with_a_note() -> None:
    mapping = parse_mapping({"properties": {"Story": "custom.storyTxt"}})
    profile = map_profile(mapping, "k1", {"custom": {"storyTxt": "x" * 3000}})
    assert profile.fields["properties.Story"] == "x" * 1000
    assert profile.notes == ("custom.storyTxt: only the first 1000 characters are sent",)


@pytest.mark.parametrize(
    "attributes",
    [
        {"recentLocation": MASKED_OBJECT},
        {"locations": [MASKED_OBJECT]},
        {"locations": [{"cityName": MASKED_OBJECT}]},
    ],
)
def test_a_masked_location_is_masked_and_not_empty(attributes: dict[str, Any]) -> None:
    profile = map_profile(parse_mapping(None), "k1", attributes)
    assert ("location.city" in profile.fields, "location.city" in profile.masked) == (False, True)


def test_a_list_with_a_masked_item_is_not_written() -> None:
    profile = map_profile(
        parse_mapping({"properties": {"X": "custom.xList"}}), "k1", {"custom": {"xList": ["a", MASKED_VALUE]}}
    )
    assert ("properties.X" in profile.fields, profile.masked) == (False, ("properties.X",))


@pytest.mark.parametrize("masked", [MASKED_OBJECT, MASKED_VALUE])
def test_a_masked_value_is_not_written_and_its_field_is_reported(masked: Any) -> None:
    attributes = {"name": masked, "companyName": masked, "locations": masked, "custom": {"tierStr": masked}}
    profile = map_profile(parse_mapping({"properties": {"Tier": "custom.tierStr"}}), "k1", attributes)
    assert profile.fields == {f"properties.{ID_PROPERTY}": "k1"}
    assert {"first_name", "last_name", "organization", "location.city", "properties.Tier"} <= set(profile.masked)
    assert profile.notes == ()


def test_a_masked_entry_names_the_missing_permission() -> None:
    entries = {
        result.entry.target: result for result in map_entries(parse_mapping(None), "k1", {"companyName": MASKED_OBJECT})
    }
    assert entries["organization"].note == MASKED


@pytest.mark.parametrize(
    ("mapping", "path", "word"),
    [
        ({"fields": {"colour": "name"}}, ("fields", "colour"), "unknown Klaviyo field"),
        ({"fields": {"title": "jobTitle"}}, ("fields", "title"), "unknown attribute"),
        ({"fields": {"title": "displayName"}}, ("fields", "title"), "unknown attribute"),
        ({"fields": {"title": {"from": "name", "type": "number"}}}, ("fields", "title"), "is text"),
        ({"properties": {"X": {"from": "name", "type": "colour"}}}, ("properties", "X"), "unknown type"),
        ({"properties": {"X": {"form": "name"}}}, ("properties", "X"), "unknown key"),
        ({"properties": {"X": 7}}, ("properties", "X"), "name the Kustomer attribute"),
        ({"properties": {"$x": "name"}}, ("properties", "$x"), "does not begin with $"),
        ({"properties": ["name"]}, ("properties",), "must map"),
        ({"property": {}}, ("property",), "unknown section"),
    ],
)
def test_an_error_has_the_path_of_the_entry(mapping: Any, path: tuple[str, ...], word: str) -> None:
    with pytest.raises(MappingError, match=word.replace("$", r"\$")) as raised:
        parse_mapping(mapping)
    assert raised.value.path == path


def test_null_removes_a_default_field() -> None:
    assert "locale" not in map_fields({"locale": "en_us"}, fields={"locale": None})


def test_another_mapping_has_another_digest() -> None:
    mappings = [
        parse_mapping(None),
        parse_mapping({"properties": {"A": "name"}}),
        parse_mapping({"properties": {"B": "name"}}),
    ]
    assert len({mapping.digest for mapping in mappings}) == 3


def test_only_mapped_values_count_as_a_change() -> None:
    mapping = parse_mapping({"properties": {"Tier": "custom.tierStr"}})
    attributes = {"name": "Ada", "gender": "f", "custom": {"tierStr": "gold", "noteTxt": "x"}}
    assert read_sources(mapping, attributes) == read_sources(
        mapping, attributes | {"gender": "m", "custom": {"tierStr": "gold"}}
    )
    assert read_sources(mapping, attributes) != read_sources(mapping, attributes | {"custom": {"tierStr": "silver"}})
    assert read_sources(mapping, attributes) != read_sources(mapping, attributes | {"name": "Bo"})


texts = st.text(max_size=40)


@given(
    st.dictionaries(texts, st.recursive(st.none() | texts | st.integers() | st.dictionaries(texts, texts), st.lists))
)
def test_any_document_is_parsed_or_rejected_with_an_error(document: dict[str, Any]) -> None:
    with suppress(MappingError):
        parse_mapping(document)
