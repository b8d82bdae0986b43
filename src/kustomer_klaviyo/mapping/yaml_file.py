"""Reads and writes a mapping as a YAML file; errors name the line."""

from collections.abc import Iterator
from typing import Any

import yaml

from kustomer_klaviyo.klaviyo.profile_request import PROPERTY
from kustomer_klaviyo.mapping.profile_mapping import (
    DEFAULT_FIELDS,
    ID_PROPERTY,
    MappingEntry,
    MappingError,
    ProfileMapping,
    parse_mapping,
)

HEADER = """\
# Maps attributes of a Kustomer customer to the Klaviyo profile.
# fields: fields of Klaviyo; null leaves one out. properties: custom properties, by the names that segments use.
# Attributes: kustomer-klaviyo mapping show --available. Types: text, number, date, boolean, list.
"""


class MappingFileError(ValueError):
    """A mapping file is invalid; the text names the line of the first error."""


def read_mapping_file(text: str) -> dict[str, Any]:
    """Return the mapping in a file. Raises MappingFileError, which names the line of the first error."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise MappingFileError(f"line {mark.line + 1 if mark else 1}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise MappingFileError(f"line 1: not YAML: {error}") from error
    for line, name in _duplicate_keys(root):
        raise MappingFileError(f"line {line}: {name!r} is defined twice")
    try:
        parse_mapping(document)
    except MappingError as error:
        raise MappingFileError(f"line {_line(root, error.path)}: {error}") from error
    return document or {}


def write_mapping_file(mapping: ProfileMapping) -> str:
    """Return a mapping as a file to edit."""
    fields = {entry.target: _attribute(entry) for entry in mapping.entries if not entry.target.startswith(PROPERTY)}
    # A default field that was left out must be null, or it would reappear when the file is set.
    fields |= {target: None for target in DEFAULT_FIELDS if target not in fields}
    properties: dict[str, Any] = {
        entry.target.removeprefix(PROPERTY): _attribute(entry)
        for entry in mapping.entries
        if entry.target.startswith(PROPERTY)
    }
    if ID_PROPERTY not in properties:
        properties[ID_PROPERTY] = None
    document = {"fields": fields, "properties": properties}
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _attribute(entry: MappingEntry) -> Any:
    """Return an entry in its shortest form: with a type only if it differs from the attribute's default."""
    name, section = entry.target.removeprefix(PROPERTY), "fields"
    if entry.target.startswith(PROPERTY):
        section = "properties"
    if name == ID_PROPERTY and entry.source == "id":
        return "id"
    plain = parse_mapping({section: {name: entry.source}})
    default_type = next(parsed.type for parsed in plain.entries if parsed.target == entry.target)
    return entry.source if default_type == entry.type else {"from": entry.source, "type": entry.type}


def _line(root: yaml.Node | None, path: tuple[str, ...]) -> int:
    """Return the line of the innermost known part of a path."""
    line, node = 1, root
    for step in path:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if str(key.value) == step:
                line, node = key.start_mark.line + 1, value
                break
    return line


def _duplicate_keys(root: yaml.Node | None) -> Iterator[tuple[int, str]]:
    queue, visited = [root], set[int]()
    while queue:
        node = queue.pop(0)
        if id(node) in visited:
            continue
        visited.add(id(node))
        names: set[str] = set()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in names:
                yield key.start_mark.line + 1, key.value
            names.add(key.value)
            queue.append(value)
