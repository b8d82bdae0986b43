"""How Klaviyo shows what it holds, as JSON:API resources."""

from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.records import Event, Metric, Profile

SHOWN = (
    "email", "phone_number", "external_id", "anonymous_id", "first_name", "last_name", "organization", "locale",
    "title", "image",
)  # fmt: skip
LOCATION = (
    "address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip",
)  # fmt: skip
FIELDS = {
    "account": frozenset(
        {"id", "test_account", "contact_information", "industry", "timezone", "preferred_currency", "public_api_key",
         "locale"}
    ),
    "event": frozenset({"id", "timestamp", "event_properties", "datetime", "uuid"}),
    "metric": frozenset({"id", "name", "created", "updated", "integration"}),
    "profile": frozenset({
        "id", *SHOWN, "created", "updated", "last_event_date", "location", "properties", "subscriptions",
        "predictive_analytics",
    }),
}  # fmt: skip
"""What ``fields[TYPE]`` may name."""

METRIC_CATEGORY = "API"
NEIGHBOURS = ("lists", "segments", "push-tokens", "conversation")


def moment(at: datetime | None) -> str | None:
    """Return a time as Klaviyo writes it."""
    return None if at is None else at.isoformat()


def profile_resource(profile: Profile, base: str) -> dict[str, Any]:
    """Show a profile."""
    url = f"{base}/api/profiles/{profile.id}/"
    attributes = {name: profile.attributes.get(name) for name in SHOWN}
    attributes |= {
        "created": moment(profile.created),
        "updated": moment(profile.updated),
        "last_event_date": moment(profile.last_event),
        "location": {name: profile.location.get(name) for name in LOCATION},
        "properties": profile.properties,
    }
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": attributes,
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}} for name in NEIGHBOURS
        },
        "links": {"self": url},
    }


def metric_resource(metric: Metric, base: str) -> dict[str, Any]:
    """Show a metric."""
    url = f"{base}/api/metrics/{metric.id}/"
    return {
        "type": "metric",
        "id": metric.id,
        "attributes": {
            "name": metric.name,
            "created": moment(metric.created),
            "updated": moment(metric.updated),
            "integration": {
                "object": "integration",
                "id": "7FtS4J",
                "key": metric.integration.lower(),
                "name": metric.integration,
                "category": METRIC_CATEGORY,
            },
        },
        "relationships": {
            "flow-triggers": {
                "links": {"self": f"{url}relationships/flow-triggers/", "related": f"{url}flow-triggers/"}
            }
        },
        "links": {"self": url},
    }


def event_resource(event: Event, base: str) -> dict[str, Any]:
    """Show an event."""
    url = f"{base}/api/events/{event.id}/"
    related = {"profile": event.profile.id, "metric": event.metric.id}
    relationships: dict[str, Any] = {
        name: {
            "data": {"type": name, "id": one},
            "links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"},
        }
        for name, one in related.items()
    }
    relationships["attributions"] = {
        "data": [],
        "links": {"self": f"{url}relationships/attributions/", "related": f"{url}attributions/"},
    }
    return {
        "type": "event",
        "id": event.id,
        "attributes": {
            "timestamp": int(event.time.timestamp()),
            "event_properties": event.properties | {"$event_id": event.unique_id or event.id},
            "datetime": moment(event.time),
            "uuid": f"{event.n:08x}-0000-11ee-8000-{event.n:012x}",
        },
        "relationships": relationships,
        "links": {"self": url},
    }
