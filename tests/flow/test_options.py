"""What an admin may set, and how mistakes are told."""

from typing import Any

import pytest

from kustomer_klaviyo.connections.options import OptionsError, read_options


def test_what_is_not_set_has_a_default() -> None:
    assert read_options({}) == read_options({"default_country": ""})


def test_text_is_read_as_what_the_option_holds() -> None:
    options = read_options(
        {
            "default_country": " gb ",
            "update_only": "true",
            "card_minutes": "5",
            "only_tags": "a, b,",
            "only_attributes": "custom.vipBool=true, locale=en_gb",
        }
    )
    assert (options.default_country, options.update_only, options.card_minutes) == ("GB", True, 5)
    assert options.only_tags == ("a", "b")
    assert options.only_attributes == {"custom.vipBool": "true", "locale": "en_gb"}


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"colour": "red"}, "unknown option 'colour'"),
        ({"default_country": "UK"}, "such as US or GB"),
        ({"default_country": "United Kingdom"}, "such as US or GB"),
        ({"only_attributes": "vip=true"}, "there is no attribute 'vip'"),
        ({"only_attributes": "vip"}, "NAME=VALUE"),
        ({"profiles": "some"}, "profiles"),
        ({"kustomer_share": "2"}, "kustomer_share"),
        ({"sweep_minutes": "-1"}, "sweep_minutes"),
        ({"card_minutes": "0"}, "card_minutes"),
        ({"keep_events_days": "0"}, "keep_"),
        ({"closed_metric": ""}, "metric name"),
        ({"link_template": "https://x/{who}"}, "link_template"),
        ({"list_link": "javascript:alert(1)//{id}"}, "list_link"),
        ({"list_link": "https://x/no-id"}, "list_link"),
        ({"agents_at": "https://evil.example; script-src *"}, "agents_at"),
        ({"cards_sdk": "https://x/a.js'></script>"}, "cards_sdk"),
        ({"mapping": {"fields": {"colour": "x"}}}, "mapping"),
    ],
)
def test_a_mistake_is_told_with_the_options_name(document: dict[str, Any], word: str) -> None:
    with pytest.raises(OptionsError, match=word):
        read_options(document)
