"""A mapping as a YAML file; errors name the line."""

import pytest

from kustomer_klaviyo.mapping.profile_mapping import parse_mapping
from kustomer_klaviyo.mapping.yaml_file import MappingFileError, read_mapping_file, write_mapping_file

VALID_FILE = """\
fields:
  title: custom.jobTitleStr
properties:
  Loyalty tier: custom.tierStr
  Orders: {from: custom.ordersStr, type: number}
"""


def test_a_mapping_survives_writing_and_reading() -> None:
    mapping = parse_mapping(read_mapping_file(VALID_FILE))
    assert parse_mapping(read_mapping_file(write_mapping_file(mapping))) == mapping
    default = parse_mapping(None)
    assert parse_mapping(read_mapping_file(write_mapping_file(default))) == default


def test_removed_default_fields_stay_removed_after_writing_and_reading() -> None:
    text = "fields:\n  location.address1: null\n  last_name: null\nproperties:\n  Kustomer Customer ID: null\n"
    mapping = parse_mapping(read_mapping_file(text))
    assert parse_mapping(read_mapping_file(write_mapping_file(mapping))) == mapping
    assert not {"last_name", "location.address1", "properties.Kustomer Customer ID"} & {
        entry.target for entry in mapping.entries
    }


def test_an_empty_file_is_the_default_mapping() -> None:
    assert read_mapping_file("# nothing\n") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VALID_FILE.replace("title:", "colour:"), "line 2: unknown Klaviyo field 'colour'"),
        (VALID_FILE.replace("custom.tierStr", "tier"), "line 4: unknown attribute 'tier'"),
        (VALID_FILE.replace("type: number", "type: money"), "line 5: unknown type 'money'"),
        (VALID_FILE + "  Orders: custom.xNum\n", "line 6: 'Orders' is defined twice"),
        (VALID_FILE.replace("Orders: {", "Orders: ["), "line 5:"),
        ("- a\n- b\n", "line 1: a mapping has the sections"),
        ("just words", "line 1: a mapping has the sections"),
        ("fields: {title: \tx", "line 1:"),
        ("fields: &a\n  title: *a\n", "line 2: unknown key 'title'"),
    ],
)
def test_an_error_names_the_line(text: str, message: str) -> None:
    with pytest.raises(MappingFileError) as raised:
        read_mapping_file(text)
    assert str(raised.value).startswith(message)
