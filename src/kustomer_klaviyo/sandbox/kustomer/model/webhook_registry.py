"""The registry of outbound webhooks: validation and resources.

Rules: developer.kustomer.com/docs/events/outbound-webhooks and developer.kustomer.com/docs/events/event-catalog
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal, bad_parameter

RESOURCES = ("customer", "conversation", "message", "user", "team", "tag")
EVENTS = tuple(f"kustomer.{resource}.{verb}" for resource in RESOURCES for verb in ("create", "update"))
MAX_WEBHOOKS = 5
MAX_TEXT_LENGTH = 255


@dataclass(slots=True)
class OutboundWebhook:
    """One registered webhook."""

    id: str
    created_at: str
    name: str = ""
    url: str = ""
    events: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    enabled: bool = True
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    exhausted_deliveries: int = 0
    """Consecutive deliveries that used all their retries."""

    def document(self) -> Document:
        """Return the webhook's resource, including the token that signs its deliveries."""
        attributes = {
            "name": self.name,
            "url": self.url,
            "events": list(self.events),
            "headers": [{"name": name, "value": value} for name, value in self.headers],
            "enabled": self.enabled,
            "token": self.token,
            "createdAt": self.created_at,
        }
        links = {"self": f"/v1/outbound-webhooks/{self.id}"}
        return {"type": "outbound_webhook", "id": self.id, "attributes": attributes, "links": links}

    def update(self, fields: Document, *, allow_http: bool) -> None:
        """Apply all fields or none. Raises KustomerRefusal (400)."""
        name, url = fields.get("name", self.name), fields.get("url", self.url)
        enabled = fields.get("enabled", self.enabled)
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_TEXT_LENGTH:
            raise bad_parameter("name", f"name must have 1 to {MAX_TEXT_LENGTH} characters")
        if not _is_valid_url(url, allow_http=allow_http):
            raise bad_parameter("url", f"url must be an https URL of at most {MAX_TEXT_LENGTH} characters")
        if not isinstance(enabled, bool):
            raise bad_parameter("enabled", "enabled must be true or false")
        events = _events(fields.get("events", list(self.events)))
        headers = _headers(fields["headers"]) if fields.get("headers") is not None else self.headers
        if enabled and not self.enabled:
            self.exhausted_deliveries = 0
        self.name, self.url, self.events, self.headers, self.enabled = name, url, events, headers, enabled


class WebhookRegistry:
    """The webhooks of an organisation, by id."""

    def __init__(self, *, allow_http: bool) -> None:
        self._allow_http = allow_http
        self.webhooks: dict[str, OutboundWebhook] = {}

    def add(self, webhook_id: str, fields: Document, *, now: str) -> OutboundWebhook:
        """Register a webhook. Raises KustomerRefusal."""
        webhook = OutboundWebhook(webhook_id, now)
        webhook.update(fields, allow_http=self._allow_http)
        if len(self.webhooks) >= MAX_WEBHOOKS:
            raise KustomerRefusal(422, "limit", f"An organisation has at most {MAX_WEBHOOKS} outbound webhooks")
        self.webhooks[webhook_id] = webhook
        return webhook

    def update(self, webhook: OutboundWebhook, fields: Document) -> None:
        """Change a webhook. Raises KustomerRefusal."""
        webhook.update(fields, allow_http=self._allow_http)

    def subscribed_to(self, event: str) -> list[OutboundWebhook]:
        """Return the webhooks that are subscribed to an event, including disabled ones."""
        return [webhook for webhook in self.webhooks.values() if event in webhook.events]


def _is_valid_url(url: Any, *, allow_http: bool) -> bool:
    schemes = ("https://", "http://") if allow_http else ("https://",)
    return isinstance(url, str) and url.startswith(schemes) and len(url) <= MAX_TEXT_LENGTH


def _events(events: Any) -> tuple[str, ...]:
    if not isinstance(events, list) or not events or not all(event in EVENTS for event in events):
        raise bad_parameter("events", "events must name subscribable events")
    return tuple(dict.fromkeys(events))


def _headers(headers: Any) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((str(header["name"]), str(header["value"])) for header in headers)
    except (TypeError, KeyError) as error:
        raise bad_parameter("headers", "headers must be a list of name and value") from error
