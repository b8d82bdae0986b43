"""Verifying webhook signatures."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.kustomer.signature import is_signed, sign


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40))
def test_the_signature_is_the_hex_hmac_of_the_raw_body(body: bytes, token: str) -> None:
    assert sign(token, body) == hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
    assert is_signed(body, sign(token, body), [token])


@given(st.binary(max_size=50), st.text(max_size=80))
def test_any_other_text_is_not_a_signature(body: bytes, text: str) -> None:
    assert not is_signed(body, text, ["token"]) or text.strip() == sign("token", body)


def test_each_of_several_tokens_is_accepted() -> None:
    assert is_signed(b"x", sign("old", b"x"), ["new", "old"])
    assert not is_signed(b"x", sign("older", b"x"), ["new", "old"])
    assert not is_signed(b"x", sign("new", b"x"), [])
