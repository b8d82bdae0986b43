"""The agent's desktop in the browser: customers, their timeline, and the insight panel with the apps' cards.

The page may request what a signed-in agent may. Its routes are part of the control API and need no key.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import APPS, OPTIONS, ORGANISATION, not_deleted, visible
from kustomer_klaviyo.sandbox.kustomer.api.routes_apps import run_command
from kustomer_klaviyo.sandbox.kustomer.model.documents import ConversationMessage, Document
from kustomer_klaviyo.sandbox.kustomer.responses import (
    KustomerRefusal,
    error_response,
    json_object,
    json_response,
    not_found,
)

STATIC = Path(__file__).parent / "static"
MAX_CUSTOMERS = 100
CARD_SRC = re.compile(r'<DynamicCard\s[^>]*?src="([^"]+)"')
MAX_MESSAGES = 6


def install_desktop(app: web.Application) -> None:
    """Add the desktop to the application."""
    app.router.add_get("/", _get_page)
    app.router.add_static("/desktop", STATIC)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/customers", _list_customers)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/customers/{{id}}", _get_timeline)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/cards", _list_cards)
    app.router.add_get(f"{CONTROL_PREFIX}/desktop/agent", _get_agent)
    app.router.add_post(f"{CONTROL_PREFIX}/desktop/commands/{{name}}", _post_command)


async def _get_page(request: web.Request) -> web.FileResponse:
    del request
    return web.FileResponse(STATIC / "desktop.html", headers={"Cache-Control": "no-store"})


async def _list_customers(request: web.Request) -> web.Response:
    """Return the newest customers, or the newest that match ``?q=``."""
    # Sorting by activity would move customers while the user is about to click on them.
    query = request.query.get("q", "").lower()
    customers = not_deleted(request.app[ORGANISATION].customers.values())
    matches = [customer for customer in customers if query in _search_text(customer)]
    matches.sort(key=lambda customer: str(customer["attributes"]["createdAt"]), reverse=True)
    rows = [_summary(customer) for customer in matches[:MAX_CUSTOMERS]]
    return json_response({"customers": rows, "total": len(customers)})


def _search_text(customer: Document) -> str:
    attributes = customer["attributes"]
    emails = " ".join(str(entry.get("email")) for entry in attributes.get("emails", []))
    return f"{attributes['displayName']} {emails}".lower()


def _summary(customer: Document) -> Document:
    attributes = customer["attributes"]
    emails = attributes.get("emails") or [{}]
    counts = attributes.get("conversationCounts") or {}
    return {
        "id": customer["id"],
        "name": attributes["displayName"],
        "email": emails[0].get("email"),
        "open_count": counts.get("open", 0) + counts.get("snoozed", 0),
    }


async def _get_timeline(request: web.Request) -> web.Response:
    org = request.app[ORGANISATION]
    customer = org.customers.get(request.match_info["id"])
    if customer is None:
        return error_response(not_found("id"))
    conversations = [org.conversations[conversation_id] for conversation_id in org.conversations_of[customer["id"]]]
    rows = [_conversation(conversation, org.messages_of) for conversation in reversed(not_deleted(conversations))]
    return json_response({"customer": visible(request, customer), "conversations": rows})


def _conversation(conversation: Document, messages_of: Mapping[str, list[ConversationMessage]]) -> Document:
    messages = messages_of[conversation["id"]][-MAX_MESSAGES:]
    return {
        "id": conversation["id"],
        "attributes": conversation["attributes"],
        "messages": [
            {
                "sent_at": message.sent_at,
                "inbound": message.is_inbound,
                "text": message.text,
                "channel": message.channel,
            }
            for message in messages
        ],
    }


async def _list_cards(request: web.Request) -> web.Response:
    """Return the cards of installed apps: each has a page to frame, or a template to render."""
    return json_response({"cards": [_card(view) for view in request.app[APPS].kviews()]})


def _card(view: Document) -> dict[str, Any]:
    frame = CARD_SRC.search(view["template"])
    meta = view.get("meta", {})
    return {
        "name": view["name"],
        "title": meta.get("displayName", view["name"]),
        "src": frame.group(1) if frame else None,
        "template": None if frame else view["template"],
    }


async def _get_agent(request: web.Request) -> web.Response:
    """Return the API key with which cards send requests as the signed-in agent."""
    return json_response({"key": next(iter(request.app[OPTIONS].api_keys))})


async def _post_command(request: web.Request) -> web.Response:
    """Run a command as the signed-in agent."""
    try:
        body = await json_object(request)
        return json_response({"data": await run_command(request.app, request.match_info["name"], body)})
    except KustomerRefusal as refusal:
        return error_response(refusal)
