"""Apps of the simulated organisation: what is registered in which versions, what is installed, settings.

Rules: developer.kustomer.com/docs/apps/register-and-install, .../versioning and .../settings
"""

from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal
from kustomer_klaviyo.sandbox.kustomer.model.app_schema import check
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

PLACEHOLDER = "********"
"""What the API shows of a secret."""


@dataclass
class Apps:
    """What is registered and installed, and the values of the settings."""

    org_id: str
    registered: dict[str, list[Document]] = field(default_factory=dict)
    """Every version of each app, the oldest first: versions are permanent."""
    installed: dict[str, Document] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    """Settings by their whole names: app.category.name."""

    def register(self, definition: Document) -> Document:
        """Take a definition, with every name suffixed for the organisation. Raises Refusal (400, 409)."""
        check(definition)
        plain = str(definition["app"]).removesuffix(f"_{self.org_id}")
        suffixed: Document = _renamed(definition, plain, f"{plain}_{self.org_id}")
        versions = self.registered.setdefault(suffixed["app"], [])
        if versions:
            _check_version(suffixed, versions)
        versions.append(suffixed)
        return suffixed

    def install(self, app: str, version: str) -> Document:
        """Install a registered version, or upgrade to it. Raises Refusal."""
        found = next((one for one in self.registered.get(app, []) if one["version"] == version), None)
        if found is None:
            raise Refusal(404, "notfound", "No such app and version is registered")
        self.installed[app] = found
        for category, settings in found.get("settings", {}).items():
            for name, setting in settings.items():
                self.values.setdefault(f"{app}.{category}.{name}", setting["defaultValue"])
        return found

    def setting(self, app: str, category: str, name: str) -> Document:
        """Return the definition of a setting. Raises Refusal (404)."""
        found = self.installed.get(app, {}).get("settings", {}).get(category, {}).get(name)
        if not isinstance(found, dict):
            raise Refusal(404, "notfound", "No such setting")
        return found

    def command(self, name: str) -> Document:
        """Return a command of an installed app. Raises Refusal (404)."""
        for definition in self.installed.values():
            for command in definition.get("commands", []):
                if command["name"] == name:
                    return dict(command)
        raise Refusal(404, "notfound", "No such command is installed")

    def kviews(self) -> list[Document]:
        """Return the views that installed apps add to a customer's panel."""
        views = [view for definition in self.installed.values() for view in definition.get("kviews", [])]
        return [view for view in views if view["context"] == "smartbar-card" and view["resource"] == "customer"]

    def forget(self) -> None:
        """Have no app."""
        for held in (self.registered, self.installed, self.values):
            held.clear()


def _check_version(definition: Document, versions: list[Document]) -> None:
    latest, version = versions[-1], definition["version"]
    if any(one["version"] == version for one in versions):
        raise Refusal(409, "conflict", "This version has already been registered. Please increment the version.")
    if _parts(version) <= _parts(latest["version"]):
        detail = f"Cannot register outdated version. Version must be greater than {latest['version']}."
        raise Refusal(400, "badparam", detail)
    if definition.get("roles") != latest.get("roles") and _parts(version)[0] == _parts(latest["version"])[0]:
        detail = "Roles do not match that of the previous version, a major version bump is required"
        raise Refusal(400, "badparam", detail)


def _parts(version: str) -> tuple[int, int, int]:
    major, minor, patch = (int(part) for part in version.split("-", maxsplit=1)[0].split("."))
    return major, minor, patch


def _renamed(value: Any, plain: str, suffixed: str) -> Any:
    """Give every component the organisation's suffix; texts that only mention the name stay as they are."""
    if isinstance(value, dict):
        return {_name(key, plain, suffixed): _renamed(one, plain, suffixed) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, plain, suffixed) for one in value]
    return _name(value, plain, suffixed) if isinstance(value, str) else value


def _name(text: str, plain: str, suffixed: str) -> str:
    begins = text == plain or text.startswith(f"{plain}.")
    return suffixed + text[len(plain) :] if begins else text
