"""Klaviyo's filter language by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.sandbox.klaviyo.api.filters import Condition, parse
from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal

ALLOWED = {"email": frozenset({"equals", "equals[]", "any[]"}), "metric": frozenset({"has"})}


def quoted(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


@given(st.text(), st.sampled_from("\"'"))
def test_any_text_survives_its_quotes(text: str, quote: str) -> None:
    [condition] = parse(f"equals(email,{quoted(text, quote)})", ALLOWED)
    assert condition == Condition("equals", "email", (text,), is_text=True)


@given(st.lists(st.text(), min_size=1))
def test_any_list_of_texts_survives(texts: list[str]) -> None:
    listed = ", ".join(quoted(text, '"') for text in texts)
    [condition] = parse(f"any(email,[{listed}])", ALLOWED)
    assert condition == Condition("any", "email", tuple(texts), is_text=True, is_list=True)


@given(st.text(alphabet="()[],'\"\\ahs1equalsemail-_ "))
def test_nonsense_is_refused_and_never_breaks_anything(text: str) -> None:
    try:
        found = {condition.operator for condition in parse(f"has(metric),{text}", ALLOWED)}
    except Refusal as refusal:
        found = {str(refusal.status)}
    assert found <= {"400"} or found <= {"has", "equals", "any"}


def test_conditions_may_be_nested_in_and() -> None:
    nested = parse('and(has(metric),and(equals(email,"a"), has(metric)))', ALLOWED)
    assert [condition.operator for condition in nested] == ["has", "equals", "has"]


@pytest.mark.parametrize("operator", ["equals", "any"])
def test_a_list_is_another_operator_than_a_single_value(operator: str) -> None:
    with pytest.raises(Refusal, match="not a supported operator"):
        parse(f'{operator}(email,["a"])', {"email": frozenset({"equals", "any"})})
