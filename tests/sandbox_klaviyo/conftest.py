"""A simulated Klaviyo on a real socket, and short ways to say what is sent to it."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving

HEADERS = {
    "Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}",
    "revision": "2026-10-15",
    "Content-Type": "application/vnd.api+json",
}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        """The first error of the envelope."""
        found: dict[str, Any] = self.body["errors"][0]
        return found


@pytest.fixture
def options() -> KlaviyoOptions:
    """What the account is like; tests with other wishes replace it."""
    return KlaviyoOptions(rate_limits=False, job_seconds=0)


@pytest.fixture
async def base(options: KlaviyoOptions) -> AsyncIterator[str]:
    """The account's address."""
    async with serving(create_app(options)) as url:
        yield url


@pytest.fixture
async def call(base: str) -> AsyncIterator[Callable[..., Awaitable[Answer]]]:
    """Send a request: ``call("POST", path, body, params=..., headers=...)``; a header of None is left out."""
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:

        async def send(
            method: str,
            path: str,
            body: Any = None,
            *,
            headers: dict[str, str | None] | None = None,
            params: dict[str, str] | None = None,
        ) -> Answer:
            sent = {name: value for name, value in (HEADERS | (headers or {})).items() if value is not None}
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            data = None if body is None else io.BytesIO(raw)
            async with session.request(method, base + path, data=data, headers=sent, params=params) as response:
                text = await response.text()
                is_json = "json" in response.headers.get("Content-Type", "")
                return Answer(response.status, response.headers, json.loads(text) if is_json else text)

        yield send


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """Make the body that creates an event; keywords replace its attributes."""

    def make(
        *, email: str | None = "ada@lantern.example", name: str = "Placed", person: Any = None, **attributes: Any
    ) -> dict[str, Any]:
        profile = {"data": {"type": "profile", "attributes": {"email": email}}} if person is None else person
        usual = {
            "properties": {"colour": "green"},
            "metric": {"data": {"type": "metric", "attributes": {"name": name}}},
            "profile": profile,
            "time": "2026-11-01T10:00:00+00:00",
        }
        return {"data": {"type": "event", "attributes": usual | attributes}}

    return make


@pytest.fixture
def bulk() -> Callable[..., dict[str, Any]]:
    """Make the body that creates many events out of bodies that create one."""

    def make(*events: dict[str, Any]) -> dict[str, Any]:
        entries = []
        for one in events:
            attributes = dict(one["data"]["attributes"])
            profile = attributes.pop("profile")
            inner = {"profile": profile, "events": {"data": [{"type": "event", "attributes": attributes}]}}
            entries.append({"type": "event-bulk-create", "attributes": inner})
        return {"data": {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": entries}}}}

    return make


@pytest.fixture
def profile() -> Callable[..., dict[str, Any]]:
    """Make the body that writes a profile."""

    def make(profile_id: str | None = None, *, meta: Any = None, **attributes: Any) -> dict[str, Any]:
        data: dict[str, Any] = {"type": "profile", "attributes": attributes}
        data |= {} if profile_id is None else {"id": profile_id}
        data |= {} if meta is None else {"meta": meta}
        return {"data": data}

    return make
