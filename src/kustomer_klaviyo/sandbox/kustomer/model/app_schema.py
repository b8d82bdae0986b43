"""Validation of app definitions against the closed schema.

Rules: developer.kustomer.com/docs/apps/app-definition
"""

import re

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal

KEYS = frozenset({
    "app", "version", "title", "identifier", "visibility", "description", "instructions", "postInstallMessage",
    "iconUrl", "screenshots", "installUrl", "appDetails", "tags", "changelog", "dependencies", "roles", "redirectUris",
    "auth", "settings", "settingsPageConfig", "klasses", "kviews", "widgets", "hooks", "triggers", "actions",
    "workflows", "commands", "outboundWebhooks", "i18n", "cards", "dataSubscriptions",
})  # fmt: skip
"""The schema is closed: registration fails with any other key."""

COMMAND_KEYS = frozenset({
    "name", "displayName", "description", "permittedArgs", "url", "httpMethod", "auditLogging", "cacheSeconds",
    "appSettings", "appAccountName", "inputSchema", "outputSchema",
})  # fmt: skip
KVIEW_KEYS = frozenset({"name", "resource", "context", "template", "meta"})
SETTING_KEYS = frozenset({"type", "defaultValue", "required", "description", "hidden"})
CONTEXTS = ("smartbar-card", "smartbar-details", "expanded-timeline", "create-form")
NAME = re.compile(r"[a-z0-9_]+\Z", re.IGNORECASE)
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.]+)?\Z")


def validate_definition(definition: Document) -> None:
    """Raise KustomerRefusal (400) unless the definition is valid."""
    unknown = set(definition) - KEYS
    if unknown:
        raise _invalid(f"additional property {min(unknown)!r} is not allowed")
    for name in ("app", "version", "title"):
        if not isinstance(definition.get(name), str) or not definition[name]:
            raise _invalid(f"{name} is required")
    if not NAME.match(definition["app"]):
        raise _invalid("app must hold letters, digits and underscores only")
    if not VERSION.match(definition["version"]):
        raise _invalid("version must be a semantic version")
    for command in _objects(definition, "commands"):
        _check_command(command)
    for view in _objects(definition, "kviews"):
        _check_view(view)
    for settings in definition.get("settings", {}).values():
        for setting in settings.values():
            _check_setting(setting)


def _check_command(command: Document) -> None:
    if set(command) - COMMAND_KEYS or not {"name", "url", "httpMethod"} <= set(command):
        raise _invalid("a command needs name, url and httpMethod, and allows no unknown keys")
    seconds = command.get("cacheSeconds", 15)
    if not isinstance(seconds, int) or not 15 <= seconds <= 600:
        raise _invalid("cacheSeconds must be from 15 to 600")


def _check_view(view: Document) -> None:
    if set(view) - KVIEW_KEYS or not {"name", "resource", "context", "template"} <= set(view):
        raise _invalid("a kview has name, resource, context, template and meta")
    if view["context"] not in CONTEXTS:
        raise _invalid(f"{view['context']!r} is not a valid context")


def _check_setting(setting: Document) -> None:
    if set(setting) - SETTING_KEYS or not {"type", "defaultValue"} <= set(setting):
        raise _invalid("a setting has type, defaultValue, required, description and hidden")
    if setting["type"] not in ("string", "number", "boolean", "secret"):
        raise _invalid(f"{setting['type']!r} is not a valid type of setting")


def _objects(definition: Document, key: str) -> list[Document]:
    objects = definition.get(key, [])
    if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
        raise _invalid(f"{key} must be a list of objects")
    return objects


def _invalid(detail: str) -> KustomerRefusal:
    return KustomerRefusal(400, "badparam", "Invalid app definition", detail=detail)
