"""The sandbox's own routes, beside the vendor's: what it holds, and how it is steered. No key is asked for."""

from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCESS, ACCOUNT, FAULTS, JOBS, SCOPES, TRAFFIC
from kustomer_klaviyo.sandbox.klaviyo.api.resources import profile_resource
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OLDEST
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event
from kustomer_klaviyo.sandbox.klaviyo.model.seed_history import furnish
from kustomer_klaviyo.sandbox.klaviyo.validation.refused_on_request import RefusedAttribute


def install_control(app: web.Application) -> None:
    """Put the control routes into the application."""
    app.router.add_get(f"{CONTROL_PREFIX}/state", _state)
    app.router.add_get(f"{CONTROL_PREFIX}/events", _events)
    app.router.add_get(f"{CONTROL_PREFIX}/profiles", _profiles)
    app.router.add_put(f"{CONTROL_PREFIX}/keys", _put_keys)
    app.router.add_put(f"{CONTROL_PREFIX}/refused", _put_refused)
    app.router.add_post(f"{CONTROL_PREFIX}/furnish", _furnish)
    app.router.add_post(f"{CONTROL_PREFIX}/reset", _reset)


async def _state(request: web.Request) -> web.Response:
    account, traffic = request.app[ACCOUNT], request.app[TRAFFIC]
    return web.json_response(
        {
            "events": len(account.events),
            "profiles": len(account.people.profiles),
            "metrics": [metric.name for metric in account.metrics.values()],
            "dropped_duplicates": account.counts["dropped_duplicates"],
            "dropped_test_addresses": account.counts["dropped_test_addresses"],
            "dropped_unknown_profiles": account.counts["dropped_unknown_profiles"],
            "merged_profiles": account.counts["merged_profiles"],
            "erased_profiles": account.counts["erased_profiles"],
            "requests": {name: n for name, n in traffic.items() if not name.startswith("status ")},
            "answers": {name.removeprefix("status "): n for name, n in traffic.items() if name.startswith("status ")},
        }
    )


async def _events(request: web.Request) -> web.Response:
    """Return the events stored after number ``since``, in the order of arrival."""
    since = request.query.get("since", "0")
    if not (since.isascii() and since.isdigit() and len(since) < 19):
        return web.json_response({"error": "since must be a number of an event, or 0"}, status=400)
    found = request.app[ACCOUNT].events[int(since) :]
    return web.Response(body=msgspec.json.encode([_brief(event) for event in found]), content_type="application/json")


async def _profiles(request: web.Request) -> web.Response:
    """Return every profile, whole and at once, to be held against what was to be there."""
    found = [profile_resource(one, "", OLDEST) for one in request.app[ACCOUNT].people.profiles.values()]
    shown = [one["attributes"] | {"id": one["id"]} for one in found]
    return web.Response(body=msgspec.json.encode(shown), content_type="application/json")


def _brief(event: Event) -> dict[str, Any]:
    return {
        "n": event.n,
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


async def _furnish(request: web.Request) -> web.Response:
    """Give every profile, or that of ``?email=``, a past with marketing."""
    account, email = request.app[ACCOUNT], request.query.get("email")
    chosen = account.people.profiles.values() if email is None else [account.people.holder("email", email)]
    people = [one for one in chosen if one is not None]
    for one in people:
        furnish(account, one)
    return web.json_response({"furnished": len(people)})


async def _put_keys(request: web.Request) -> web.Response:
    """Replace the accepted keys: ``{key: [scopes]}``; ``"*"`` stands for every scope."""
    try:
        wanted = msgspec.json.decode(await request.read(), type=dict[str, list[str]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[ACCESS].keys = {key: SCOPES if "*" in scopes else frozenset(scopes) for key, scopes in wanted.items()}
    return web.Response(status=204)


async def _put_refused(request: web.Request) -> web.Response:
    """Refuse these attributes from now on, and no others: ``[{"attribute": "location/timezone"}]``."""
    try:
        wanted = msgspec.json.decode(await request.read(), type=list[RefusedAttribute])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)
    request.app[ACCOUNT].refusals.ordered = wanted
    return web.Response(status=204)


async def _reset(request: web.Request) -> web.Response:
    """Be as at the start: nothing held or counted, the first keys, no faults."""
    app = request.app
    app[JOBS].clear()
    app[ACCOUNT].reset()
    app[ACCESS].reset()
    app[TRAFFIC].clear()
    app[FAULTS].clear()
    return web.Response(status=204)
