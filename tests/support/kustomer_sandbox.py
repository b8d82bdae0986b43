"""A client of the simulated Kustomer, and a receiver of its webhooks."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY
from support.timeouts import wait_until

ALL_EVENTS = tuple(
    f"kustomer.{resource}.{verb}"
    for resource in ("customer", "conversation", "message")
    for verb in ("create", "update")
)


@dataclass
class ApiResponse:
    """One answer of the simulated server."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        """The ``data`` of the body."""
        return self.body["data"]

    @property
    def error(self) -> Any:
        """The only error of the body."""
        [error] = self.body["errors"]
        return error


@dataclass
class KustomerSandbox:
    """Calls the API and the control routes of one simulated organisation."""

    url: str
    session: aiohttp.ClientSession

    async def request(self, method: str, path: str, body: Any = None, *, key: str | None = DEFAULT_KEY) -> ApiResponse:
        """Send a request. Returns the response, whatever its status."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as response:
            raw = await response.read()
            return ApiResponse(response.status, response.headers, msgspec.json.decode(raw) if raw else None)

    async def get(self, path: str) -> Any:
        """Return the body of a path. Fails unless the status is 200."""
        answer = await self.request("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    async def perform(self, path: str, /, **body: Any) -> Any:
        """Call a control route. Fails when it does not succeed."""
        answer = await self.request("POST", f"/sandbox/{path}", body, key=None)
        assert answer.status < 300, answer.body
        return answer.body

    async def create_customer(self, **attributes: Any) -> Any:
        """Create a customer."""
        return await self.perform("customers", **attributes)

    async def create_conversation(self, **attributes: Any) -> Any:
        """Create a conversation, with a new customer unless one is given."""
        if "customer" not in attributes:
            attributes["customer"] = (await self.create_customer())["id"]
        return await self.perform("conversations", **attributes)

    async def act(self, conversation: Any, action: str, /, **body: Any) -> Any:
        """Perform an action in a conversation."""
        return await self.perform(f"conversations/{conversation['id']}/{action}", **body)

    async def register_webhook(self, url: str, /, *, events: tuple[str, ...] = ALL_EVENTS, **attributes: Any) -> Any:
        """Register a webhook."""
        body = {"name": "test", "url": url, "events": list(events), "enabled": True} | attributes
        answer = await self.request("POST", "/v1/outbound-webhooks", body)
        assert answer.status == 201, answer.body
        return answer.data

    async def expected_events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the facts that the service should report."""
        facts = await self.get("/sandbox/expected-events")
        return [fact for fact in facts if kind in (None, fact["kind"])]

    async def delivery_counts(self) -> dict[str, int]:
        """Return the number of webhook deliveries by state."""
        counts: dict[str, int] = (await self.get("/sandbox/state"))["deliveries"]
        return counts

    async def wait_until_delivered(self) -> dict[str, int]:
        """Wait until no webhook delivery is pending. Returns the counts."""

        async def is_delivered() -> bool:
            return not (await self.delivery_counts())["pending"]

        await wait_until(is_delivered, "no webhook delivery is pending")
        return await self.delivery_counts()

    async def wait_until_simulated(self) -> dict[str, Any]:
        """Wait until the simulation has ended. Returns its progress."""

        async def has_ended() -> bool:
            return not (await self.get("/sandbox/simulation"))["running"]

        await wait_until(has_ended, "the simulation has ended")
        progress: dict[str, Any] = await self.get("/sandbox/simulation")
        return progress


@dataclass
class ReceivedWebhook:
    """One received webhook."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)

    def is_signed_with(self, token: str) -> bool:
        """Return whether the signature is valid for the body."""
        expected = hmac.new(token.encode(), self.body, hashlib.sha256).hexdigest()
        return self.headers["X-Kustomer-Webhook-Signature"] == expected


@dataclass
class WebhookReceiver:
    """Receives webhooks. Answers with ``statuses`` first, then with ``default_status``."""

    url: str = ""
    received: list[ReceivedWebhook] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    default_status: int = 200

    async def handle(self, request: web.Request) -> web.Response:
        """Store one webhook and answer it."""
        self.received.append(ReceivedWebhook(request.headers, await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else self.default_status)

    def events_named(self, name: str) -> list[Any]:
        """Return the events with a name."""
        return [webhook.event for webhook in self.received if webhook.event["name"] == f"kustomer.{name}"]

    def updates_of(self, name: str, attribute: str) -> list[Any]:
        """Return the events that changed an attribute."""
        return [event for event in self.events_named(name) if attribute in event["changes"]["attributes"]]
