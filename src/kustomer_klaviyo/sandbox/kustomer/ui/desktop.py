"""An agent's desktop in the browser: customers, their timeline, and the insight panel with the apps' cards.

What the page may ask is what a signed-in agent may; it is served beside the control routes and asks for no key.
"""

import re
from pathlib import Path
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.api.operation import APPS, OPTIONS, ORGANISATION, shown
from kustomer_klaviyo.sandbox.kustomer.api.routes_apps import run_command
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, answer, json_object, not_found, refuse
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, Message

STATIC = Path(__file__).parent / "static"
LISTED = 100
SRC = re.compile(r'<DynamicCard\s[^>]*?src="([^"]+)"')
MESSAGES_SHOWN = 6


def install_desktop(app: web.Application) -> None:
    """Put the desktop into the application."""
    app.router.add_get("/", _page)
    app.router.add_static("/desktop", STATIC)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/customers", _customers)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/customers/{{id}}", _timeline)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/cards", _cards)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/agent", _agent)
    app.router.add_post(f"{CONTROL_PREFIX}/desktop/commands/{{name}}", _run)


async def _page(request: web.Request) -> web.FileResponse:
    del request
    return web.FileResponse(STATIC / "desktop.html", headers={"Cache-Control": "no-store"})


async def _customers(request: web.Request) -> web.Response:
    """Return the customers who came last, or those whom ``?q=`` names."""
    # Not by activity: in a busy organisation the one about to be clicked on would move away.
    org, wanted = request.app[ORGANISATION], request.query.get("q", "").lower()
    present = [one for one in org.customers.values() if not one["attributes"]["deleted"]]
    found = [one for one in present if wanted in _names(one)]
    found.sort(key=lambda one: str(one["attributes"]["createdAt"]), reverse=True)
    return answer({"customers": [_brief(one) for one in found[:LISTED]], "of": len(present)})


def _names(customer: Document) -> str:
    attributes = customer["attributes"]
    emails = " ".join(str(one.get("email")) for one in attributes.get("emails", []))
    return f"{attributes['displayName']} {emails}".lower()


def _brief(customer: Document) -> Document:
    attributes = customer["attributes"]
    emails = attributes.get("emails") or [{}]
    counts = attributes.get("conversationCounts") or {}
    return {
        "id": customer["id"],
        "name": attributes["displayName"],
        "email": emails[0].get("email"),
        "open": counts.get("open", 0) + counts.get("snoozed", 0),
    }


async def _timeline(request: web.Request) -> web.Response:
    org = request.app[ORGANISATION]
    customer = org.customers.get(request.match_info["id"])
    if customer is None:
        return refuse(not_found("id"))
    held = [org.conversations[one] for one in org.conversations_of[customer["id"]]]
    there = [one for one in held if not one["attributes"].get("deleted")]
    return answer(
        {
            "customer": shown(request, customer),
            "conversations": [
                {"id": one["id"], "attributes": one["attributes"], "messages": _messages(org.messages_of[one["id"]])}
                for one in reversed(there)
            ],
        }
    )


def _messages(messages: list[Message]) -> list[Document]:
    return [
        {"at": one.at, "inbound": one.is_inbound, "text": one.text, "channel": one.channel}
        for one in messages[-MESSAGES_SHOWN:]
    ]


async def _cards(request: web.Request) -> web.Response:
    """Return the cards that installed apps put into the panel: a page to frame, or a template to render."""
    return answer({"cards": [_card(view) for view in request.app[APPS].kviews()]})


def _card(view: Document) -> dict[str, Any]:
    framed = SRC.search(view["template"])
    meta = view.get("meta", {})
    return {
        "name": view["name"],
        "title": meta.get("displayName", view["name"]),
        "src": framed.group(1) if framed else None,
        "template": None if framed else view["template"],
    }


async def _agent(request: web.Request) -> web.Response:
    """Return a key by which cards ask the API as the agent who is signed in."""
    return answer({"key": next(iter(request.app[OPTIONS].api_keys))})


async def _run(request: web.Request) -> web.Response:
    """Run a command as the signed-in agent."""
    try:
        return answer({"data": await run_command(request.app, request.match_info["name"], await json_object(request))})
    except Refusal as refusal:
        return refuse(refusal)
