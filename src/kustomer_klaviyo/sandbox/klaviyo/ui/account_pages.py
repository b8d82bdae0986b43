"""Web pages of the simulated account: latest events, profiles, lists, segments, campaigns, flows."""

from html import escape
from itertools import islice

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT, OPTIONS
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event, Profile

MAX_ROWS = 100
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1d1e20;background:#f7f5f2}
header{background:#232426;color:#fff;padding:.8rem 1.2rem}header a{color:#fff}
main{padding:1rem 1.2rem;max-width:72rem;margin:auto}
table{border-collapse:collapse;width:100%;background:#fff}th,td{text-align:left;padding:.4rem .7rem;vertical-align:top;
border-bottom:1px solid #e4e0da}th{font-weight:600;background:#fbfaf8}code{font-size:.85em;color:#555;
overflow-wrap:anywhere}td:first-child{white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{color:#666}dd{margin:0}
"""


def install_pages(app: web.Application) -> None:
    """Add the pages to the application."""
    app.router.add_get("/", _events_page)
    app.router.add_get("/profile/{id}", _profile_page)
    for kind in ("list", "segment", "campaign", "flow"):
        app.router.add_get(f"/{kind}/{{id}}", _marketing_page)


async def _events_page(request: web.Request) -> web.Response:
    account = request.app[ACCOUNT]
    rows = "".join(_row(event) for event in islice(reversed(account.events_by_id.values()), MAX_ROWS))
    body = (
        f"<p>{len(account.events_by_id)} events, {len(account.profiles.by_id)} profiles, "
        f"{len(account.metrics)} metrics. "
        f"Latest {MAX_ROWS}, newest first. This page refreshes itself.</p>{_table(rows)}"
    )
    return _page(request, "Events", body, refresh=True)


async def _profile_page(request: web.Request) -> web.Response:
    profile = request.app[ACCOUNT].profiles.by_id.get(request.match_info["id"])
    if profile is None:
        raise web.HTTPNotFound
    events = request.app[ACCOUNT].events_by_profile.get(profile.id, [])
    values = (
        {name: value for name, value in profile.attributes.items() if value} | profile.location | profile.properties
    )
    items = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in values.items())
    rows = "".join(_row(event) for event in sorted(events, key=lambda event: event.time, reverse=True))
    return _page(request, _name(profile), f"<dl>{items}</dl>{_table(rows)}", refresh=True)


async def _marketing_page(request: web.Request) -> web.Response:
    """Show a list or segment with its profiles, or a campaign or flow with its messages."""
    account, resource_id = request.app[ACCOUNT], request.match_info["id"]
    marketing = account.marketing
    audience = marketing.lists.get(resource_id) or marketing.segments.get(resource_id)
    if audience is not None:
        members = [profile for profile in account.profiles.by_id.values() if audience.has(profile)]
        items = "".join(f"<li>{_profile_link(profile)}</li>" for profile in members[:MAX_ROWS])
        return _page(request, audience.name, f"<p>{len(members)} profiles</p><ul>{items}</ul>", refresh=True)
    sent = marketing.campaigns.get(resource_id) or marketing.flows.get(resource_id)
    if sent is None:
        raise web.HTTPNotFound
    messages = "".join(f"<li>{escape(message.subject or message.name)}</li>" for message in sent.messages)
    return _page(request, sent.name, f"<ul>{messages}</ul>", refresh=False)


def _name(profile: Profile) -> str:
    return str(profile.attributes.get("email") or profile.attributes.get("phone_number") or profile.id)


def _profile_link(profile: Profile) -> str:
    return f'<a href="/profile/{profile.id}">{escape(_name(profile))}</a>'


def _table(rows: str) -> str:
    return (
        "<table><thead><tr><th scope=col>Time</th><th scope=col>Metric</th><th scope=col>Profile</th>"
        f"<th scope=col>Properties</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(event: Event) -> str:
    properties = "<br>".join(f"{escape(name)}: {escape(str(value))}" for name, value in event.properties.items())
    return (
        f"<tr><td>{event.time:%Y-%m-%d %H:%M:%S}</td><td>{escape(event.metric.name)}</td>"
        f"<td>{_profile_link(event.profile)}</td>"
        f"<td><code>{properties}</code></td></tr>"
    )


def _page(request: web.Request, title: str, body: str, *, refresh: bool) -> web.Response:
    options = request.app[OPTIONS]
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - simulated Klaviyo</title>'
        f'<meta name="viewport" content="width=device-width">{"<meta http-equiv=refresh content=2>" if refresh else ""}'
        f'<style>{STYLE}</style></head><body><header><a href="/">Simulated Klaviyo</a> - '
        f"{escape(options.organization_name)} ({escape(options.site_id)})</header><main><h1>{escape(title)}</h1>{body}"
        "</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html")
