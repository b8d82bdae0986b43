"""The definition of the Kustomer app that shows the card, from the connection's name and addresses. Pure.

Rules: developer.kustomer.com/docs/apps/app-definition (the schema is closed: an unknown key is refused),
.../kustomer-apps-platform/docs/private-app-namespacing, .../docs/apps/versioning, .../docs/apps/kviews
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

CardForm = Literal["hosted", "native"]
"""``hosted``: a page of this program in a frame, with the Cards SDK. ``native``: a view that Kustomer renders."""

CATEGORY, SECRET = "default", "cardSecret"
CACHE_SECONDS = 15
INITIAL_VERSION = "1.0.0"
NATIVE_TEMPLATE = Path(__file__).parent / "native_card.jsx"

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)\Z")


@dataclass(frozen=True, slots=True)
class AppNames:
    """The names of the app and its parts in one organisation.

    Kustomer appends the organisation's id to the name of a private app and of its parts. They have it from the start,
    since the page must know the command's final name.
    """

    app: str

    @property
    def command(self) -> str:
        """The command that fetches a card."""
        return f"{self.app}.app.insight"

    @property
    def view(self) -> str:
        """The card's view."""
        return f"{self.app}.app.insight_card"

    @property
    def secret(self) -> str:
        """The setting with the card's secret."""
        return f"{self.app}.{CATEGORY}.{SECRET}"


def app_names(connection_id: str, org_id: str) -> AppNames:
    """Return the names of a connection's app: letters, digits and underscores only."""
    return AppNames(f"kustomer_klaviyo_{connection_id.replace('-', '_')}_{org_id}")


def app_definition(
    connection_id: str, org_id: str, *, public_url: str, version: str = INITIAL_VERSION, form: CardForm = "hosted"
) -> dict[str, Any]:
    """Return the definition to register."""
    names = app_names(connection_id, org_id)
    url = f"{public_url.rstrip('/')}/card"
    return {
        "app": names.app,
        "version": version,
        "title": "Klaviyo insight",
        "visibility": "private",
        "description": "What Klaviyo knows of a customer: consent, campaigns, lists and segments, on the timeline.",
        "iconUrl": f"{url}/assets/icon.svg",
        "appDetails": {
            "appDeveloper": {"name": "kustomer-klaviyo"},
            "externalPlatform": {"name": "Klaviyo", "website": "https://www.klaviyo.com"},
        },
        "settings": {CATEGORY: {SECRET: _SECRET_SETTING}},
        "commands": [_command(names, f"{url}/{connection_id}/customers/{{{{{{customer}}}}}}")],
        "kviews": [_view(names, _template(names, f"{url}/{connection_id}", form))],
        "i18n": {"en_us": _texts(names)},
    }


_SECRET_SETTING = {
    "type": "secret",
    "defaultValue": "",
    "required": True,
    "hidden": False,
    "description": "Authenticates Kustomer's requests for a card.",
}


def _command(names: AppNames, url: str) -> dict[str, Any]:
    return {
        "name": names.command,
        "displayName": "Klaviyo insight of a customer",
        "permittedArgs": ["customer"],
        "url": url,
        "httpMethod": "post",
        "auditLogging": True,
        "cacheSeconds": CACHE_SECONDS,
        "appSettings": {SECRET: {"key": names.secret}},
        "inputSchema": {},
        "outputSchema": {},
    }


def _view(names: AppNames, template: str) -> dict[str, Any]:
    return {
        "name": names.view,
        "resource": "customer",
        "context": "smartbar-card",
        "template": template,
        "meta": {"displayName": "Klaviyo", "icon": "envelope", "state": "open"},
    }


def _texts(names: AppNames) -> dict[str, str]:
    return {
        f"{names.app}.settings.page.title": "Klaviyo insight",
        f"{names.app}.settings.page.description": "Set by `kustomer-klaviyo app install`.",
        f"{names.app}.settings.path.{CATEGORY}.{SECRET}.displayName": "Secret of the card",
        f"{names.app}.settings.path.{CATEGORY}.{SECRET}.description": "Set by the integration.",
    }


def _template(names: AppNames, page: str, form: CardForm) -> str:
    if form == "native":
        return NATIVE_TEMPLATE.read_text().replace("__COMMAND__", names.command)
    return f'<DynamicCard src="{page}?command={names.command}" context={{object.context}} fillToWidth noPadding />'


def digest(definition: dict[str, Any]) -> str:
    """Return a hash of the definition without its version."""
    content = {name: value for name, value in definition.items() if name != "version"}
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


def next_version(version: str) -> str:
    """Return the next minor version, which Kustomer may roll out to the organisation by itself."""
    parts = _VERSION.match(version)
    if parts is None:
        return INITIAL_VERSION
    return f"{parts.group(1)}.{int(parts.group(2)) + 1}.0"


def latest_version(versions: list[str]) -> str | None:
    """Return the highest version; None if none can be parsed."""
    matches = filter(None, map(_VERSION.match, versions))
    parsed = [tuple(int(part) for part in match.groups()) for match in matches]
    return ".".join(map(str, max(parsed))) if parsed else None
