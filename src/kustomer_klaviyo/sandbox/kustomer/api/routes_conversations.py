"""The simulated API's operations on conversations, their messages and their surveys.

Rules: developer.kustomer.com/docs/concepts/conversations-and-messages
"""

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import ORGANISATION, SUPPORT, SURVEYS, Operation, present
from kustomer_klaviyo.sandbox.kustomer.api.request_bodies import given_conversation, given_survey
from kustomer_klaviyo.sandbox.kustomer.envelope import answer, bad, json_object, not_found, page
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, message_resource

CHANNELS = (
    "email", "sms", "chat", "facebook", "twitter-dm", "twitter-tweet", "voice", "instagram", "instagram-comment",
    "whatsapp", "form",
)  # fmt: skip


async def list_conversations(request: web.Request) -> web.Response:
    """``GET /v1/conversations``."""
    return page(request, present(request.app[ORGANISATION].conversations))


async def create_conversation(request: web.Request) -> web.Response:
    """``POST /v1/conversations``: without a message it has no channel yet."""
    body, org = await json_object(request), request.app[ORGANISATION]
    customer = org.customers.get(str(body.get("customer")))
    if customer is None or customer["attributes"]["deleted"]:
        raise bad("customer", "customer must be the id of a customer")
    brand = body.get("brand")
    created = request.app[SUPPORT].open_conversation(
        customer, given=given_conversation(body), brand=None if brand is None else str(brand)
    )
    return answer({"data": created}, status=201)


async def get_conversation(request: web.Request) -> web.Response:
    """``GET /v1/conversations/{id}``; several ids, parted by commas, give a list of those that are there."""
    held, wanted = request.app[ORGANISATION].conversations, request.match_info["id"].split(",")
    if len(wanted) == 1:
        return answer({"data": _conversation(request)})
    found = [held[one] for one in wanted if one in held]
    return answer({"data": [one for one in found if not one["attributes"].get("deleted")]})


def _conversation(request: web.Request) -> Document:
    found = request.app[ORGANISATION].conversations.get(request.match_info["id"])
    if found is None or found["attributes"].get("deleted"):
        raise not_found("id")
    return found


async def update_conversation(request: web.Request) -> web.Response:
    """``PUT /v1/conversations/{id}``; a change of status is what people do, a survey's result what survey tools do."""
    conversation, body = _conversation(request), await json_object(request)
    support, given = request.app[SUPPORT], given_conversation(body)
    survey = given_survey(body["satisfactionLevel"]) if "satisfactionLevel" in body else None
    status = given.pop("status", None)
    if given:
        request.app[ORGANISATION].change(conversation, given)
    turn = {"done": support.mark_done, "open": support.reopen, "snoozed": support.snooze}.get(status)
    if turn is not None:
        turn(conversation)
    if survey is not None:
        request.app[SURVEYS].overwrite(conversation, survey)
    return answer({"data": conversation})


async def delete_conversation(request: web.Request) -> web.Response:
    """``DELETE /v1/conversations/{id}``."""
    request.app[ORGANISATION].delete(_conversation(request))
    return web.Response(status=204)


async def list_messages(request: web.Request) -> web.Response:
    """``GET /v1/conversations/{id}/messages``."""
    org, conversation = request.app[ORGANISATION], _conversation(request)
    messages = org.messages_of[conversation["id"]]
    return page(request, [message_resource(one, org.around, conversation) for one in messages])


async def create_message(request: web.Request) -> web.Response:
    """``POST /v1/conversations/{id}/messages``."""
    org, conversation, body = request.app[ORGANISATION], _conversation(request), await json_object(request)
    channel, direction = body.get("channel", "email"), body.get("direction", "out")
    if channel not in CHANNELS:
        raise bad("channel", f"channel must be one of {', '.join(CHANNELS)}")
    if direction not in ("in", "out"):
        raise bad("direction", "direction must be in or out")
    text = str(body.get("preview", ""))
    message = request.app[SUPPORT].write(conversation, by_customer=direction == "in", channel=channel, text=text)
    return answer({"data": message_resource(message, org.around, conversation)}, status=201)


async def get_satisfaction_response(request: web.Request) -> web.Response:
    """``GET /v1/satisfaction-responses/{id}``: a survey sent, as it stands."""
    found = request.app[ORGANISATION].surveys.get(request.match_info["id"])
    if found is None:
        raise not_found("id")
    return answer({"data": found})


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
