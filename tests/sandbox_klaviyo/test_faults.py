"""What a simulated vendor answers on order: any status, headers and body, broken off or not at all."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.serving import serving

KEY = {"Authorization": f"Klaviyo-API-Key {klaviyo.DEFAULT_KEY}", "revision": "2026-07-15"}
LISTS = "/api/lists"


class Vendor:
    """A simulated vendor and how to ask it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def misbehave(self, **fault: Any) -> int:
        """Order a fault."""
        async with self._session.post(f"{self._url}/sandbox/faults", json=fault) as response:
            return response.status

    async def get(self, path: str) -> tuple[int, str, bytes, Any]:
        """Return status, content type, body and headers of an answer."""
        async with self._session.get(self._url + path, headers=KEY) as response:
            return response.status, response.headers.get("Content-Type", ""), await response.read(), response.headers


@pytest.fixture(params=["klaviyo", "kustomer"])
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[Vendor]:
    app = klaviyo.create_app() if request.param == "klaviyo" else kustomer.create_app()
    async with serving(app) as url, aiohttp.ClientSession() as session:
        yield Vendor(session, url)


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ({"json": {"errors": [{"detail": "n\0"}]}}, "application/json", b'{"errors":[{"detail":"n\\u0000"}]}'),
        ({"body": "upstream"}, "application/json", b"upstream"),
        ({"base64": base64.b64encode(b"\xff\xfe").decode()}, "application/json", b"\xff\xfe"),
        ({"body": "[]", "headers": {"Content-Type": "text/x"}}, "text/x", b"[]"),
    ],
    ids=["json", "text", "bytes", "headers"],
)
async def test_any_answer_can_be_ordered(vendor: Vendor, body: dict[str, Any], content_type: str, sent: bytes) -> None:
    assert await vendor.misbehave(kind="answer", status=207, times=1, **body) == 201
    assert (await vendor.get(LISTS))[:3] == (207, content_type, sent)
    assert (await vendor.get(LISTS))[0] != 207


async def test_an_empty_answer_has_no_body(vendor: Vendor) -> None:
    await vendor.misbehave(kind="answer", status=200)
    assert (await vendor.get(LISTS))[2] == b""


async def test_a_web_page_comes_with_any_status(vendor: Vendor) -> None:
    await vendor.misbehave(kind="page", status=413)
    status, content_type, body, _ = await vendor.get(LISTS)
    assert (status, content_type.partition(";")[0], body[:9]) == (413, "text/html", b"<!DOCTYPE")


@pytest.mark.parametrize("wish", ["0", "-5", "Fri, 01 Jan 2016 00:00:00 GMT", "soon"])
async def test_a_throttle_may_wish_for_anything(vendor: Vendor, wish: str) -> None:
    await vendor.misbehave(kind="throttle", retry_after=wish)
    status, _, _, headers = await vendor.get(LISTS)
    assert (status, headers["Retry-After"]) == (429, wish)


async def test_a_fault_may_meet_one_path_only(vendor: Vendor) -> None:
    await vendor.misbehave(kind="status", status=599, path="/api", exact=True)
    assert (await vendor.get(LISTS))[0] != 599
    assert (await vendor.get("/api"))[0] == 599


async def test_an_answer_may_be_broken_off(vendor: Vendor) -> None:
    await vendor.misbehave(kind="cut", path=LISTS)
    with pytest.raises(aiohttp.ClientPayloadError):
        await vendor.get(LISTS)


async def test_klaviyo_may_say_that_a_request_is_possible_in_no_time() -> None:
    async with serving(klaviyo.create_app()) as url, aiohttp.ClientSession() as session:
        vendor = Vendor(session, url)
        await vendor.misbehave(kind="throttle", retry_after=0)
        _, _, body, headers = await vendor.get(LISTS)
    assert headers["Retry-After"] == "0"
    assert b"available in 0 seconds" in body
