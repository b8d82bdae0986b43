"""Any text and any JSON can be stored."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.cleaning import storable
from kustomer_klaviyo.store.adapters import dump_json
from kustomer_klaviyo.store.database import Database

ANY_TEXT = st.text(alphabet=st.characters(categories=None), max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | ANY_TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(ANY_TEXT, values, max_size=3),
    max_leaves=8,
)


@given(ANY_JSON)
async def test_any_json_can_be_stored(shared_database: Database, value: Any) -> None:
    rows = await shared_database.fetch("SELECT %s::jsonb AS value", (dump_json(value).decode(),))
    assert msgspec.json.encode(rows[0]["value"])


@given(ANY_TEXT)
async def test_any_text_can_be_stored_alone_and_in_lists(shared_database: Database, text: str) -> None:
    rows = await shared_database.fetch("SELECT %s AS text, %s::text[] AS texts, %b AS binary", (text, [text], text))
    assert [rows[0]["text"], rows[0]["texts"], rows[0]["binary"]] == [storable(text), [storable(text)], storable(text)]
