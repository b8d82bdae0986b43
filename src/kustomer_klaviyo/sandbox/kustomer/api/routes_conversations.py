"""API operations on conversations, their messages and their surveys.

Rules: developer.kustomer.com/docs/concepts/conversations-and-messages
"""

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import Operation
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import (
    ORGANISATION,
    SUPPORT_TEAM,
    SURVEYS,
    not_deleted,
)
from kustomer_klaviyo.sandbox.kustomer.api.request_bodies import parse_conversation, parse_survey
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, message_resource
from kustomer_klaviyo.sandbox.kustomer.responses import (
    bad_parameter,
    json_object,
    json_response,
    not_found,
    page_response,
)

CHANNELS = (
    "email", "sms", "chat", "facebook", "twitter-dm", "twitter-tweet", "voice", "instagram", "instagram-comment",
    "whatsapp", "form",
)  # fmt: skip


async def list_conversations(request: web.Request) -> web.Response:
    """``GET /v1/conversations``."""
    return page_response(request, not_deleted(request.app[ORGANISATION].conversations.values()))


async def create_conversation(request: web.Request) -> web.Response:
    """``POST /v1/conversations``; a conversation without a message has no channel."""
    body, org = await json_object(request), request.app[ORGANISATION]
    customer = org.customers.get(str(body.get("customer")))
    if customer is None or customer["attributes"]["deleted"]:
        raise bad_parameter("customer", "customer must be the id of a customer")
    brand = body.get("brand")
    created = request.app[SUPPORT_TEAM].open_conversation(
        customer, fields=parse_conversation(body), brand=None if brand is None else str(brand)
    )
    return json_response({"data": created}, status=201)


async def get_conversation(request: web.Request) -> web.Response:
    """``GET /v1/conversations/{id}``; several ids, separated by commas, return a list of those that exist."""
    conversations, ids = request.app[ORGANISATION].conversations, request.match_info["id"].split(",")
    if len(ids) == 1:
        return json_response({"data": _conversation(request)})
    existing = [conversations[conversation_id] for conversation_id in ids if conversation_id in conversations]
    return json_response({"data": not_deleted(existing)})


def _conversation(request: web.Request) -> Document:
    conversation = request.app[ORGANISATION].conversations.get(request.match_info["id"])
    if conversation is None or conversation["attributes"].get("deleted"):
        raise not_found("id")
    return conversation


async def update_conversation(request: web.Request) -> web.Response:
    """``PUT /v1/conversations/{id}``: attributes, the status as an agent sets it, a survey tool's result."""
    conversation, body = _conversation(request), await json_object(request)
    team, fields = request.app[SUPPORT_TEAM], parse_conversation(body)
    survey = parse_survey(body["satisfactionLevel"]) if "satisfactionLevel" in body else None
    status = fields.pop("status", None)
    if fields:
        request.app[ORGANISATION].update(conversation, fields)
    set_status = {"done": team.mark_done, "open": team.reopen, "snoozed": team.snooze}.get(status)
    if set_status is not None:
        set_status(conversation)
    if survey is not None:
        request.app[SURVEYS].write_result(conversation, survey)
    return json_response({"data": conversation})


async def delete_conversation(request: web.Request) -> web.Response:
    """``DELETE /v1/conversations/{id}``."""
    request.app[ORGANISATION].delete(_conversation(request))
    return web.Response(status=204)


async def list_messages(request: web.Request) -> web.Response:
    """``GET /v1/conversations/{id}/messages``."""
    org, conversation = request.app[ORGANISATION], _conversation(request)
    messages = org.messages_of[conversation["id"]]
    return page_response(request, [message_resource(message, org.references, conversation) for message in messages])


async def create_message(request: web.Request) -> web.Response:
    """``POST /v1/conversations/{id}/messages``."""
    org, conversation, body = request.app[ORGANISATION], _conversation(request), await json_object(request)
    channel, direction = body.get("channel", "email"), body.get("direction", "out")
    if channel not in CHANNELS:
        raise bad_parameter("channel", f"channel must be one of {', '.join(CHANNELS)}")
    if direction not in ("in", "out"):
        raise bad_parameter("direction", "direction must be in or out")
    text = str(body.get("preview", ""))
    message = request.app[SUPPORT_TEAM].send_message(
        conversation, by_customer=direction == "in", channel=channel, text=text
    )
    return json_response({"data": message_resource(message, org.references, conversation)}, status=201)


async def get_satisfaction_response(request: web.Request) -> web.Response:
    """``GET /v1/satisfaction-responses/{id}``: the current state of a survey."""
    survey = request.app[ORGANISATION].surveys.get(request.match_info["id"])
    if survey is None:
        raise not_found("id")
    return json_response({"data": survey})


OPERATIONS = (
    Operation("GET", "/v1/conversations", "conversation.read", list_conversations),
    Operation("POST", "/v1/conversations", "conversation.create", create_conversation),
    Operation("GET", "/v1/conversations/{id}", "conversation.read", get_conversation),
    Operation("PUT", "/v1/conversations/{id}", "conversation.update", update_conversation),
    Operation("PATCH", "/v1/conversations/{id}", "conversation.update", update_conversation),
    Operation("DELETE", "/v1/conversations/{id}", "conversation.delete", delete_conversation),
    Operation("GET", "/v1/conversations/{id}/messages", "message.read", list_messages),
    Operation("POST", "/v1/conversations/{id}/messages", "message.create", create_message),
    Operation("GET", "/v1/satisfaction-responses/{id}", "satisfaction_response.read", get_satisfaction_response),
)
