"""Fault injection: any status, headers and body, cut responses."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.http_server import run_server

KEY = {"Authorization": f"Klaviyo-API-Key {klaviyo.DEFAULT_KEY}", "revision": "2026-07-15"}
LISTS = "/api/lists"


class Vendor:
    """A client of a simulated vendor."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def add_fault(self, **fault: Any) -> int:
        """Add a fault, and return the status of the response."""
        async with self._session.post(f"{self._url}/sandbox/faults", json=fault) as response:
            return response.status

    async def get(self, path: str) -> tuple[int, str, bytes, Any]:
        """Return status, content type, body and headers of a response."""
        async with self._session.get(self._url + path, headers=KEY) as response:
            return response.status, response.headers.get("Content-Type", ""), await response.read(), response.headers


@pytest.fixture(params=["klaviyo", "kustomer"])
async def vendor(request: pytest.FixtureRequest) -> AsyncIterator[Vendor]:
    app = klaviyo.create_app() if request.param == "klaviyo" else kustomer.create_app()
    async with run_server(app) as url, aiohttp.ClientSession() as session:
        yield Vendor(session, url)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ({"json": {"errors": [{"detail": "n\0"}]}}, "application/json", b'{"errors":[{"detail":"n\\u0000"}]}'),
        ({"body": "upstream"}, "application/json", b"upstream"),
        ({"base64": base64.b64encode(b"\xff\xfe").decode()}, "application/json", b"\xff\xfe"),
        ({"body": "[]", "headers": {"Content-Type": "text/x"}}, "text/x", b"[]"),
    ],
    ids=["json", "text", "bytes", "headers"],
)
async def test_a_fault_can_be_any_response(
    vendor: Vendor, body: dict[str, Any], content_type: str, expected: bytes
) -> None:
    assert await vendor.add_fault(kind="response", status=207, times=1, **body) == 201
    assert (await vendor.get(LISTS))[:3] == (207, content_type, expected)
    assert (await vendor.get(LISTS))[0] != 207


async def test_a_response_fault_without_a_body_is_empty(vendor: Vendor) -> None:
    await vendor.add_fault(kind="response", status=200)
    assert (await vendor.get(LISTS))[2] == b""


async def test_a_page_fault_has_any_status(vendor: Vendor) -> None:
    await vendor.add_fault(kind="page", status=413)
    status, content_type, body, _ = await vendor.get(LISTS)
    assert (status, content_type.partition(";")[0], body[:9]) == (413, "text/html", b"<!DOCTYPE")


@pytest.mark.parametrize("retry_after", ["0", "-5", "Fri, 01 Jan 2016 00:00:00 GMT", "soon"])
async def test_a_throttle_fault_has_any_retry_after(vendor: Vendor, retry_after: str) -> None:
    await vendor.add_fault(kind="throttle", retry_after=retry_after)
    status, _, _, headers = await vendor.get(LISTS)
    assert (status, headers["Retry-After"]) == (429, retry_after)


async def test_an_exact_fault_applies_to_one_path_only(vendor: Vendor) -> None:
    await vendor.add_fault(kind="status", status=599, path="/api", exact=True)
    assert (await vendor.get(LISTS))[0] != 599
    assert (await vendor.get("/api"))[0] == 599


async def test_a_cut_fault_breaks_off_the_response(vendor: Vendor) -> None:
    await vendor.add_fault(kind="cut", path=LISTS)
    with pytest.raises(aiohttp.ClientPayloadError):
        await vendor.get(LISTS)


async def test_a_throttle_fault_of_klaviyo_may_have_zero_seconds() -> None:
    async with run_server(klaviyo.create_app()) as url, aiohttp.ClientSession() as session:
        vendor = Vendor(session, url)
        await vendor.add_fault(kind="throttle", retry_after=0)
        _, _, body, headers = await vendor.get(LISTS)
    assert headers["Retry-After"] == "0"
    assert b"available in 0 seconds" in body
