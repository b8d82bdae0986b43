"""Which attribute of a customer goes where, and as what."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.wire import MASK
from kustomer_klaviyo.mapping.profile_mapping import (
    ID_PROPERTY,
    MASKED,
    MappingError,
    apply,
    lines,
    read_mapping,
    sources,
)

HIDDEN = {"isMasked": True, "maskedPresentation": "********"}


def mapped(attributes: dict[str, Any], **mapping: Any) -> dict[str, Any]:
    """The fields a mapping makes, without the customer's id."""
    fields = apply(read_mapping(mapping), "k1", attributes).fields
    assert fields.pop(f"properties.{ID_PROPERTY}") == "k1"
    return fields


def test_the_default_maps_names_organisation_locale_and_place_and_nothing_else() -> None:
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
    assert mapped(attributes) == {
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
def test_names_are_given_or_read_out_of_the_whole_name_and_never_invented(
    attributes: dict[str, Any], first: str | None, last: str | None
) -> None:
    fields = mapped(attributes)
    assert (fields.get("first_name"), fields.get("last_name")) == (first, last)


def test_a_place_without_an_address_gives_way_to_the_most_recent_one_seen() -> None:
    attributes = {"locations": [{"type": "home"}], "recentLocation": {"cityName": "Turin", "countryName": "Italy"}}
    assert mapped(attributes) == {"location.city": "Turin", "location.country": "Italy"}


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
def test_a_value_takes_the_type_it_is_given(value: Any, kind: str, expected: Any) -> None:
    entry = {"from": "custom.thing", "type": kind}
    assert mapped({"custom": {"thing": value}}, properties={"Thing": entry}) == {"properties.Thing": expected}


@pytest.mark.parametrize("attribute", ["xStr", "xTxt", "xUrl", "xNum", "xAt", "xBool", "@acmeThingNum"])
def test_the_type_follows_from_the_end_of_a_custom_attributes_name(attribute: str) -> None:
    entry = read_mapping({"properties": {"X": f"custom.{attribute}"}}).entries[-1]
    kinds = {"Num": "number", "At": "date", "Bool": "boolean"}
    assert entry.type == next((kind for end, kind in kinds.items() if attribute.endswith(end)), "text")


def test_what_cannot_be_read_is_left_out_with_the_reason() -> None:
    mapping = read_mapping({"properties": {"Joined": "custom.joinedAt"}})
    found = apply(mapping, "k1", {"custom": {"joinedAt": "yesterday"}})
    assert "properties.Joined" not in found.fields
    assert found.notes == ("custom.joinedAt left out: not a date",)


def test_a_text_too_long_to_be_sent_whole_is_sent_in_part_and_noted() -> None:
    mapping = read_mapping({"properties": {"Story": "custom.storyTxt"}})
    found = apply(mapping, "k1", {"custom": {"storyTxt": "x" * 3000}})
    assert found.fields["properties.Story"] == "x" * 1000
    assert found.notes == ("custom.storyTxt: only the first 1000 characters are sent",)


@pytest.mark.parametrize(
    "attributes",
    [
        {"recentLocation": HIDDEN},
        {"locations": [HIDDEN]},
        {"locations": [{"cityName": HIDDEN}]},
    ],
)
def test_a_place_that_is_hidden_in_whatever_way_is_not_taken_for_none(attributes: dict[str, Any]) -> None:
    found = apply(read_mapping(None), "k1", attributes)
    assert ("location.city" in found.fields, "location.city" in found.masked) == (False, True)


def test_a_list_with_something_hidden_in_it_is_not_written() -> None:
    found = apply(read_mapping({"properties": {"X": "custom.xList"}}), "k1", {"custom": {"xList": ["a", MASK]}})
    assert ("properties.X" in found.fields, found.masked) == (False, ("properties.X",))


@pytest.mark.parametrize("hidden", [HIDDEN, MASK])
def test_a_masked_value_is_never_written_and_its_field_is_named(hidden: Any) -> None:
    attributes = {"name": hidden, "companyName": hidden, "locations": hidden, "custom": {"tierStr": hidden}}
    found = apply(read_mapping({"properties": {"Tier": "custom.tierStr"}}), "k1", attributes)
    assert found.fields == {f"properties.{ID_PROPERTY}": "k1"}
    assert {"first_name", "last_name", "organization", "location.city", "properties.Tier"} <= set(found.masked)
    assert found.notes == ()


def test_a_masked_line_tells_which_permission_is_missing() -> None:
    read = {line.entry.target: line for line in lines(read_mapping(None), "k1", {"companyName": HIDDEN})}
    assert read["organization"].why == MASKED


@pytest.mark.parametrize(
    ("mapping", "path", "word"),
    [
        ({"fields": {"colour": "name"}}, ("fields", "colour"), "no field"),
        ({"fields": {"title": "jobTitle"}}, ("fields", "title"), "no attribute"),
        ({"fields": {"title": "displayName"}}, ("fields", "title"), "no attribute"),
        ({"fields": {"title": {"from": "name", "type": "number"}}}, ("fields", "title"), "holds text"),
        ({"properties": {"X": {"from": "name", "type": "colour"}}}, ("properties", "X"), "unknown type"),
        ({"properties": {"X": {"form": "name"}}}, ("properties", "X"), "unknown word"),
        ({"properties": {"X": 7}}, ("properties", "X"), "name the Kustomer attribute"),
        ({"properties": {"$x": "name"}}, ("properties", "$x"), "does not begin with $"),
        ({"properties": ["name"]}, ("properties",), "must list"),
        ({"property": {}}, ("property",), "no section"),
    ],
)
def test_a_mistake_is_told_with_its_place(mapping: Any, path: tuple[str, ...], word: str) -> None:
    with pytest.raises(MappingError, match=word.replace("$", r"\$")) as told:
        read_mapping(mapping)
    assert told.value.path == path


def test_null_leaves_a_field_of_the_default_out() -> None:
    assert "locale" not in mapped({"locale": "en_us"}, fields={"locale": None})


def test_another_mapping_has_another_digest() -> None:
    ones = [
        read_mapping(None),
        read_mapping({"properties": {"A": "name"}}),
        read_mapping({"properties": {"B": "name"}}),
    ]
    assert len({one.digest for one in ones}) == 3


def test_only_what_is_mapped_counts_as_a_change() -> None:
    mapping = read_mapping({"properties": {"Tier": "custom.tierStr"}})
    one = {"name": "Ada", "gender": "f", "custom": {"tierStr": "gold", "noteTxt": "x"}}
    assert sources(mapping, one) == sources(mapping, one | {"gender": "m", "custom": {"tierStr": "gold"}})
    assert sources(mapping, one) != sources(mapping, one | {"custom": {"tierStr": "silver"}})
    assert sources(mapping, one) != sources(mapping, one | {"name": "Bo"})


texts = st.text(max_size=40)


@given(
    st.dictionaries(texts, st.recursive(st.none() | texts | st.integers() | st.dictionaries(texts, texts), st.lists))
)
def test_any_text_as_a_mapping_is_read_or_refused_with_words(document: dict[str, Any]) -> None:
    with suppress(MappingError):
        read_mapping(document)
