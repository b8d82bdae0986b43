"""A mapping as an admin writes it, in YAML: read with the line of every mistake, and written for editing."""

from collections.abc import Iterator
from typing import Any

import yaml

from kustomer_klaviyo.klaviyo.profile_request import PROPERTY
from kustomer_klaviyo.mapping.profile_mapping import (
    DEFAULT_FIELDS,
    ID_PROPERTY,
    Entry,
    MappingError,
    ProfileMapping,
    read_mapping,
)

HEAD = """\
# What of a Kustomer customer goes to their Klaviyo profile.
# fields: Klaviyo's own; an attribute of null leaves one out. properties: your own, by the names segments will use.
# Attributes: kustomer-klaviyo mapping show --available. Types: text, number, date, boolean, list.
"""


class MappingFileError(ValueError):
    """A mapping file is wrong; the text names the line of the first mistake."""


def read_mapping_file(text: str) -> dict[str, Any]:
    """Return the mapping that a file holds. Raises MappingFileError naming the line of the first mistake."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise MappingFileError(f"line {mark.line + 1 if mark else 1}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise MappingFileError(f"line 1: not YAML: {error}") from error
    for line, name in _repeated(root):
        raise MappingFileError(f"line {line}: {name!r} is there twice")
    try:
        read_mapping(document)
    except MappingError as error:
        raise MappingFileError(f"line {_line(root, error.path)}: {error}") from error
    return document or {}


def write_mapping_file(mapping: ProfileMapping) -> str:
    """Return a mapping as a file that can be edited and set again."""
    fields = {entry.target: _attribute(entry) for entry in mapping.entries if not entry.target.startswith(PROPERTY)}
    # What was left out of the default must be told, or it would come back when the file is set.
    fields |= {target: None for target in DEFAULT_FIELDS if target not in fields}
    properties: dict[str, Any] = {
        entry.target.removeprefix(PROPERTY): _attribute(entry)
        for entry in mapping.entries
        if entry.target.startswith(PROPERTY)
    }
    if ID_PROPERTY not in properties:
        properties[ID_PROPERTY] = None
    document = {"fields": fields, "properties": properties}
    return HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _attribute(entry: Entry) -> Any:
    """Return an entry in its shortest form: the type is named where it does not follow from the attribute."""
    name, section = entry.target.removeprefix(PROPERTY), "fields"
    if entry.target.startswith(PROPERTY):
        section = "properties"
    if name == ID_PROPERTY and entry.source == "id":
        return "id"
    plain = read_mapping({section: {name: entry.source}})
    natural = next(one.type for one in plain.entries if one.target == entry.target)
    return entry.source if natural == entry.type else {"from": entry.source, "type": entry.type}


def _line(root: yaml.Node | None, path: tuple[str, ...]) -> int:
    """Return the line on which the innermost known part of a path stands."""
    line, node = 1, root
    for step in path:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if str(key.value) == step:
                line, node = key.start_mark.line + 1, value
                break
    return line


def _repeated(root: yaml.Node | None) -> Iterator[tuple[int, str]]:
    waiting, met = [root], set[int]()
    while waiting:
        node = waiting.pop(0)
        if id(node) in met:
            continue
        met.add(id(node))
        seen: set[str] = set()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
            waiting.append(value)
