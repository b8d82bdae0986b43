"""The registry of outbound webhooks: what may be registered, and how it is shown.

Rules: developer.kustomer.com/docs/events/outbound-webhooks and developer.kustomer.com/docs/events/event-catalog
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, bad
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

RESOURCES = ("customer", "conversation", "message", "user", "team", "tag")
EVENTS = tuple(f"kustomer.{resource}.{verb}" for resource in RESOURCES for verb in ("create", "update"))
MOST_WEBHOOKS = 5
LONGEST_TEXT = 255


@dataclass(slots=True)
class Webhook:
    """One registered webhook."""

    id: str
    created_at: str
    name: str = ""
    url: str = ""
    events: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    enabled: bool = True
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    used_up: int = 0
    """Deliveries in a row that used up all their retries."""

    def document(self) -> Document:
        """Return the webhook's resource, the token that signs its deliveries included."""
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

    def write(self, given: Document, *, allow_http: bool) -> None:
        """Take over what is given, all or nothing. Raises Refusal (400)."""
        name, url = given.get("name", self.name), given.get("url", self.url)
        enabled = given.get("enabled", self.enabled)
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_TEXT:
            raise bad("name", f"name must have 1 to {LONGEST_TEXT} characters")
        if not _is_address(url, allow_http=allow_http):
            raise bad("url", f"url must be an https address of at most {LONGEST_TEXT} characters")
        if not isinstance(enabled, bool):
            raise bad("enabled", "enabled must be true or false")
        events = _events(given.get("events", list(self.events)))
        headers = _headers(given["headers"]) if given.get("headers") is not None else self.headers
        if enabled and not self.enabled:
            self.used_up = 0
        self.name, self.url, self.events, self.headers, self.enabled = name, url, events, headers, enabled


class Registry:
    """The webhooks of an organisation, by id."""

    def __init__(self, *, allow_http: bool) -> None:
        self._allow_http = allow_http
        self.webhooks: dict[str, Webhook] = {}

    def add(self, one: str, given: Document, *, now: str) -> Webhook:
        """Register a webhook. Raises Refusal."""
        hook = Webhook(one, now)
        hook.write(given, allow_http=self._allow_http)
        if len(self.webhooks) >= MOST_WEBHOOKS:
            raise Refusal(422, "limit", f"An organisation has at most {MOST_WEBHOOKS} outbound webhooks")
        self.webhooks[one] = hook
        return hook

    def update(self, hook: Webhook, given: Document) -> None:
        """Change a webhook. Raises Refusal."""
        hook.write(given, allow_http=self._allow_http)

    def wanting(self, event: str) -> list[Webhook]:
        """Return the webhooks registered for an event, switched off or on."""
        return [hook for hook in self.webhooks.values() if event in hook.events]


def _is_address(url: Any, *, allow_http: bool) -> bool:
    schemes = ("https://", "http://") if allow_http else ("https://",)
    return isinstance(url, str) and url.startswith(schemes) and len(url) <= LONGEST_TEXT


def _events(events: Any) -> tuple[str, ...]:
    if not isinstance(events, list) or not events or not all(event in EVENTS for event in events):
        raise bad("events", "events must name subscribable events")
    return tuple(dict.fromkeys(events))


def _headers(headers: Any) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((str(header["name"]), str(header["value"])) for header in headers)
    except (TypeError, KeyError) as error:
        raise bad("headers", "headers must be a list of name and value") from error
