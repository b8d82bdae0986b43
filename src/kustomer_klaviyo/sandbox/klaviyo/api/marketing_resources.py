"""JSON:API resources of lists, segments and flows."""

from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.api.resources import format_time
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience, Flow


def audience_resource(audience: Audience, base: str) -> dict[str, Any]:
    """Return a list or a segment."""
    kind = "list" if audience.condition is None else "segment"
    url = f"{base}/api/{kind}s/{audience.id}/"
    created = format_time(audience.created.replace(microsecond=0))
    times = {"created": created, "updated": created}
    extra: dict[str, Any] = (
        {"opt_in_process": "single_opt_in"}
        if kind == "list"
        else {
            "definition": None,
            "is_active": audience.is_active,
            "is_processing": False,
            "is_starred": audience.is_starred,
        }
    )
    relationships = ("profiles", "tags", "flow-triggers")
    return {
        "type": kind,
        "id": audience.id,
        "attributes": {"name": audience.name} | times | extra,
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}}
            for name in relationships
        },
        "links": {"self": url},
    }


def flow_resource(flow: Flow, base: str) -> dict[str, Any]:
    """Return a flow."""
    url = f"{base}/api/flows/{flow.id}/"
    return {
        "type": "flow",
        "id": flow.id,
        "attributes": {
            "name": flow.name,
            "status": flow.status,
            "archived": flow.is_archived,
            "created": format_time(flow.created),
            "updated": format_time(flow.created),
            "trigger_type": flow.trigger_type,
        },
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}}
            for name in ("flow-actions", "tags")
        },
        "links": {"self": url},
    }
