"""Options: defaults, parsing, and error messages."""

from typing import Any

import pytest

from kustomer_klaviyo.connections.options import OptionsError, read_options


def test_options_have_defaults() -> None:
    assert read_options({}) == read_options({"default_country": ""})


def test_texts_are_parsed_to_the_type_of_the_option() -> None:
    options = read_options(
        {
            "default_country": " gb ",
            "update_only": "true",
            "card_max_age_minutes": "5",
            "only_tags": "a, b,",
            "only_attributes": "custom.vipBool=true, locale=en_gb",
        }
    )
    assert (options.default_country, options.update_only, options.card_max_age_minutes) == ("GB", True, 5)
    assert options.only_tags == ("a", "b")
    assert options.only_attributes == {"custom.vipBool": "true", "locale": "en_gb"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"colour": "red"}, "unknown option 'colour'"),
        ({"default_country": "UK"}, "such as US or GB"),
        ({"default_country": "United Kingdom"}, "such as US or GB"),
        ({"only_attributes": "vip=true"}, "unknown attribute 'vip'"),
        ({"only_attributes": "vip"}, "NAME=VALUE"),
        ({"profiles": "some"}, "profiles"),
        ({"kustomer_rate_share": "2"}, "kustomer_rate_share"),
        ({"sweep_interval_minutes": "-1"}, "sweep_interval_minutes"),
        ({"card_max_age_minutes": "0"}, "card_max_age_minutes"),
        ({"event_retention_days": "0"}, "event_retention_days"),
        ({"done_metric": ""}, "metric name"),
        ({"conversation_link": "https://x/{who}"}, "conversation_link"),
        ({"list_link": "javascript:alert(1)//{id}"}, "list_link"),
        ({"list_link": "https://x/no-id"}, "list_link"),
        ({"kustomer_app_url": "https://evil.example; script-src *"}, "kustomer_app_url"),
        ({"cards_sdk_url": "https://x/a.js'></script>"}, "cards_sdk_url"),
        ({"mapping": {"fields": {"colour": "x"}}}, "mapping"),
    ],
)
def test_an_error_names_the_option(document: dict[str, Any], expected: str) -> None:
    with pytest.raises(OptionsError, match=expected):
        read_options(document)
