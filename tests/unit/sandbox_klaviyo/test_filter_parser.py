"""The parser of Klaviyo's filter language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.sandbox.klaviyo.api.filter_parser import Condition, parse_filter
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal

ALLOWED = {"email": frozenset({"equals", "equals[]", "any[]"}), "metric": frozenset({"has"})}


def quote_text(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


@given(st.text(), st.sampled_from("\"'"))
def test_any_quoted_text_is_parsed(text: str, quote: str) -> None:
    [condition] = parse_filter(f"equals(email,{quote_text(text, quote)})", ALLOWED)
    assert condition == Condition("equals", "email", (text,), is_text=True)


@given(st.lists(st.text(), min_size=1))
def test_any_list_of_texts_is_parsed(texts: list[str]) -> None:
    items = ", ".join(quote_text(text, '"') for text in texts)
    [condition] = parse_filter(f"any(email,[{items}])", ALLOWED)
    assert condition == Condition("any", "email", tuple(texts), is_text=True, is_list=True)


@given(st.text(alphabet="()[],'\"\\ahs1equalsemail-_ "))
def test_invalid_filters_are_refused_without_other_errors(text: str) -> None:
    try:
        outcome = {condition.operator for condition in parse_filter(f"has(metric),{text}", ALLOWED)}
    except KlaviyoRefusal as refusal:
        outcome = {str(refusal.status)}
    assert outcome <= {"400"} or outcome <= {"has", "equals", "any"}


def test_conditions_can_be_nested_in_and() -> None:
    nested = parse_filter('and(has(metric),and(equals(email,"a"), has(metric)))', ALLOWED)
    assert [condition.operator for condition in nested] == ["has", "equals", "has"]


@pytest.mark.parametrize("operator", ["equals", "any"])
def test_a_list_needs_the_list_operator(operator: str) -> None:
    with pytest.raises(KlaviyoRefusal, match="not a supported operator"):
        parse_filter(f'{operator}(email,["a"])', {"email": frozenset({"equals", "any"})})
