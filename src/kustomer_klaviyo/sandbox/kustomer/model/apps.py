"""Apps of the simulated organisation: registered versions, installed apps, settings.

Rules: developer.kustomer.com/docs/apps/register-and-install, .../versioning and .../settings
"""

from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.app_schema import validate_definition
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal

PLACEHOLDER = "********"
"""What the API returns in place of a secret."""


@dataclass
class Apps:
    """Registered and installed apps, and the values of their settings."""

    org_id: str
    registered: dict[str, list[Document]] = field(default_factory=dict)
    """Every version of each app, oldest first. Versions are permanent."""
    installed: dict[str, Document] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    """Settings by full name: app.category.name."""

    def register(self, definition: Document) -> Document:
        """Register a definition, with the organisation's suffix in every name. Raises KustomerRefusal (400, 409)."""
        validate_definition(definition)
        name = str(definition["app"]).removesuffix(f"_{self.org_id}")
        suffixed: Document = _add_suffix(definition, name, f"{name}_{self.org_id}")
        versions = self.registered.setdefault(suffixed["app"], [])
        if versions:
            _check_version(suffixed, versions)
        versions.append(suffixed)
        return suffixed

    def install(self, app: str, version: str) -> Document:
        """Install a registered version, or upgrade to it. Raises KustomerRefusal (404)."""
        versions = self.registered.get(app, [])
        definition = next((candidate for candidate in versions if candidate["version"] == version), None)
        if definition is None:
            raise KustomerRefusal(404, "notfound", "No such app and version is registered")
        self.installed[app] = definition
        for category, settings in definition.get("settings", {}).items():
            for name, setting in settings.items():
                self.values.setdefault(f"{app}.{category}.{name}", setting["defaultValue"])
        return definition

    def setting(self, app: str, category: str, name: str) -> Document:
        """Return the definition of a setting. Raises KustomerRefusal (404)."""
        setting = self.installed.get(app, {}).get("settings", {}).get(category, {}).get(name)
        if not isinstance(setting, dict):
            raise KustomerRefusal(404, "notfound", "No such setting")
        return setting

    def command(self, name: str) -> Document:
        """Return a command of an installed app. Raises KustomerRefusal (404)."""
        for definition in self.installed.values():
            for command in definition.get("commands", []):
                if command["name"] == name:
                    return dict(command)
        raise KustomerRefusal(404, "notfound", "No such command is installed")

    def kviews(self) -> list[Document]:
        """Return the views that installed apps add to the customer panel."""
        views = [view for definition in self.installed.values() for view in definition.get("kviews", [])]
        return [view for view in views if view["context"] == "smartbar-card" and view["resource"] == "customer"]

    def reset(self) -> None:
        """Remove every app and setting."""
        for collection in (self.registered, self.installed, self.values):
            collection.clear()


def _check_version(definition: Document, versions: list[Document]) -> None:
    latest, version = versions[-1], definition["version"]
    if any(registered["version"] == version for registered in versions):
        raise KustomerRefusal(
            409, "conflict", "This version has already been registered. Please increment the version."
        )
    if _version_parts(version) <= _version_parts(latest["version"]):
        detail = f"Cannot register outdated version. Version must be greater than {latest['version']}."
        raise KustomerRefusal(400, "badparam", detail)
    is_same_major = _version_parts(version)[0] == _version_parts(latest["version"])[0]
    if definition.get("roles") != latest.get("roles") and is_same_major:
        detail = "Roles do not match that of the previous version, a major version bump is required"
        raise KustomerRefusal(400, "badparam", detail)


def _version_parts(version: str) -> tuple[int, int, int]:
    major, minor, patch = (int(part) for part in version.split("-", maxsplit=1)[0].split("."))
    return major, minor, patch


def _add_suffix(value: Any, name: str, suffixed: str) -> Any:
    """Add the organisation's suffix to the name of every component; texts that only mention the name are kept."""
    if isinstance(value, dict):
        return {_suffixed(key, name, suffixed): _add_suffix(item, name, suffixed) for key, item in value.items()}
    if isinstance(value, list):
        return [_add_suffix(item, name, suffixed) for item in value]
    return _suffixed(value, name, suffixed) if isinstance(value, str) else value


def _suffixed(text: str, name: str, suffixed: str) -> str:
    is_component = text == name or text.startswith(f"{name}.")
    return suffixed + text[len(name) :] if is_component else text
