"""An error of the HTTP client is an outcome and never an exception."""

import aiohttp
import pytest

from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.outcomes import Unreachable


@pytest.mark.parametrize("vendor", ["Klaviyo", "Kustomer"])
async def test_a_closed_session_is_an_unreachable_vendor(vendor: str) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    address = "http://127.0.0.1:9"
    outcome = (
        await KlaviyoClient(session, base_url=address, key="k").account()
        if vendor == "Klaviyo"
        else await KustomerClient(session, base_url=address, key="k").organisation()
    )
    assert outcome == Unreachable(f"{vendor}'s response could not be handled (RuntimeError)")
