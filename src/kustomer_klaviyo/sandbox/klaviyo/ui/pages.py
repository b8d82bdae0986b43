"""A look into the simulated account for people: the latest events, and one profile's."""

from html import escape
from itertools import islice

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT, OPTIONS
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event, Profile

SHOWN = 100
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
    """Put the pages into the application."""
    app.router.add_get("/", _latest)
    app.router.add_get("/profile/{id}", _profile)
    for kind in ("list", "segment", "campaign", "flow"):
        app.router.add_get(f"/{kind}/{{id}}", _thing)


async def _latest(request: web.Request) -> web.Response:
    account = request.app[ACCOUNT]
    rows = "".join(_row(event) for event in islice(reversed(account.events_by_id.values()), SHOWN))
    body = (
        f"<p>{len(account.events_by_id)} events, {len(account.people.profiles)} profiles, "
        f"{len(account.metrics)} metrics. "
        f"The latest {SHOWN}, the newest first; the page renews itself.</p>{_table(rows)}"
    )
    return _page(request, "Events", body, renew=True)


async def _profile(request: web.Request) -> web.Response:
    profile = request.app[ACCOUNT].people.profiles.get(request.match_info["id"])
    if profile is None:
        raise web.HTTPNotFound
    events = request.app[ACCOUNT].events_by_profile.get(profile.id, [])
    facts = {name: value for name, value in profile.attributes.items() if value} | profile.location | profile.properties
    listed = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    rows = "".join(_row(event) for event in sorted(events, key=lambda event: event.time, reverse=True))
    return _page(request, _name(profile), f"<dl>{listed}</dl>{_table(rows)}", renew=True)


async def _thing(request: web.Request) -> web.Response:
    """Show a list, a segment, a campaign or a flow, with the people in it."""
    account, one = request.app[ACCOUNT], request.match_info["id"]
    marketing = account.marketing
    audience = marketing.lists.get(one) or marketing.segments.get(one)
    if audience is not None:
        everybody = account.people.profiles.values()
        meets = audience.meets
        inside = [who for who in everybody if (one in who.lists if meets is None else meets(who))]
        listed = "".join(f'<li><a href="/profile/{who.id}">{escape(_name(who))}</a></li>' for who in inside[:SHOWN])
        return _page(request, audience.name, f"<p>{len(inside)} people</p><ul>{listed}</ul>", renew=True)
    sent = marketing.campaigns.get(one) or marketing.flows.get(one)
    if sent is None:
        raise web.HTTPNotFound
    messages = "".join(f"<li>{escape(each.subject or each.name)}</li>" for each in sent.messages)
    return _page(request, sent.name, f"<ul>{messages}</ul>", renew=False)


def _name(profile: Profile) -> str:
    return str(profile.attributes.get("email") or profile.attributes.get("phone_number") or profile.id)


def _table(rows: str) -> str:
    return (
        "<table><thead><tr><th scope=col>Time</th><th scope=col>Metric</th><th scope=col>Profile</th>"
        f"<th scope=col>Properties</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(event: Event) -> str:
    properties = "<br>".join(f"{escape(name)}: {escape(str(value))}" for name, value in event.properties.items())
    return (
        f"<tr><td>{event.time:%Y-%m-%d %H:%M:%S}</td><td>{escape(event.metric.name)}</td>"
        f'<td><a href="/profile/{event.profile.id}">{escape(_name(event.profile))}</a></td>'
        f"<td><code>{properties}</code></td></tr>"
    )


def _page(request: web.Request, title: str, body: str, *, renew: bool) -> web.Response:
    options = request.app[OPTIONS]
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - simulated Klaviyo</title>'
        f'<meta name="viewport" content="width=device-width">{"<meta http-equiv=refresh content=2>" if renew else ""}'
        f'<style>{STYLE}</style></head><body><header><a href="/">Simulated Klaviyo</a> - '
        f"{escape(options.organization_name)} ({escape(options.site_id)})</header><main><h1>{escape(title)}</h1>{body}"
        "</main></body></html>"
    )
    return web.Response(text=text, content_type="text/html")
