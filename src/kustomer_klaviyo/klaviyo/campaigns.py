"""Campaigns in each of their shapes: one adapter per shape, for what we read of them. Pure.

They became another resource with revision 2026-10-15 (developers.klaviyo.com/en/docs/changelog_). The shape is told by
what comes, not by the revision that was asked for: Klaviyo may answer by a later one. Their messages changed with
2025-01-15 too; what is older is retired.
"""

from collections.abc import Mapping
from typing import Any

OMNI_CAMPAIGNS = "2026-10-15"
"""The revision since which a campaign says what it is in its ``definition``."""


def campaign_name(attributes: Mapping[str, Any]) -> Any:
    """Return what a campaign is called, as it came."""
    definition = attributes.get("definition")
    return _since_omni(definition) if isinstance(definition, Mapping) else _before_omni(attributes)


def _before_omni(attributes: Mapping[str, Any]) -> Any:
    return attributes.get("name")


def _since_omni(definition: Mapping[str, Any]) -> Any:
    return definition.get("name")


def campaigns_path(revision: str) -> str:
    """Return the path that lists campaigns: the filter on their channel is needed before, and unknown since."""
    if revision >= OMNI_CAMPAIGNS:
        return "/api/campaigns?page[size]=1&fields[campaign]=definition"
    return "/api/campaigns?filter=equals(messages.channel,'email')&page[size]=1&fields[campaign]=name"
