"""How Klaviyo shows what it holds, as JSON:API resources."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.records import Event, ImportJob, Metric, Profile
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import WITHOUT_ANONYMOUS_ID

SHOWN = (
    "email", "phone_number", "external_id", "first_name", "last_name", "organization", "locale", "title", "image",
)  # fmt: skip
LOCATION = (
    "address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip",
)  # fmt: skip
INTEGRATIONS = {"API": ("7FtS4J", "api", "API"), "Klaviyo": ("0rG4eQ", "klaviyo", "Internal")}
"""Who makes metrics: id, key and category."""

IMPORT_KEPT = timedelta(days=7)
"""So long a bulk import can be asked about."""

NEIGHBOURS = ("lists", "segments", "push-tokens")


def moment(at: datetime | None) -> str | None:
    """Return a time as Klaviyo writes it."""
    return None if at is None else at.isoformat()


def profile_resource(profile: Profile, base: str, revision: str, more: Sequence[str] = ()) -> dict[str, Any]:
    """Show a profile as the revision has it, with the additional fields asked for."""
    url = f"{base}/api/profiles/{profile.id}/"
    shown = SHOWN if revision >= WITHOUT_ANONYMOUS_ID else (*SHOWN, "anonymous_id")
    attributes = {name: profile.attributes.get(name) for name in shown}
    attributes |= {
        "created": moment(profile.created),
        "updated": moment(profile.updated),
        "last_event_date": moment(profile.last_event),
        "location": {name: profile.location.get(name) for name in LOCATION},
        "properties": profile.properties,
    }
    attributes |= {name: getattr(profile, name) for name in more}
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": attributes,
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}} for name in NEIGHBOURS
        },
        "links": {"self": url},
    }


def import_job_resource(job: ImportJob, base: str) -> dict[str, Any]:
    """Show a bulk import."""
    url = f"{base}/api/profile-bulk-import-jobs/{job.id}/"
    return {
        "type": "profile-bulk-import-job",
        "id": job.id,
        "attributes": {
            "status": job.status,
            "created_at": moment(job.created_at),
            "total_count": job.total,
            "completed_count": len(job.profiles),
            "failed_count": len(job.errors),
            "completed_at": moment(job.completed_at),
            "expires_at": moment(job.created_at + IMPORT_KEPT),
            "started_at": moment(job.started_at),
        },
        "relationships": {
            "lists": {"links": {"self": f"{url}relationships/lists/", "related": f"{url}lists/"}},
            "profiles": {"links": {"self": f"{url}relationships/profiles/", "related": f"{url}profiles/"}},
            "import-errors": {"links": {"related": f"{url}import-errors/"}},
        },
        "links": {"self": url},
    }


def metric_resource(metric: Metric, base: str) -> dict[str, Any]:
    """Show a metric."""
    url = f"{base}/api/metrics/{metric.id}/"
    number, key, category = INTEGRATIONS[metric.integration]
    return {
        "type": "metric",
        "id": metric.id,
        "attributes": {
            "name": metric.name,
            "created": moment(metric.created),
            "updated": moment(metric.updated),
            "integration": {
                "object": "integration",
                "id": number,
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
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, event.id)),
        },
        "relationships": relationships,
        "links": {"self": url},
    }
