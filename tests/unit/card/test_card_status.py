"""The codes of cards and their errors."""

from kustomer_klaviyo.card.card_status import CardError, parse_card_error


def test_a_stored_error_is_parsed() -> None:
    assert parse_card_error("key_rejected") is CardError.KEY_REJECTED
    assert parse_card_error(None) is None


def test_an_unknown_code_of_another_version_counts_as_an_unavailable_klaviyo() -> None:
    assert parse_card_error("a_code_of_tomorrow") is CardError.KLAVIYO_UNAVAILABLE
