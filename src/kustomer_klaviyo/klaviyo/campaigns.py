"""Reads campaigns of each API revision. Pure.

The resource changed with revision 2026-10-15 (developers.klaviyo.com/en/docs/changelog_). The format is recognised by
the response, not by the requested revision, since Klaviyo may respond with a later one. Campaign messages changed with
2025-01-15; older revisions are retired.
"""

from collections.abc import Mapping
from typing import Any

OMNI_CAMPAIGNS = "2026-10-15"
"""The first revision in which a campaign has a ``definition``."""


def campaign_name(attributes: Mapping[str, Any]) -> Any:
    """Return the name of a campaign, unchecked."""
    definition = attributes.get("definition")
    return _omni_name(definition) if isinstance(definition, Mapping) else _legacy_name(attributes)


def _legacy_name(attributes: Mapping[str, Any]) -> Any:
    return attributes.get("name")


def _omni_name(definition: Mapping[str, Any]) -> Any:
    return definition.get("name")


def campaigns_path(revision: str) -> str:
    """Return the path that lists campaigns. Older revisions require a channel filter; newer ones do not know it."""
    if revision >= OMNI_CAMPAIGNS:
        return "/api/campaigns?page[size]=1&fields[campaign]=definition"
    return "/api/campaigns?filter=equals(messages.channel,'email')&page[size]=1&fields[campaign]=name"
