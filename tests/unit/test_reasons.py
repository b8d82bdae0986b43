"""Reason codes and their sentences."""

from itertools import chain

import pytest

from kustomer_klaviyo.reasons import DeliveryNote, InboxReason, LookupReason, Reason, parse_code, sentence

CODES = list(chain(Reason, DeliveryNote, LookupReason, InboxReason))


def test_codes_are_unique() -> None:
    assert len(set(map(str, CODES))) == len(CODES)


@pytest.mark.parametrize("reason", CODES)
def test_every_code_has_a_sentence_with_its_detail(reason: str) -> None:
    assert parse_code(str(reason)) is reason
    assert sentence(reason) != reason
    assert "(401: no)" in sentence(reason, "401: no")


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    assert parse_code("unknown") is None
    assert sentence("unknown", "detail") == "unknown"
    assert (parse_code(None), sentence(None)) == (None, None)
    assert sentence(None, "a note") == "a note"
