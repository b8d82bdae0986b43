"""One who asks a simulated Kustomer and lets its people act, and one who takes its webhooks."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY
from patience import until

EVERY_EVENT = tuple(
    f"kustomer.{resource}.{verb}"
    for resource in ("customer", "conversation", "message")
    for verb in ("create", "update")
)


@dataclass
class Answer:
    """One answer of the simulated server."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        """The document within the envelope."""
        return self.body["data"]

    @property
    def error(self) -> Any:
        """The only error."""
        [error] = self.body["errors"]
        return error


@dataclass
class Desk:
    """Asks one simulated organisation."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None, *, key: str | None = DEFAULT_KEY) -> Answer:
        """Ask and return the answer, whatever it is."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as response:
            raw = await response.read()
            return Answer(response.status, response.headers, msgspec.json.decode(raw) if raw else None)

    async def get(self, path: str) -> Any:
        """Return the document of a path that must be there."""
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    async def do(self, path: str, /, **body: Any) -> Any:
        """Let a person do something that must succeed."""
        answer = await self.ask("POST", f"/sandbox/{path}", body, key=None)
        assert answer.status < 300, answer.body
        return answer.body

    async def customer(self, **given: Any) -> Any:
        """Let a customer come."""
        return await self.do("customers", **given)

    async def conversation(self, **given: Any) -> Any:
        """Let a customer begin a conversation; a new customer unless one is given."""
        if "customer" not in given:
            given["customer"] = (await self.customer())["id"]
        return await self.do("conversations", **given)

    async def act(self, conversation: Any, action: str, /, **body: Any) -> Any:
        """Let people do something in a conversation."""
        return await self.do(f"conversations/{conversation['id']}/{action}", **body)

    async def register(self, url: str, /, *, events: tuple[str, ...] = EVERY_EVENT, **given: Any) -> Any:
        """Register a webhook."""
        body = {"name": "house", "url": url, "events": list(events), "enabled": True} | given
        answer = await self.ask("POST", "/v1/outbound-webhooks", body)
        assert answer.status == 201, answer.body
        return answer.data

    async def expected(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return what truly happened."""
        facts = await self.get("/sandbox/expected")
        return [fact for fact in facts if kind in (None, fact["kind"])]

    async def deliveries(self) -> dict[str, int]:
        """Return the counts of deliveries."""
        found: dict[str, int] = (await self.get("/sandbox/state"))["deliveries"]
        return found

    async def until_delivered(self) -> dict[str, int]:
        """Wait until no delivery is under way, and return the counts."""

        async def is_delivered() -> bool:
            return not (await self.deliveries())["pending"]

        await until(is_delivered, "no delivery is under way")
        return await self.deliveries()

    async def until_played(self) -> dict[str, Any]:
        """Wait until the play has ended, and return how it stands."""

        async def is_played() -> bool:
            return not (await self.get("/sandbox/play"))["running"]

        await until(is_played, "the play has ended")
        play: dict[str, Any] = await self.get("/sandbox/play")
        return play


@dataclass
class Received:
    """One webhook as it arrived."""

    headers: Mapping[str, str]
    raw: bytes

    @property
    def event(self) -> Any:
        """What it says."""
        return msgspec.json.decode(self.raw)

    def is_signed_with(self, token: str) -> bool:
        """Say whether the signature is that of the raw body."""
        wanted = hmac.new(token.encode(), self.raw, hashlib.sha256).hexdigest()
        return self.headers["X-Kustomer-Webhook-Signature"] == wanted


@dataclass
class Receiver:
    """Takes webhooks, and answers as told: ``statuses`` first, 200 afterwards."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    always: int = 200

    async def take(self, request: web.Request) -> web.Response:
        """Take one webhook."""
        raw = await request.read()
        self.received.append(Received(request.headers, raw))
        return web.Response(status=self.statuses.pop(0) if self.statuses else self.always)

    def named(self, name: str) -> list[Any]:
        """Return the events of a name."""
        return [one.event for one in self.received if one.event["name"] == f"kustomer.{name}"]

    def changing(self, name: str, attribute: str) -> list[Any]:
        """Return the updates that changed an attribute."""
        return [event for event in self.named(name) if attribute in event["changes"]["attributes"]]
