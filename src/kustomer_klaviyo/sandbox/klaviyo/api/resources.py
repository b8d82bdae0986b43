"""JSON:API resources of profiles, bulk imports, metrics and events."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.records import Event, ImportJob, Metric, Profile
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import WITHOUT_ANONYMOUS_ID

PROFILE_ATTRIBUTES = (
    "email", "phone_number", "external_id", "first_name", "last_name", "organization", "locale", "title", "image",
)  # fmt: skip
LOCATION_FIELDS = (
    "address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip",
)  # fmt: skip
INTEGRATIONS = {"API": ("7FtS4J", "api", "API"), "Klaviyo": ("0rG4eQ", "klaviyo", "Internal")}
"""The integrations that create metrics: id, key and category."""

IMPORT_RETENTION = timedelta(days=7)
"""How long a bulk import can be read."""

PROFILE_RELATIONSHIPS = ("lists", "segments", "push-tokens")


def format_time(at: datetime | None) -> str | None:
    """Format a time as Klaviyo does."""
    return None if at is None else at.isoformat()


def profile_resource(profile: Profile, base: str, revision: str, additional: Sequence[str] = ()) -> dict[str, Any]:
    """Return a profile in the revision's format, with additional fields."""
    url = f"{base}/api/profiles/{profile.id}/"
    names = PROFILE_ATTRIBUTES if revision >= WITHOUT_ANONYMOUS_ID else (*PROFILE_ATTRIBUTES, "anonymous_id")
    attributes = {name: profile.attributes.get(name) for name in names}
    attributes |= {
        "created": format_time(profile.created),
        "updated": format_time(profile.updated),
        "last_event_date": format_time(profile.last_event),
        "location": {name: profile.location.get(name) for name in LOCATION_FIELDS},
        "properties": profile.properties,
    }
    attributes |= {name: getattr(profile, name) for name in additional}
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": attributes,
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}}
            for name in PROFILE_RELATIONSHIPS
        },
        "links": {"self": url},
    }


def import_job_resource(job: ImportJob, base: str) -> dict[str, Any]:
    """Return a bulk import."""
    url = f"{base}/api/profile-bulk-import-jobs/{job.id}/"
    return {
        "type": "profile-bulk-import-job",
        "id": job.id,
        "attributes": {
            "status": job.status,
            "created_at": format_time(job.created_at),
            "total_count": job.total,
            "completed_count": len(job.profiles),
            "failed_count": len(job.errors),
            "completed_at": format_time(job.completed_at),
            "expires_at": format_time(job.created_at + IMPORT_RETENTION),
            "started_at": format_time(job.started_at),
        },
        "relationships": {
            "lists": {"links": {"self": f"{url}relationships/lists/", "related": f"{url}lists/"}},
            "profiles": {"links": {"self": f"{url}relationships/profiles/", "related": f"{url}profiles/"}},
            "import-errors": {"links": {"related": f"{url}import-errors/"}},
        },
        "links": {"self": url},
    }


def metric_resource(metric: Metric, base: str) -> dict[str, Any]:
    """Return a metric."""
    url = f"{base}/api/metrics/{metric.id}/"
    integration_id, key, category = INTEGRATIONS[metric.integration]
    return {
        "type": "metric",
        "id": metric.id,
        "attributes": {
            "name": metric.name,
            "created": format_time(metric.created),
            "updated": format_time(metric.updated),
            "integration": {
                "object": "integration",
                "id": integration_id,
                "key": key,
                "name": metric.integration,
                "category": category,
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
    """Return an event."""
    url = f"{base}/api/events/{event.id}/"
    related_ids = {"profile": event.profile.id, "metric": event.metric.id}
    relationships: dict[str, Any] = {
        name: {
            "data": {"type": name, "id": related_id},
            "links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"},
        }
        for name, related_id in related_ids.items()
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
            "datetime": format_time(event.time),
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, event.id)),
        },
        "relationships": relationships,
        "links": {"self": url},
    }
