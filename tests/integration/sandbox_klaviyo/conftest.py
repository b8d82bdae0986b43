"""Fixtures: a simulated Klaviyo on a real socket, and functions that make request bodies."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app

HEADERS = {
    "Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}",
    "revision": "2026-10-15",
    "Content-Type": "application/vnd.api+json",
}


class ApiResponse(NamedTuple):
    """A response of the API."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Any

    @property
    def error(self) -> dict[str, Any]:
        """The first error of the body."""
        error: dict[str, Any] = self.body["errors"][0]
        return error


@pytest.fixture
def options() -> KlaviyoOptions:
    """The options of the account; modules override this fixture."""
    return KlaviyoOptions(rate_limits=False, job_seconds=0)


@pytest.fixture
async def base(options: KlaviyoOptions) -> AsyncIterator[str]:
    """The base URL of the account."""
    async with run_server(create_app(options)) as url:
        yield url


@pytest.fixture
async def call(base: str) -> AsyncIterator[Callable[..., Awaitable[ApiResponse]]]:
    """Send a request: ``call("POST", path, body, params=..., headers=...)``; a header that is None is omitted."""
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:

        async def send(
            method: str,
            path: str,
            body: Any = None,
            *,
            headers: dict[str, str | None] | None = None,
            params: dict[str, str] | None = None,
        ) -> ApiResponse:
            sent = {name: value for name, value in (HEADERS | (headers or {})).items() if value is not None}
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            data = None if body is None else io.BytesIO(raw)
            async with session.request(method, base + path, data=data, headers=sent, params=params) as response:
                text = await response.text()
                is_json = "json" in response.headers.get("Content-Type", "")
                return ApiResponse(response.status, response.headers, json.loads(text) if is_json else text)

        yield send


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """Make the request body of one event; keyword arguments replace its attributes."""

    def make(
        *, email: str | None = "ada@lantern.example", name: str = "Placed", profile: Any = ..., **attributes: Any
    ) -> dict[str, Any]:
        default_profile = {"data": {"type": "profile", "attributes": {"email": email}}}
        defaults = {
            "properties": {"colour": "green"},
            "metric": {"data": {"type": "metric", "attributes": {"name": name}}},
            "profile": default_profile if profile is ... else profile,
            "time": "2026-11-01T10:00:00+00:00",
        }
        return {"data": {"type": "event", "attributes": defaults | attributes}}

    return make


@pytest.fixture
def bulk() -> Callable[..., dict[str, Any]]:
    """Make the request body of many events from the bodies of single events."""

    def make(*events: dict[str, Any]) -> dict[str, Any]:
        entries = []
        for body in events:
            attributes = dict(body["data"]["attributes"])
            profile = attributes.pop("profile")
            inner = {"profile": profile, "events": {"data": [{"type": "event", "attributes": attributes}]}}
            entries.append({"type": "event-bulk-create", "attributes": inner})
        return {"data": {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": entries}}}}

    return make


@pytest.fixture
def profile() -> Callable[..., dict[str, Any]]:
    """Make the request body of a profile."""

    def make(profile_id: str | None = None, *, meta: Any = None, **attributes: Any) -> dict[str, Any]:
        data: dict[str, Any] = {"type": "profile", "attributes": attributes}
        data |= {} if profile_id is None else {"id": profile_id}
        data |= {} if meta is None else {"meta": meta}
        return {"data": data}

    return make
