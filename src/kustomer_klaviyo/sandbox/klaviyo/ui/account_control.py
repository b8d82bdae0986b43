"""Control API of the simulated account: state, keys, refused attributes, marketing history. It needs no key."""

from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.klaviyo.account_options import SCOPES
from kustomer_klaviyo.sandbox.klaviyo.api.account_state import (
    ACCESS,
    ACCOUNT,
    FAULTS,
    JOBS,
    REQUEST_COUNTS,
    RESPONSE_COUNTS,
)
from kustomer_klaviyo.sandbox.klaviyo.api.resources import profile_resource
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OLDEST
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event
from kustomer_klaviyo.sandbox.klaviyo.model.seed_history import seed_profile
from kustomer_klaviyo.sandbox.klaviyo.validation.configured_refusals import RefusedAttribute


def install_control(app: web.Application) -> None:
    """Add the control routes to the application."""
    app.router.add_get(f"{CONTROL_PREFIX}/state", _get_state)
    app.router.add_get(f"{CONTROL_PREFIX}/events", _list_events)
    app.router.add_get(f"{CONTROL_PREFIX}/profiles", _list_profiles)
    app.router.add_put(f"{CONTROL_PREFIX}/keys", _put_keys)
    app.router.add_put(f"{CONTROL_PREFIX}/refused-attributes", _put_refused_attributes)
    app.router.add_post(f"{CONTROL_PREFIX}/seed-history", _seed_history)
    app.router.add_post(f"{CONTROL_PREFIX}/reset", _reset)


async def _get_state(request: web.Request) -> web.Response:
    app, account = request.app, request.app[ACCOUNT]
    requests, responses = app[REQUEST_COUNTS], app[RESPONSE_COUNTS]
    return web.json_response(
        {
            "events": len(account.events),
            "profiles": len(account.profiles.by_id),
            "metrics": [metric.name for metric in account.metrics.values()],
            "dropped_duplicates": account.counts["dropped_duplicates"],
            "dropped_test_addresses": account.counts["dropped_test_addresses"],
            "dropped_unknown_profiles": account.counts["dropped_unknown_profiles"],
            "merged_profiles": account.counts["merged_profiles"],
            "erased_profiles": account.counts["erased_profiles"],
            "requests": dict(requests),
            "responses": dict(responses),
        }
    )


async def _list_events(request: web.Request) -> web.Response:
    """Return the events stored after number ``since``, in order of arrival."""
    since = request.query.get("since", "0")
    if not (since.isascii() and since.isdigit() and len(since) < 19):
        return web.json_response({"error": "since must be the number of an event, or 0"}, status=400)
    rows = [_event_row(event) for event in request.app[ACCOUNT].events[int(since) :]]
    return web.Response(body=msgspec.json.encode(rows), content_type="application/json")


async def _list_profiles(request: web.Request) -> web.Response:
    """Return every profile with all attributes, in one response."""
    resources = [profile_resource(profile, "", OLDEST) for profile in request.app[ACCOUNT].profiles.by_id.values()]
    rows = [resource["attributes"] | {"id": resource["id"]} for resource in resources]
    return web.Response(body=msgspec.json.encode(rows), content_type="application/json")


def _event_row(event: Event) -> dict[str, Any]:
    return {
        "number": event.number,
        "metric": event.metric.name,
        "unique_id": event.unique_id,
        "email": event.profile.attributes.get("email"),
        "phone_number": event.profile.attributes.get("phone_number"),
        "profile_id": event.profile.id,
        "properties": event.properties,
        "datetime": event.time,
        "backfill": event.backfill,
        "received_at": event.received_at,
        "request": event.request,
    }


async def _seed_history(request: web.Request) -> web.Response:
    """Add a marketing history to every profile, or to the profile of ``?email=``."""
    account, email = request.app[ACCOUNT], request.query.get("email")
    candidates = account.profiles.by_id.values() if email is None else [account.profiles.owner("email", email)]
    profiles = [profile for profile in candidates if profile is not None]
    for profile in profiles:
        seed_profile(account, profile)
    return web.json_response({"seeded": len(profiles)})


async def _put_keys(request: web.Request) -> web.Response:
    """Replace the accepted keys: ``{key: [scopes]}``; ``"*"`` means every scope."""
    try:
        keys = msgspec.json.decode(await request.read(), type=dict[str, list[str]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[ACCESS].keys = {key: SCOPES if "*" in scopes else frozenset(scopes) for key, scopes in keys.items()}
    return web.Response(status=204)


async def _put_refused_attributes(request: web.Request) -> web.Response:
    """Replace the attributes that are refused: ``[{"attribute": "location/timezone"}]``."""
    try:
        refused = msgspec.json.decode(await request.read(), type=list[RefusedAttribute])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[ACCOUNT].refusals.refused_attributes = refused
    return web.Response(status=204)


async def _reset(request: web.Request) -> web.Response:
    """Remove all data, counts and faults, and restore the initial keys."""
    app = request.app
    app[JOBS].clear()
    app[ACCOUNT].reset()
    app[ACCESS].reset()
    app[REQUEST_COUNTS].clear()
    app[RESPONSE_COUNTS].clear()
    app[FAULTS].clear()
    return web.Response(status=204)
