"""The Kustomer app that brings the card: its definition, made of the connection's name and addresses. Pure.

Rules: developer.kustomer.com/docs/apps/app-definition (the schema is closed: an unknown key is refused),
.../kustomer-apps-platform/docs/private-app-namespacing, .../docs/apps/versioning, .../docs/apps/kviews
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Form = Literal["hosted", "native"]
"""``hosted``: our page in a frame, with the Cards SDK. ``native``: a view that Kustomer renders itself."""

CATEGORY, SECRET = "default", "cardSecret"
CACHE_SECONDS = 15
FIRST_VERSION = "1.0.0"
NATIVE_TEMPLATE = Path(__file__).parent / "native_card.jsx"

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)\Z")


@dataclass(frozen=True, slots=True)
class AppNames:
    """What the app and its parts are called in one organisation.

    A private app's name gets the organisation's id behind it, and so do the names of all its parts; they are given so
    from the start, since the page must know the command's final name.
    """

    app: str

    @property
    def command(self) -> str:
        """The command that asks us for a card."""
        return f"{self.app}.app.insight"

    @property
    def view(self) -> str:
        """The card itself."""
        return f"{self.app}.app.insight_card"

    @property
    def secret(self) -> str:
        """The setting that holds the card's secret."""
        return f"{self.app}.{CATEGORY}.{SECRET}"


def app_names(connection_id: str, org_id: str) -> AppNames:
    """Name the app of a connection: letters, digits and underscores only."""
    return AppNames(f"kustomer_klaviyo_{connection_id.replace('-', '_')}_{org_id}")


def app_definition(
    connection_id: str, org_id: str, *, public_url: str, version: str = FIRST_VERSION, form: Form = "hosted"
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
        "settings": {
            CATEGORY: {
                SECRET: {
                    "type": "secret",
                    "defaultValue": "",
                    "required": True,
                    "hidden": False,
                    "description": "By this the integration knows that it is Kustomer who asks for a card.",
                }
            }
        },
        "commands": [
            {
                "name": names.command,
                "displayName": "Klaviyo insight of a customer",
                "permittedArgs": ["customer"],
                "url": f"{url}/{connection_id}/customers/{{{{{{customer}}}}}}",
                "httpMethod": "post",
                "auditLogging": True,
                "cacheSeconds": CACHE_SECONDS,
                "appSettings": {SECRET: {"key": names.secret}},
                "inputSchema": {},
                "outputSchema": {},
            }
        ],
        "kviews": [
            {
                "name": names.view,
                "resource": "customer",
                "context": "smartbar-card",
                "template": _template(names, f"{url}/{connection_id}", form),
                "meta": {"displayName": "Klaviyo", "icon": "envelope", "state": "open"},
            }
        ],
        "i18n": {
            "en_us": {
                f"{names.app}.settings.page.title": "Klaviyo insight",
                f"{names.app}.settings.page.description": "Set by `kustomer-klaviyo app install`.",
                f"{names.app}.settings.path.{CATEGORY}.{SECRET}.displayName": "Secret of the card",
                f"{names.app}.settings.path.{CATEGORY}.{SECRET}.description": "Put in by the integration itself.",
            }
        },
    }


def _template(names: AppNames, page: str, form: Form) -> str:
    if form == "native":
        return NATIVE_TEMPLATE.read_text().replace("__COMMAND__", names.command)
    return f'<DynamicCard src="{page}?command={names.command}" context={{object.context}} fillToWidth noPadding />'


def digest(definition: dict[str, Any]) -> str:
    """Return a short text that changes whenever the definition does, whatever its version."""
    content = {name: value for name, value in definition.items() if name != "version"}
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


def next_version(version: str) -> str:
    """Return the version after one. Minor: Kustomer may bring it to the organisation by itself."""
    parts = _VERSION.match(version)
    if parts is None:
        return FIRST_VERSION
    return f"{parts.group(1)}.{int(parts.group(2)) + 1}.0"


def latest_version(versions: list[str]) -> str | None:
    """Return the highest of some versions; None when there is none to be read."""
    read = [tuple(int(part) for part in found.groups()) for one in versions if (found := _VERSION.match(one))]
    return ".".join(map(str, max(read))) if read else None
