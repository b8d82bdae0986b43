"""A mapping as a file: every mistake is told with its line."""

import pytest

from kustomer_klaviyo.mapping.profile_mapping import read_mapping
from kustomer_klaviyo.mapping.yaml_file import MappingFileError, read_mapping_file, write_mapping_file

GOOD = """\
fields:
  title: custom.jobTitleStr
properties:
  Loyalty tier: custom.tierStr
  Orders: {from: custom.ordersStr, type: number}
"""


def test_a_mapping_written_and_read_again_is_the_same() -> None:
    mapping = read_mapping(read_mapping_file(GOOD))
    assert read_mapping(read_mapping_file(write_mapping_file(mapping))) == mapping
    default = read_mapping(None)
    assert read_mapping(read_mapping_file(write_mapping_file(default))) == default


def test_what_was_left_out_of_the_default_stays_out_when_the_file_shown_is_set() -> None:
    text = "fields:\n  location.address1: null\n  last_name: null\nproperties:\n  Kustomer Customer ID: null\n"
    mapping = read_mapping(read_mapping_file(text))
    assert read_mapping(read_mapping_file(write_mapping_file(mapping))) == mapping
    assert not {"last_name", "location.address1", "properties.Kustomer Customer ID"} & {
        entry.target for entry in mapping.entries
    }


def test_an_empty_file_is_the_default_mapping() -> None:
    assert read_mapping_file("# nothing\n") == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("title:", "colour:"), "line 2: Klaviyo has no field 'colour'"),
        (GOOD.replace("custom.tierStr", "tier"), "line 4: there is no attribute 'tier'"),
        (GOOD.replace("type: number", "type: money"), "line 5: unknown type 'money'"),
        (GOOD + "  Orders: custom.xNum\n", "line 6: 'Orders' is there twice"),
        (GOOD.replace("Orders: {", "Orders: ["), "line 5:"),
        ("- a\n- b\n", "line 1: a mapping has the sections"),
        ("just words", "line 1: a mapping has the sections"),
        ("fields: {title: \tx", "line 1:"),
        ("fields: &a\n  title: *a\n", "line 2: unknown word 'title'"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(MappingFileError) as raised:
        read_mapping_file(text)
    assert str(raised.value).startswith(told)
